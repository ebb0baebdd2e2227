"""Describe how a column writes numbers, and compile the form and value of such texts for DuckDB."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from waybill.contracts.quoting import literal

THOUSANDS: Final = (".", ",", " ", "\u00a0", "\u202f", "\u2009", "'", "\u2019", "_")
MINUSES: Final = ("-", "\u2212", "\u2013")
SPACES: Final = " \u00a0\u202f"
"""The blanks that may separate a currency or a percent sign from the number."""
_RESERVED: Final = re.compile(r"[0-9\s%()+\-\u2212\u2013]")
"""Characters that a currency must not have, because numbers have them."""


@dataclass(frozen=True)
class NumberFormat:
    """The signs with which a column writes its numbers. Nothing else is accepted."""

    decimal: str = "."
    thousands: tuple[str, ...] = ()
    """The signs that may separate groups of three digits; one number has one of them."""
    currency: tuple[str, ...] = ()
    """Signs and words that may stand once before or after the number."""
    percent: Literal["number", "fraction"] | None = None
    """`number`: 12% is 12, and the sign is optional. `fraction`: 12% is 0.12, and the sign is required."""
    parentheses: bool = False
    """Whether a number in parentheses is negative."""
    trailing_minus: bool = False
    """Whether the minus sign may follow the number."""
    minus: tuple[str, ...] = ("-",)

    @staticmethod
    def of(raw: Mapping[str, Any]) -> NumberFormat:
        """Return the format that a contract declares."""
        return NumberFormat(
            decimal=raw.get("decimal", "."),
            thousands=_listed(raw.get("thousands", [])),
            currency=_listed(raw.get("currency", [])),
            percent=raw.get("percent"),
            parentheses=raw.get("parentheses", False),
            trailing_minus=raw.get("trailingMinus", False),
            minus=_listed(raw.get("minus", "-")),
        )

    def form(self, scale: int | None) -> str:
        """Return the regular expression of the accepted texts with at most `scale` decimal places; None: any number."""
        groups = [f"[1-9][0-9]{{0,2}}(?:{_escaped(sign)}[0-9]{{3}})+" for sign in self.thousands]
        digits = "(?:" + "|".join([*groups, "[0-9]+"]) + ")"
        places = scale if scale is None or self.percent != "fraction" else scale - 2
        if places != 0:
            digits += rf"(?:{_escaped(self.decimal)}[0-9]{{1,{places or ''}}})?"
        space = f"[{SPACES}]*"
        percent = {None: "", "number": f"(?:{space}%)?", "fraction": f"{space}%"}[self.percent]
        words = "|".join(map(_escaped, self.currency))
        before, after = (f"(?:(?:{words}){space})", f"(?:{space}(?:{words}))?") if words else ("", "")
        minus = f"[{''.join(map(_escaped, self.minus))}]"
        sign = f"[+{''.join(map(_escaped, self.minus))}]?"
        number = f"{digits}{percent}"
        forms = [f"{sign}{number}{after}"]
        if words:
            forms += [f"{sign}{before}{number}", f"{before}{sign}{number}"]
        if self.trailing_minus:
            trailing = f"{digits}(?:{minus}{percent}|{percent}{minus})"
            forms += [f"{trailing}{after}", f"{digits}{percent}{after}{minus}", f"{before}{trailing}"]
        if self.parentheses:
            enclosed = rf"[(]{number}[)]|[(]{digits}[)]{percent}"
            forms += [rf"[(]{number}{after}[)]", f"(?:{enclosed}){after}"]
            if words:
                forms += [rf"[(]{before}{number}[)]", f"{before}(?:{enclosed})"]
        return "|".join(f"(?:{form})" for form in forms)

    def plain(self, text: str) -> str:
        """Return the expression that writes an accepted `text` with digits, a point and a sign only."""
        # A chain of replacements is faster than `translate` and regular expressions.
        for sign, plain in self._written.items():
            if sign != plain:
                text = f"replace({text}, {literal(sign)}, {literal(plain)})"
        if self.trailing_minus:
            text = rf"regexp_replace({text}, '^([^-]+)-', '-\1')"
        if self.percent == "fraction":
            padded = rf"regexp_replace({text}, '^([+-]?)', '\100')"
            text = rf"regexp_replace({padded}, '([0-9]{{2}})([.]|$)', '.\1')"
        return text

    @property
    def _written(self) -> dict[str, str]:
        """The signs of an accepted text, each with what it becomes."""
        spaces = SPACES if self.currency or self.percent else ""
        removed = [*sorted(self.currency, key=len, reverse=True), *spaces, *self.thousands]  # longer words first
        removed += ["%"] * (self.percent is not None) + [")"] * self.parentheses
        negative = [sign for sign in self.minus if sign != "-"] + ["("] * self.parentheses
        return {**dict.fromkeys(removed, ""), **dict.fromkeys(negative, "-"), self.decimal: "."}

    def whole(self, text: str) -> str | None:
        """Return a whole number with digits and a sign only; None for another text.

        Unlike in a load, zeros may follow a decimal sign, which is the point if that does not separate thousands.
        """
        for sign in {self.decimal, "."} - {*self.thousands}:
            text = re.sub(rf"(?<=[0-9]){re.escape(sign)}0*(?![0-9])", "", text)
        if re.fullmatch(self.form(0), text) is None:
            return None
        for sign, plain in self._written.items():
            text = text.replace(sign, plain)
        return re.sub(r"^([^-]+)-$", r"-\1", text)

    @property
    def example(self) -> str:
        """Return a number in this format for messages."""
        separator = self.thousands[0] if self.thousands else ""
        number = f"1{separator}234{self.decimal}5" + ("%" if self.percent else "")
        return f"{number} {self.currency[0]}" if self.currency else number


def _listed(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) else (str(value),)


def _escaped(text: str) -> str:
    """Return a text for use in a regular expression or in its character classes."""
    return "".join(character if character.isalnum() or ord(character) > 127 else f"\\{character}" for character in text)


def problems(value: Any) -> Iterator[str]:
    """Yield what is wrong with the value of the property `numberFormat`."""
    if not isinstance(value, dict):
        yield f"must be an object of {', '.join(_PARTS)}, like {{decimal: ',', thousands: '.'}}, not {value!r}"
        return
    for name in value.keys() - _PARTS:
        yield f"has the unknown part {name!r}: known are {', '.join(_PARTS)}"
    wrong = [name for name, part in _PARTS.items() if name in value and not part[0](value[name])]
    for name in wrong:
        yield f"has a `{name}` that must be {_PARTS[name][1]}, not {value[name]!r}"
    if wrong:
        return
    declared = NumberFormat.of({name: value[name] for name in _PARTS if name in value})
    if declared.decimal in declared.thousands:
        yield f"has {declared.decimal!r} both as the decimal and as a thousands sign"


def _some_of(signs: tuple[str, ...]) -> Any:
    def holds(value: Any) -> bool:
        items = _listed(value)
        return bool(items) and len(set(items)) == len(items) and all(item in signs for item in items)

    return holds


def _are_currencies(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return (
        bool(items)
        and all(isinstance(item, str) and item for item in items)
        and len(set(items)) == len(items)
        and not any(_RESERVED.search(item) or item[0] in ".,'_\u2019" for item in items)
    )


def _named(signs: tuple[str, ...]) -> str:
    return ", ".join(repr(sign) if sign.isascii() else f"U+{ord(sign):04X}" for sign in signs)


_PARTS: Final = {
    "decimal": (lambda value: value in (".", ","), "'.' or ','"),
    "thousands": (_some_of(THOUSANDS), f"one or a list of {_named(THOUSANDS)}"),
    "currency": (
        _are_currencies,
        "a sign or word, or a list of them, like ['€', EUR], without digits, blanks, signs, %, and parentheses",
    ),
    "percent": (lambda value: value in ("number", "fraction"), "number or fraction"),
    "parentheses": (lambda value: isinstance(value, bool), "true or false"),
    "trailingMinus": (lambda value: isinstance(value, bool), "true or false"),
    "minus": (_some_of(MINUSES), f"one or a list of {_named(MINUSES)}"),
}
