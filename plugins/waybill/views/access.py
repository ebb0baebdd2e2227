"""What the views need from the web server around them: permissions, connections and its address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from psycopg import Connection

from waybill.ops.dead_letters import DeadLetters
from waybill.views.operations.runs import FindRuns


@dataclass(frozen=True)
class Access:
    """What Airflow, or a test, provides."""

    view: Callable[..., Any]
    """Dependency of every route. Raises HTTP 401 or 403 for users who must not see the views."""
    run: Callable[..., Any]
    """Dependency of routes with a `dag_id`. Raises HTTP 403 for users who must not run the DAG."""
    identify: Callable[..., Any]
    """Dependency of every route. Stores the user in `request.state.waybill_user`."""
    may_run: Callable[[Request, str], bool]
    """Returns whether the user of a request may run a DAG."""
    may_answer: Callable[[Request, str], bool]
    """Returns whether the user of a request may answer the required actions of a DAG."""
    may_reveal: Callable[[Request], bool]
    """Returns whether the user of a request may see restricted values of rejected records."""
    reader: Callable[[], AbstractContextManager[Connection]]
    """Lends a connection to the warehouse with a role that can only read. A use must not wait for another one."""
    writer: Callable[[], AbstractContextManager[Connection]]
    """Connects to the warehouse with a role that can write. Only corrections use it."""
    runs: FindRuns
    """Returns runs of DAGs, as Airflow knows them."""
    dead_letters: Callable[[Sequence[str]], Sequence[DeadLetters]]
    """Returns the dead-letter queues of domains that have messages."""
    s3: Callable[[], Any]
    """Returns an S3 client. Pages read published reports with it."""
    address: str = ""
    """The configured base URL of the web server, or an empty string."""


def access_of(request: Request) -> Access:
    """Return the access that the application of a request was made with."""
    access: Access = request.app.state.access
    return access


async def _current_access(request: Request) -> Access:
    return access_of(request)  # a function that is not async would run in a thread of its own, which takes longer


CurrentAccess = Annotated[Access, Depends(_current_access)]
"""Parameter of a route: the access of its application."""
