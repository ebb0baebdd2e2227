"""Print what datacontract-cli finds in contracts, as JSON by file. It runs in the environment of datacontract-cli.

The first argument is `lint` or `test`, the others are files.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from datacontract.data_contract import DataContract


def results(action: str, path: str) -> list[tuple[str, str, str]]:
    """Return result, name and reason of each check."""
    contract: Any = DataContract(data_contract_file=path, inline_references=False)
    run = contract.lint() if action == "lint" else contract.test()
    return [(str(check.result.value), check.name, check.reason or "") for check in run.checks]


if __name__ == "__main__":
    action, *paths = sys.argv[1:]
    print(json.dumps({path: results(action, path) for path in paths}))
