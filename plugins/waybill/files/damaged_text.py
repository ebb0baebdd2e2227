"""Find characters that were lost or encoded twice before a file was written. Such bytes are valid UTF-8."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_REPLACED = re.compile(rb"\xef\xbf\xbd")
_ENCODED_TWICE = re.compile(rb"\xc3[\x82\x83]\xc2[\x80-\xbf]|\xc3\xa2\xe2\x82\xac")
_DAMAGE = {
    _REPLACED: "the character U+FFFD, which programs write for text that they cannot decode",
    _ENCODED_TWICE: "text that appears to be encoded in UTF-8 twice, like `\u00c3\u00b6` for `\u00f6`",
}
_LONGEST_DAMAGE_BYTES = 5


class DamagedText:
    """Searches chunks of UTF-8 for characters that were lost before the file was written."""

    def __init__(self) -> None:
        self.found: str | None = None
        """The first evidence that was found."""
        self._tail = b""

    def watch(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the chunks, and search each of them until something is found."""
        for chunk in chunks:
            if self.found is None and not chunk.isascii():
                text = self._tail + chunk
                self.found = next((what for pattern, what in _DAMAGE.items() if pattern.search(text)), None)
            self._tail = chunk[1 - _LONGEST_DAMAGE_BYTES :]
            yield chunk
