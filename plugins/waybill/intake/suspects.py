"""Find rows whose key may have come before, in one pass with a fixed amount of memory.

One bit for each slot of the key's hash: a row whose slot is taken is a suspect (a repeated key, or by
chance another key of the same slot). All others are certainly first. Suspects are few and settled exactly,
against the table, by the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

_SLOTS_PER_ROW = 64
_MAX_BITS = 29  # 64 MiB


class SeenKeys:
    """The slots taken so far."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        bits = min(max((rows * _SLOTS_PER_ROW).bit_length(), 10), _MAX_BITS)
        self._shift = np.uint64(64 - bits)
        self._taken = np.zeros(2 ** (bits - 3), dtype=np.uint8)

    def suspects(self, hashes: np.ndarray) -> np.ndarray:
        """Mask of the rows whose slot was taken before, by an earlier call or an earlier row of this one."""
        import numpy as np

        slots = hashes >> self._shift
        byte, bit = slots >> np.uint64(3), np.left_shift(np.uint8(1), (slots & np.uint64(7)).astype(np.uint8))
        mask: np.ndarray = (self._taken[byte] & bit) != 0
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        mask[order[1:][ordered[1:] == ordered[:-1]]] = True
        np.bitwise_or.at(self._taken, byte, bit)
        return mask
