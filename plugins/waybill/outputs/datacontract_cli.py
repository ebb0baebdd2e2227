"""Run datacontract-cli, which converts contracts to the formats of other tools. It is no dependency of Waybill."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from waybill.errors import CommandFailed
from waybill.outputs.contract_copy import SERVER

REQUIREMENT: Final = "datacontract-cli[postgres]==1.2.8"
_EXPORTS: Final = {
    "json-schema": ("jsonschema", ".schema.json"),
    "dbt": ("dbt-sources", ".yml"),
    "html": ("html", ".html"),
}
"""By format, the name of datacontract-cli's export, and the suffix of its files."""


def convert(name: str, text: str, target: str) -> tuple[str, str]:
    """Return a contract in another format, and the suffix of its files; `name` stands for it in messages.

    Raises `CommandFailed` if datacontract-cli is not installed or reports an error.
    """
    command, (export, suffix) = _command(), _EXPORTS[target]
    with TemporaryDirectory() as folder:
        contract, output = Path(folder) / f"{name}.yaml", Path(folder) / "output"
        contract.write_text(text, encoding="utf-8")
        options = ("--server", SERVER, "--no-inline-references", "--output", str(output))
        words = [*command, "export", export, str(contract), *options]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode or not output.is_file():
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
            raise CommandFailed("\n".join([f"datacontract-cli cannot export {name} to {target}:", *said]))
        return output.read_text(encoding="utf-8"), suffix


def _command() -> list[str]:
    if program := shutil.which("datacontract"):
        return [program]
    if uvx := shutil.which("uvx"):
        return [uvx, "--quiet", "--from", REQUIREMENT, "datacontract"]
    raise CommandFailed(
        "There is no command `datacontract` on the PATH. Install it in an environment of its own, because it needs "
        f"other versions than Waybill: run `make datacontract`, `uv tool install '{REQUIREMENT}'` or "
        f"`pipx install '{REQUIREMENT}'`."
    )
