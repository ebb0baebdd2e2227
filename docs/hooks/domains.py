"""The page of the domain manifests, from the pydantic model."""

from __future__ import annotations

from inspect import getdoc
from typing import Any, get_args

from pydantic import BaseModel

from models import default_of, meanings, type_of
from tables import cell
from waybill.contracts.domains import Domain, manifest_path

INTRODUCTION = """# Domain manifests

A manifest describes a [domain](../start/glossary.md) in `include/domains/<domain>.yaml`. `waybill contract check` lists
every problem of a manifest with its file, key and allowed values. [Add a domain](../do/add-domain.md) shows a complete
example.

The manifest of the sample domain `{name}`:

```yaml
{manifest}```
"""
EXAMPLE = "orders"


def page() -> str:
    """Return a table of keys for the manifest and for each part of it."""
    text = INTRODUCTION.format(name=EXAMPLE, manifest=manifest_path(EXAMPLE).read_text())
    return text + "".join(map(_section, _parts(Domain)))


def _parts(model: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and the models of its fields, in the order in which a reader meets them."""
    return [
        model,
        *(part for field in model.model_fields.values() for one in _models(field.annotation) for part in _parts(one)),
    ]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for one in get_args(annotation) for model in _models(one)]


def _section(model: type[BaseModel]) -> str:
    text = f"\n## {model.__name__}\n\n{getdoc(model)}\n\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n"
    texts = meanings(model)
    for name, field in model.model_fields.items():
        cells = (f"`{name}`", type_of(field), default_of(field), texts.get(name, ""))
        text += f"| {' | '.join(map(cell, cells))} |\n"
    return text
