"""Cells about the fields of pydantic models: type, default and meaning."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from waybill.contracts.layout import Layout
from waybill.settings import PROJECT_ROOT

NAMES = {
    bool: "`true` or `false`",
    float: "number",
    int: "whole number",
    str: "text",
    Layout: "prefix",
    Path: "path",
    SecretStr: "secret text",
}
"""Types in words."""
LIMITS = (("ge", "at least"), ("le", "at most"))


def type_of(field: FieldInfo) -> str:
    """Return the type of a field in words, with its limits."""
    limits = (f"{word} {getattr(one, name):g}" for one in field.metadata for name, word in LIMITS if hasattr(one, name))
    return ", ".join([_name(field.annotation), *limits])


def _name(annotation: Any) -> str:
    origin, inner = get_origin(annotation), [one for one in get_args(annotation) if one is not NoneType]
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is tuple:
        return f"list of {_name(inner[0])}"
    if origin is dict:
        return f"map of names to {_name(inner[1])}"
    if inner:  # an optional or annotated type
        return _name(inner[0])
    if issubclass(annotation, BaseModel):
        return f"[{annotation.__name__.lower()}](#{annotation.__name__.lower()})"
    return NAMES[annotation]


def default_of(field: FieldInfo) -> str:
    """Return the default of a field as it is written, or `none`."""
    value = field.default
    if field.is_required():
        return "required"
    if field.default_factory is not None or value in (None, "", (), {}) or isinstance(value, BaseModel):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, Path):
        return f"`{value.relative_to(PROJECT_ROOT)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings of a model's fields, which stand below each field in its source.

    pydantic could read them, too, but then each process would read the source at its start.
    """
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
