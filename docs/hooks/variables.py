"""The page of the settings, from the pydantic model."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tables import cell
from waybill.settings import PREFIX, PROJECT_ROOT, SECRET_ID, Settings

INTRODUCTION = f"""# Settings

Waybill reads its settings from the environment. If `{SECRET_ID}` names a secret of AWS Secrets Manager, Waybill reads
the settings that the environment lacks from that secret. An invalid or missing setting stops the process with a message
that names it. [How to configure an installation](../do/configure.md).

| Setting | Type | Default | Meaning |
|---|---|---|---|
"""
TYPES = {bool: "`true` or `false`", float: "number", str: "text", tuple: "list", Path: "path", SecretStr: "secret text"}

LIMITS = (("ge", "at least"), ("le", "at most"))


def page() -> str:
    """Return the table of all settings: name, type, default and meaning."""
    return INTRODUCTION + "".join(_row(name, found) for name, found in Settings.model_fields.items())


def _row(name: str, found: FieldInfo) -> str:
    variable = found.validation_alias or f"{PREFIX}{name.upper()}"
    cells = (f"`{variable}`", _type(found), _default(found), found.description or "")
    return f"| {' | '.join(map(cell, cells))} |\n"


def _type(found: FieldInfo) -> str:
    options = [one for one in get_args(found.annotation) if one is not NoneType] or [found.annotation]
    origin = get_origin(found.annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in options)
    kind: Any = origin if origin is tuple else options[0]
    limits = (f"{word} {getattr(one, name):g}" for one in found.metadata for name, word in LIMITS if hasattr(one, name))
    return ", ".join([TYPES[kind], *limits])


def _default(found: FieldInfo) -> str:
    if found.default_factory is not None:
        return "see its meaning"
    if found.default in (None, "", PydanticUndefined):
        return "none"
    value = found.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, Path):
        return f"`{value.relative_to(PROJECT_ROOT)}`"
    return f"`{value}`"
