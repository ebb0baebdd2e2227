"""Pseudonyms of values, and what SQL needs to compute an HMAC with SHA-256 (RFC 2104) by two plain hashes."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

CHARACTERS: Final = 32
"""How many hexadecimal digits of the HMAC a pseudonym has: 128 bits."""
_BLOCK_BYTES: Final = 64  # of SHA-256


def padded_keys(key: bytes) -> tuple[bytes, bytes]:
    """Return what the HMAC hashes before the text, and before the inner hash."""
    block = key if len(key) <= _BLOCK_BYTES else hashlib.sha256(key).digest()
    block = block.ljust(_BLOCK_BYTES, b"\0")
    inner, outer = (bytes(byte ^ pad for byte in block) for pad in (0x36, 0x5C))
    return inner, outer


def pseudonym(key: bytes, value: str) -> str:
    """Return the pseudonym of a value's text."""
    return hmac.digest(key, value.encode(), "sha256").hex()[:CHARACTERS]
