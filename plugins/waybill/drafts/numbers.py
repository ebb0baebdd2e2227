"""Find the signs with which a column writes its numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from waybill.contracts.number_format import MINUSES, SPACES, THOUSANDS

_CURRENCY: Final = (
    r"US\$|R\$|[€$£¥₹₽₺₩₫₪₴₦฿]|kr\.?|zł|Kč|Fr\.|EUR|USD|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|RON|BGN|TRY|RUB|UAH|AUD"
    r"|CAD|NZD|SGD|HKD|KRW|THB|MXN|BRL|ZAR|ILS|AED|SAR"
)
_MINUS: Final = "".join(MINUSES)
_SEPARATORS: Final = "".join(THOUSANDS)
_NUMBER: Final = re.compile(
    rf"(?:(?P<first>{_CURRENCY})[{SPACES}]*(?=\())?(?P<open>\()?"
    rf"(?P<sign>[{_MINUS}+])?(?P<before>{_CURRENCY})?[{SPACES}]*(?P<second>[{_MINUS}+])?"
    rf"(?P<core>[0-9](?:[0-9{_SEPARATORS}]*[0-9])?)[{SPACES}]*(?P<percent>%)?[{SPACES}]*(?P<after>{_CURRENCY})?"
    rf"(?P<tail>[{_MINUS}])?"
    rf"(?P<close>\)(?:[{SPACES}]*(?P<outer_percent>%))?(?:[{SPACES}]*(?P<last>{_CURRENCY}))?)?"
)
LIKE_A_NUMBER: Final = _NUMBER.pattern


@dataclass
class _Signs:
    """What the numbers of a sample show."""

    decimals: set[str] = field(default_factory=set)
    """Signs that can only be decimal signs."""
    thousands: set[str] = field(default_factory=set)
    """Signs that can only separate thousands."""
    unclear: set[str] = field(default_factory=set)
    """Signs with three digits after them, which may be either."""
    currency: dict[str, None] = field(default_factory=dict)
    minus: dict[str, None] = field(default_factory=dict)
    has_percent: bool = False
    has_parentheses: bool = False
    has_trailing_minus: bool = False
    has_long_groups: bool = False
    """Whether a number of four digits or more has no sign between thousands."""


def number_format(texts: Sequence[str]) -> tuple[dict[str, Any], list[str]] | None:
    """Return the declaration of the signs of numbers, and its doubts; None if the texts do not agree on one.

    The declaration is empty for plain numbers. Texts that are no numbers are ignored.
    """
    signs = _signs_of(texts)
    doubts = []
    if signs.unclear - signs.thousands - signs.decimals:
        settled = _settle(signs)
        if settled is None:
            return None
        doubts.append(settled)
    decimals, thousands = signs.decimals - {""}, signs.thousands
    if len(decimals) > 1 or decimals & thousands:
        return None
    decimal = next(iter(decimals), "," if thousands == {"."} else ".")
    found: dict[str, Any] = {}
    if decimal != ".":
        found["decimal"] = decimal
    if thousands:
        found["thousands"] = _one_or_list(sorted(thousands))
    if signs.currency:
        found["currency"] = _one_or_list([*signs.currency])
        if len(signs.currency) > 1:
            doubts.append(
                f"the values have several currencies: {', '.join(signs.currency)}. A load does not distinguish them."
            )
    if signs.has_percent:
        found["percent"] = "number"
        doubts.append("12% is read as 12. Write `percent: fraction` to read it as 0.12.")
    if signs.has_parentheses:
        found["parentheses"] = True
    if signs.has_trailing_minus:
        found["trailingMinus"] = True
    if {*signs.minus} - {"-"}:
        found["minus"] = _one_or_list([*signs.minus])
    return found, doubts


def _signs_of(texts: Sequence[str]) -> _Signs:
    signs = _Signs()
    for text in texts:
        match = _NUMBER.fullmatch(text)
        if match is None or bool(match["open"]) != bool(match["close"]):
            continue
        words = [*filter(None, match.group("first", "before", "after", "last"))]
        if len(words) > 1 and match["open"]:
            continue
        signs.currency.update(dict.fromkeys(words))
        for sign in filter(None, (match["sign"], match["second"], match["tail"])):
            if sign != "+":
                signs.minus[sign] = None
        signs.has_percent |= bool(match["percent"] or match["outer_percent"])
        signs.has_parentheses |= match["open"] is not None
        signs.has_trailing_minus |= match["tail"] is not None
        _note(match["core"], signs)
    return signs


def _note(core: str, signs: _Signs) -> None:
    """Note what the separators of one number show."""
    separators = re.findall(f"[{_SEPARATORS}]", core)
    parts = re.split(f"[{_SEPARATORS}]", core)
    signs.has_long_groups |= len(parts[0]) > 3
    signs.thousands |= {*separators} - {*".,"}
    points = [sign for sign in separators if sign in ".,"]
    if len({*points}) == 2:
        signs.decimals.add(points[-1])
        signs.thousands.add(points[0])
    elif len(points) > 1:
        signs.thousands.add(points[0])
    elif points:
        is_group = len(parts[-1]) == 3 and len(parts[0]) <= 3 and parts[0].lstrip("0")
        (signs.unclear if is_group and len(parts) == 2 else signs.decimals).add(points[0])


def _settle(signs: _Signs) -> str | None:
    """Decide about a sign that may separate thousands or decimals. Return the doubt, or None if nothing tells."""
    [*unclear] = signs.unclear - signs.thousands - signs.decimals
    if len(unclear) > 1:
        return None
    [sign] = unclear
    other = "," if sign == "." else "."
    if other in signs.decimals and not signs.has_long_groups:
        signs.thousands.add(sign)
        return f"{sign!r} is read as the thousands separator, because {other!r} is the decimal sign."
    if sign == ".":
        signs.decimals.add(sign)
        return "each point has three digits after it. If it separates thousands, write `thousands: '.'`."
    if other in signs.thousands or other in signs.decimals or signs.has_long_groups:
        return None
    signs.thousands.add(sign)
    return f"{sign!r} is read as the thousands separator, because no number with four or more digits lacks it."


def _one_or_list(items: Sequence[str]) -> str | list[str]:
    return items[0] if len(items) == 1 else [*items]
