"""Find rows whose key may have occurred before, in one pass with a fixed amount of memory.

A Bloom filter keeps the two bits of a key in one word, so that each key needs one access to a table far larger than
the processor's caches. A row whose bits are both set is a duplicate candidate: its key is repeated, or another key has
the same bits by chance. All other rows are the first of their key. Candidates are few; the caller compares them with
the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_SLOTS_PER_ROW = 64
_MAX_BITS = 29  # 64 MiB
_WORD_BITS = 6


class SeenKeys:
    """The bits set so far, in words of 64 bits."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        bits = min(max((rows * _SLOTS_PER_ROW).bit_length(), 10), _MAX_BITS)
        self._shift = np.uint64(64 - bits + _WORD_BITS)
        self._words = np.zeros(2 ** (bits - _WORD_BITS), dtype=np.uint64)

    def candidates(self, hashes: np.ndarray) -> np.ndarray:
        """Return the mask of the rows whose 64-bit hash may have occurred in an earlier call or row.

        The mask never misses a repeated hash.
        """
        import numpy as np

        word = (hashes >> self._shift).astype(np.intp)
        one, last, width = np.uint64(1), np.uint64(63), np.uint64(_WORD_BITS)
        bits = (one << (hashes & last)) | (one << ((hashes >> width) & last))
        taken = self._words[word]
        mask: np.ndarray = (taken & bits) == bits
        self._words[word] = taken | bits
        while len(word):  # each pass stores the bits of one of the rows that share a word
            left_out = (self._words[word] & bits) != bits
            word, bits = word[left_out], bits[left_out]
            self._words[word] |= bits
        # Within the call, compare halves of the hashes: sorting half as many bytes takes half the time.
        half = (hashes >> np.uint64(32)).astype(np.uint32)
        ordered = np.sort(half)
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(repeated):
            rows = np.flatnonzero(np.isin(half, repeated))
            rows = rows[np.argsort(half[rows], kind="stable")]
            mask[rows[1:][half[rows[1:]] == half[rows[:-1]]]] = True
        return mask
