"""Waybill: files in S3 become audited tables and reports, and every number can be traced to its files."""

import sys
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11, 5):
    raise ImportError(
        f"Waybill needs Python 3.11.5 or newer, and this is {sys.version.split()[0]}. "
        "Earlier ones match possessive quantifiers wrongly, so records would be counted wrongly."
    )

if TYPE_CHECKING:
    from waybill.analysis.frames import Trace, read, trace, training_set

__all__ = ["Trace", "read", "trace", "training_set"]


def __getattr__(name: str) -> Any:
    """Import what notebooks use when it is first used: `import waybill` alone must cost nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'waybill' has no attribute {name!r}")
    from waybill.analysis import frames

    return getattr(frames, name)


def __dir__() -> list[str]:
    """Return the names for completion."""
    return sorted({*globals(), *__all__})
