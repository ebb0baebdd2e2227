"""Write a contract as YAML, laid out as people write it, with comments above the lines that they are about."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from waybill.contracts.standard import Steps

_WIDTH: Final = 120
_BLOCKS: Final = frozenset({"description", "servers", "schema", "properties", "customProperties", "slaProperties"})
"""The objects and lists that take a line for each of their items; others take one line."""
_ONE_LINE_ITEMS: Final = frozenset({"customProperties", "slaProperties"})

_LINE_ENDS: Final = frozenset("\n\r\x85\u2028\u2029")
"""Characters that YAML folds unless they are escaped."""

Comments = Mapping[Steps, Sequence[str]]
"""The comments above the line of each place of a document; () is the place before the first line."""


def to_yaml(document: Mapping[str, Any], comments: Comments) -> str:
    """Return the text of a contract."""
    lines = [*_comments(comments, (), ""), *_mapping(document, comments, (), "")]
    return "\n".join(lines) + "\n"


def _mapping(value: Mapping[str, Any], comments: Comments, steps: Steps, indent: str) -> Iterator[str]:
    for key, item in value.items():
        here = (*steps, key)
        yield from _comments(comments, here, indent)
        if key not in _BLOCKS or isinstance(item, str):
            yield from _pair(key, item, indent)
            continue
        yield f"{indent}{key}:"
        if isinstance(item, Mapping):
            yield from _mapping(item, comments, here, indent + "  ")
            continue
        for position, element in enumerate(item):
            yield from _comments(comments, (*here, position), indent + "  ")
            if key in _ONE_LINE_ITEMS:
                yield f"{indent}  - {one_line(element)}"
            else:
                first, *others = _mapping(element, comments, (*here, position), indent + "    ")
                yield f"{indent}  - {first.lstrip()}"
                yield from others


def _pair(key: str, value: Any, indent: str) -> Iterator[str]:
    line = f"{indent}{key}: {one_line(value)}"
    # Only such a text is the same after it has been folded into several lines.
    may_be_folded = isinstance(value, str) and value == " ".join(value.split()) and value.isprintable()
    if len(line) > _WIDTH and may_be_folded:
        yield f"{indent}{key}: >-"
        yield from _wrapped(value, indent + "  ")
    else:
        yield line


def _wrapped(text: str, start: str) -> list[str]:
    """Return the lines of a text, each with the same start."""
    return textwrap.wrap(
        text, _WIDTH, initial_indent=start, subsequent_indent=start, break_long_words=False, break_on_hyphens=False
    )


def one_line(value: Any) -> str:
    """Return a value as YAML on one line: `{property: loadMode, value: merge}`."""
    import yaml

    def dumped(*, allow_unicode: bool) -> str:
        text = yaml.safe_dump(
            value, default_flow_style=True, sort_keys=False, allow_unicode=allow_unicode, width=float("inf")
        )
        return str(text).removesuffix("\n").removesuffix("\n...")

    text = dumped(allow_unicode=True)
    return text if _LINE_ENDS.isdisjoint(text) else dumped(allow_unicode=False)


def _comments(comments: Comments, steps: Steps, indent: str) -> Iterator[str]:
    for comment in comments.get(steps, ()):
        yield from _wrapped(comment, f"{indent}# ")
