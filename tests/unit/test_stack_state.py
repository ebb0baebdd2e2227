from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from waybill.stack import Stack, StackError
from waybill.stack.state import OTHER_PORTS, PORT_RANGE, PREFERRED_PORTS, State


def test_a_port_that_is_still_free_is_kept_and_a_taken_one_is_replaced() -> None:
    state = State.create()
    state.claim_ports(prefer=False)
    before = dict(state.ports)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", before["s3"]))
        taken.listen()
        state.claim_ports(prefer=False)
    changed = {name for name in before if state.ports[name] != before[name]}
    assert changed == {"s3"}
    assert state.ports["s3"] in PORT_RANGE


def test_every_service_has_a_port_of_its_own() -> None:
    state = State.create()
    state.claim_ports(prefer=True)
    assert set(state.ports) == {*PREFERRED_PORTS, *OTHER_PORTS}
    assert len(set(state.ports.values())) == len(state.ports)


def test_state_survives_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    state = State.create()
    state.claim_ports(prefer=False)
    state.save(file)
    assert State.load(file) == state
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_secrets_differ_from_stack_to_stack() -> None:
    assert not set(State.create().secrets.values()) & set(State.create().secrets.values())


def test_a_stack_that_was_never_started_says_what_to_do(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    with pytest.raises(StackError, match="make up"):
        stack.env()
    assert stack.status() == []
    stack.down()
