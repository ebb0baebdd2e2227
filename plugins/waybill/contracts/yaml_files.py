"""Read YAML files strictly, with the C loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from waybill.contracts.contract import ContractError


class _Loader(yaml.CSafeLoader):
    """YAML in which each key is a text that occurs once, and dates are texts, as in JSON."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # as the base class has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} occurs twice", key.start_mark)
            seen.add(key.value)
        return {str(key): value for key, value in super().construct_mapping(node, deep).items()}


def read_text(path: Path) -> str:
    """Return the text of a file. Raises `ContractError` if it is not UTF-8, or not a file that can be read."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ContractError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    except (IsADirectoryError, PermissionError) as error:
        raise ContractError(f"{path}: cannot be read: {error.strerror}. Move it or make it readable.") from error


def parse(path: Path, text: str) -> Any:
    """Return the document in the text of a file. Raises `ContractError` if it is not YAML."""
    try:
        return parse_text(text)
    except yaml.YAMLError as error:
        raise ContractError(f"{path}: not YAML: {error}") from error


def parse_text(text: str) -> Any:
    """Return the document in a text. Raises `yaml.YAMLError` if it is not YAML."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506  # a safe one
