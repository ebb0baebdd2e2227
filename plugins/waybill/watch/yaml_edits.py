"""Edit the YAML of a contract as text, so that its comments and layout stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from waybill.contracts import ContractError

_INDENT: Final = "  "


class ContractText:
    """The text of a contract with one schema object, and edits of it. Places are those of the text as it was."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._edits: list[tuple[int, int, str]] = []
        """(first character, character after the last one, text in their place)."""
        self._root = _mapping(yaml.compose(text, Loader=yaml.SafeLoader), "the contract")
        schema = self._value(self._root, "schema")
        self._properties = self._value(_mapping(schema.value[0], "the schema object"), "properties")

    @property
    def edited(self) -> str:
        """Return the text with all edits."""
        text = self._text
        for begin, end, new in sorted(self._edits, reverse=True):
            text = text[:begin] + new + text[end:]
        return text

    def set_version(self, version: str) -> None:
        """Replace the version; `version` is YAML."""
        self._replace(self._value(self._root, "version"), version)

    def add_property(self, lines: list[str]) -> None:
        """Add a column after the last one. `lines` are those of an item of a list, without indentation."""
        if self._properties.flow_style:
            raise ContractError("the columns of the contract are written on one line; add the column by hand")
        margin = " " * self._properties.start_mark.column
        self._insert_after(self._properties.value[-1], [margin + line for line in lines])

    def add_item(self, column: str, key: str, *items: str) -> None:
        """Add items, each of which is YAML on one line, to a list of a column. The list is created if it is absent."""
        node, joined = self._column(column), ", ".join(items)
        found = _find(node, key)
        if found is None:
            self._add_pair(node, key, f"[{joined}]")
        elif found.flow_style:
            at, comma = (self._end(found.value[-1]), ", ") if found.value else (found.start_mark.index + 1, "")
            self._edits.append((at, at, f"{comma}{joined}"))
        else:
            self._insert_after(found.value[-1], [f"{' ' * found.start_mark.column}- {item}" for item in items])

    def set_custom_properties(self, column: str, items: Mapping[str, str]) -> None:
        """Add or replace custom properties of a column: items of `customProperties` on one line, by property."""
        found = _find(self._column(column), "customProperties")
        present = {}
        for one in found.value if found else ():
            present[self._value(_mapping(one, "a custom property"), "property").value] = one
        for name, item in items.items():
            if name in present:
                self._replace(present[name], item)
        if new := [item for name, item in items.items() if name not in present]:
            self.add_item(column, "customProperties", *new)

    def set_pair(self, column: str, key: str, value: str | None) -> None:
        """Give a property of a column another value, which is YAML on one line; None removes it."""
        node = self._column(column)
        found = _find(node, key)
        if found is None and value is not None:
            self._add_pair(node, key, value)
        elif found is not None and value is not None:
            self._edits.append((found.start_mark.index, self._end(found), value))
        elif found is not None:
            self._remove_pair(node, key)

    def _column(self, name: str) -> yaml.MappingNode:
        for node in self._properties.value:
            mapping = _mapping(node, "a column")
            if self._value(mapping, "name").value == name:
                return mapping
        raise ContractError(f"the contract has no column {name}")

    def _value(self, node: yaml.MappingNode, key: str) -> Any:
        found = _find(node, key)
        if found is None:
            raise ContractError(f"the contract lacks {key!r} at line {node.start_mark.line + 1}")
        return found

    def _replace(self, node: yaml.Node, new: str) -> None:
        self._edits.append((node.start_mark.index, self._end(node), new))

    def _add_pair(self, node: yaml.MappingNode, key: str, value: str) -> None:
        """Add a property after `physicalType`, or to a mapping on one line at its end."""
        if node.flow_style:
            at = self._end(node.value[-1][1])
            self._edits.append((at, at, f", {key}: {value}"))
        else:
            margin = " " * node.start_mark.column
            self._insert_after(self._value(node, "physicalType"), [f"{margin}{key}: {value}"])

    def _remove_pair(self, node: yaml.MappingNode, key: str) -> None:
        place = next(place for place, (name, _) in enumerate(node.value) if name.value == key)
        if node.flow_style or place == 0:
            raise ContractError(f"remove {key!r} of line {node.start_mark.line + 1} by hand")
        name, value = node.value[place]
        begin = name.start_mark.index - name.start_mark.column
        self._edits.append((begin, self._line_end(self._end(value)), ""))

    def _insert_after(self, node: yaml.Node, lines: list[str]) -> None:
        at = self._line_end(self._end(node))
        before = "" if self._text[:at].endswith("\n") else "\n"
        self._edits.append((at, at, before + "".join(f"{line}\n" for line in lines)))

    def _end(self, node: yaml.Node) -> int:
        """Return the place after the last character of a node. Marks of blocks are after the blank lines below."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            return self._end(last[1] if isinstance(last, tuple) else last)
        return len(self._text[: node.end_mark.index].rstrip())

    def _line_end(self, at: int) -> int:
        """Return the place after the line end of a line."""
        found = self._text.find("\n", at)
        return len(self._text) if found < 0 else found + 1


def _mapping(node: Any, what: str) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise ContractError(f"{what} is not a mapping")
    return node


def _find(node: yaml.MappingNode, key: str) -> Any:
    return next((value for name, value in node.value if name.value == key), None)
