"""The page of the settings, from the pydantic model."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from models import default_of, meanings, type_of
from tables import cell
from waybill.settings import PREFIX, SECRET_ID, Settings

INTRODUCTION = f"""# Settings

Waybill reads its settings from the environment. If `{SECRET_ID}` names a secret of AWS Secrets Manager, Waybill reads
the settings that the environment lacks from that secret. An invalid or missing setting stops the process with a message
that names it. [How to configure an installation](../do/configure.md).

| Setting | Type | Default | Meaning |
|---|---|---|---|
"""


def page() -> str:
    """Return the table of all settings: name, type, default and meaning."""
    texts = meanings(Settings)
    return INTRODUCTION + "".join(_row(name, field, texts[name]) for name, field in Settings.model_fields.items())


def _row(name: str, field: FieldInfo, meaning: str) -> str:
    variable = field.validation_alias or f"{PREFIX}{name.upper()}"
    cells = (f"`{variable}`", type_of(field), default_of(field), meaning)
    return f"| {' | '.join(map(cell, cells))} |\n"
