"""Read files of variables of Terraform (`*.tfvars`), and the variables that a module declares."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

TOKEN: Final = re.compile(
    r'(?P<left_out>\s+|(?:#|//)[^\n]*|/\*.*?\*/)|(?P<string>"(?:[^"\\\n]|\\.)*")|(?P<number>-?\d+(?:\.\d+)?)'
    r"|(?P<word>[A-Za-z_][\w-]*)|(?P<mark>[{}\[\]=:,])",
    re.DOTALL,
)
WORDS: Final = {"true": True, "false": False, "null": None}
DECLARATION: Final = re.compile(r'^variable "(\w+)" \{\n(.*?)^\}', re.DOTALL | re.MULTILINE)


def load(path: Path) -> dict[str, Any]:
    """Return the values of a file by name. Raises `ValueError` with the line that cannot be read."""
    tokens = list(_tokens(path))
    values, end = _entries(path, tokens, 0)
    if end < len(tokens):
        raise _error(path, tokens[end])
    return values


def declared(path: Path) -> dict[str, bool]:
    """Return the variables that a file declares, and whether each needs a value."""
    found = DECLARATION.findall(path.read_text())
    return {name: re.search(r"^  default\s*=", body, re.MULTILINE) is None for name, body in found}


Token = tuple[str, str, int]
"""Kind, text and line."""


def _tokens(path: Path) -> Iterator[Token]:
    text, place = path.read_text(), 0
    while place < len(text):
        line = text.count("\n", 0, place) + 1
        found = TOKEN.match(text, place)
        if found is None:
            raise _error(path, ("", text[place : place + 20].split("\n")[0], line))
        if found.lastgroup != "left_out":
            yield str(found.lastgroup), found.group(), line
        place = found.end()


def _error(path: Path, token: Token) -> ValueError:
    return ValueError(f"{path}, line {token[2]}: cannot read {token[1]!r}")


def _entries(path: Path, tokens: list[Token], place: int) -> tuple[dict[str, Any], int]:
    """Return the entries `name = value` from a place on, and the place behind them."""
    entries: dict[str, Any] = {}
    while place < len(tokens) and tokens[place][0] in ("word", "string"):
        kind, text, _ = tokens[place]
        if tokens[place + 1 : place + 2] == [] or tokens[place + 1][1] not in ("=", ":"):
            raise _error(path, tokens[place])
        name = json.loads(text) if kind == "string" else text
        entries[name], place = _value(path, tokens, place + 2)
        place += tokens[place : place + 1] != [] and tokens[place][1] == ","
    return entries, place


def _value(path: Path, tokens: list[Token], place: int) -> tuple[Any, int]:
    """Return the value at a place, and the place behind it."""
    if place >= len(tokens):
        raise _error(path, (*tokens[-1][:1], "the end", tokens[-1][2]))
    kind, text, _ = tokens[place]
    if kind in ("string", "number"):
        return json.loads(text, strict=False), place + 1
    if kind == "word" and text in WORDS:
        return WORDS[text], place + 1
    if text == "{":
        entries, end = _entries(path, tokens, place + 1)
        if tokens[end : end + 1] and tokens[end][1] == "}":
            return entries, end + 1
    elif text == "[":
        return _items(path, tokens, place + 1)
    raise _error(path, tokens[place])


def _items(path: Path, tokens: list[Token], place: int) -> tuple[list[Any], int]:
    """Return the items of a list, and the place behind its bracket."""
    items: list[Any] = []
    while place < len(tokens) and tokens[place][1] != "]":
        item, place = _value(path, tokens, place)
        items.append(item)
        if place < len(tokens) and tokens[place][1] == ",":
            place += 1
        elif place < len(tokens) and tokens[place][1] != "]":
            raise _error(path, tokens[place])
    if place >= len(tokens):
        raise _error(path, tokens[-1])
    return items, place + 1
