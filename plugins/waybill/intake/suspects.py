"""Find rows whose key may have come before, in one pass with a fixed amount of memory.

A Bloom filter of two slots a key: a row whose slots are both taken is a suspect (a repeated key, or by chance
another one). All others are certainly first. Suspects are few and settled exactly, against the table, by
the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_SLOTS_PER_ROW = 64
_MAX_BITS = 29  # 64 MiB


class SeenKeys:
    """The slots taken so far, a bit for each."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        bits = min(max((rows * _SLOTS_PER_ROW).bit_length(), 10), _MAX_BITS)
        self._shift, self._mask = np.uint64(64 - bits), np.uint64(2**bits - 1)
        self._taken = np.zeros(2 ** (bits - 3), dtype=np.uint8)

    def suspects(self, hashes: np.ndarray) -> np.ndarray:
        """Mask of the rows whose 64-bit hash may have come before, in an earlier call or row; never misses one."""
        import numpy as np

        mask = np.ones(len(hashes), dtype=bool)
        for slots in (hashes >> self._shift, hashes & self._mask):
            byte, bit = (
                (slots >> np.uint64(3)).astype(np.intp),
                np.left_shift(np.uint8(1), (slots & np.uint64(7)).astype(np.uint8)),
            )
            mask &= (self._taken[byte] & bit) != 0
            while len(byte):  # of rows that share a byte one bit a time gets in
                self._taken[byte] |= bit
                left_out = (self._taken[byte] & bit) == 0
                byte, bit = byte[left_out], bit[left_out]
        ordered = np.sort(hashes)
        if np.any(ordered[1:] == ordered[:-1]):
            order = np.argsort(hashes, kind="stable")
            mask[order[1:][ordered[1:] == ordered[:-1]]] = True
        return mask
