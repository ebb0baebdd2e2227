"""Find many texts at once within other texts: in any case, as whole words, and by their beginning if they are long."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

LONGEST: Final = 50
"""How many characters of a text are searched for: messages and profiles keep the beginning of a long one."""
_END: Final = ""
"""The key of a tree under which the end of a text is: what must follow it."""


class Phrases:
    """Texts that are searched for, as they are and as they are written in JSON."""

    def __init__(self, texts: Iterable[str]) -> None:
        forms = {form for text in texts for form in _forms(text)}
        self._long: dict[str, list[str]] = {}
        tree: dict[str, Any] = {}
        for form in sorted(forms):
            beginning, node = form[:LONGEST], tree
            is_long = len(form) > LONGEST
            if is_long:
                self._long.setdefault(beginning.lower(), []).append(form)
            for character in beginning:
                node = node.setdefault(_folded(character), {})
            node[_END] = "" if is_long or node.get(_END) == "" else r"(?!\w)"
        # A text in JSON may follow a line end, which is written as a letter.
        before = r"(?:(?<!\w)|(?<=\\[nrt]))"
        self._pattern = re.compile(before + _written(tree), re.IGNORECASE) if tree else None

    def is_in(self, text: str) -> bool:
        """Return whether one of the texts is in another text."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def replaced(self, text: str, instead: str) -> str:
        """Return a text in which each of the texts is replaced; of a text that was cut, what is there of it."""
        if self._pattern is None:
            return text
        found, done = list[str](), 0
        for match in self._pattern.finditer(text):
            if match.start() >= done:
                found += [text[done : match.start()], instead]
                done = self._end(text, match)
        return "".join([*found, text[done:]]) if found else text

    def _end(self, text: str, match: re.Match[str]) -> int:
        """Return where a text ends that was found by its beginning."""
        ends = [match.end()]
        for form in self._long.get(match[0].lower(), ()):
            rest = zip(form[LONGEST:], text[match.end() :], strict=False)
            same = next((place for place, (one, other) in enumerate(rest) if one.lower() != other.lower()), None)
            ends.append(match.end() + (min(len(form) - LONGEST, len(text) - match.end()) if same is None else same))
        return max(ends)


def _forms(text: str) -> set[str]:
    return {text, *(json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (False, True))} - {""}


def _folded(character: str) -> str:
    lower = character.lower()
    return lower if len(lower) == 1 else character


def _written(tree: dict[str, Any]) -> str:
    """Return a tree of characters as a regular expression: it takes as long for many texts as for few."""
    branches = []
    for first, branch in tree.items():
        if first == _END:
            continue
        text, node = first, branch
        while len(node) == 1 and _END not in node:
            ((character, node),) = node.items()
            text += character
        branches.append(re.escape(text) + _written(node))
    if _END in tree:
        branches.append(tree[_END])
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
