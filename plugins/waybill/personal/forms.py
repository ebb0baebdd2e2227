"""The forms of values that are personal data: how each is found in a text, and when a column has it.

Each value of a column is one text. A pattern finds candidates in it, and a rule accepts some of them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from waybill.personal.check_digits import (
    is_card,
    is_cpf,
    is_dutch_bsn,
    is_german_tax_id,
    is_iban,
    is_insee,
    is_international_phone,
    is_nino,
    is_personnummer,
    is_pesel,
    is_spanish_id,
    is_us_ssn,
)

EMAIL: Final = "an email address"
PHONE: Final = "a telephone number"
ACCOUNT: Final = "a bank account"
CARD: Final = "a payment card"
NATIONAL_ID: Final = "a national id"
IP_ADDRESS: Final = "an IP address"


@dataclass(frozen=True)
class Form:
    """One form of a kind of personal data."""

    kind: str
    hint: str
    """What a text with a candidate has, for Arrow's engine: a word boundary and few repetitions keep it fast."""
    pattern: str
    """The pattern of a candidate."""
    before: str = r"(?<![\w.,/+-])"
    after: str = r"(?![\w-]|[.,]\d)"
    """What must not stand around a candidate: it would be a part of something longer."""
    accepts: Callable[[str], bool | None] = lambda _: True
    """Return whether a candidate is one; None if it does not count as a candidate."""
    inside: int | None = None
    """In so many values a candidate within a longer text is enough; None if only whole values count."""
    least: int = 3
    """How many different values a column needs whose values are such as a whole."""
    counts_alone: bool = True
    """Whether a value that is nothing else counts towards `inside`. A number may also be a measurement."""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """Return the pattern with what must not stand around it."""
        return re.compile(f"{self.before}(?:{self.pattern}){self.after}")


_FILES: Final = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp", "pdf", "css", "js", "html", "json", "xml"})


def _is_email(text: str) -> bool | None:
    return None if text.rpartition(".")[2].lower() in _FILES else True


def _is_ip_address(text: str) -> bool | None:
    """Return whether a text is an IP address, and no version such as 1.2.3.4, whose numbers are small."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.version == 6 or address.packed[0] == 10 or max(address.packed) > 99


def _is_national_phone(text: str) -> bool | None:
    return True if 9 <= sum(sign.isdigit() for sign in text) <= 13 else None


def _plain(
    kind: str, pattern: str, accepts: Callable[[str], bool | None], *, inside: int | None = None, least: int = 3
) -> Form:
    """Return a form of which each candidate is one word, or a few, for Arrow's engine too."""
    return Form(kind, rf"\b(?:{pattern})\b", pattern, accepts=accepts, inside=inside, least=least)


FORMS: Final = (
    Form(
        EMAIL,
        hint="@",
        pattern=r"[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.)+[A-Za-z]{2,24}",
        before=r"(?<![\w.%+'@-])",
        after=r"(?![\w@-]|\.\w|:[\w/])",
        accepts=_is_email,
        inside=1,
        least=1,
    ),
    Form(
        ACCOUNT,
        hint=r"\b[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}|\b[a-z]{2}[0-9]{2} ?[0-9]{4}",
        pattern=r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,40}|[a-z]{2}[0-9]{2}(?: ?[0-9]){11,30}",
        before=r"(?<![A-Za-z0-9])",
        after="",
        accepts=is_iban,
        inside=1,
        least=1,
    ),
    Form(
        CARD,
        hint=r"\b[0-9]{15}[0-9]{0,4}\b|\b[0-9]{4}[ -][0-9]{4,6}[ -][0-9]{4}",
        pattern=r"[0-9]{15,19}|[0-9]{4} [0-9]{4} [0-9]{4} [0-9]{4}(?: [0-9]{3})?"
        r"|[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{4}|[0-9]{4} [0-9]{6} [0-9]{4,5}|[0-9]{4}-[0-9]{6}-[0-9]{4,5}",
        accepts=is_card,
        inside=1,
    ),
    # United States
    _plain(NATIONAL_ID, r"[0-9]{3}-[0-9]{2}-[0-9]{4}", is_us_ssn, inside=2),
    # Spain
    _plain(NATIONAL_ID, r"(?:[0-9]{8}|[XYZ]-?[0-9]{7})-?[A-Z]", is_spanish_id, inside=2),
    # The Netherlands
    _plain(NATIONAL_ID, r"[0-9]{9}", is_dutch_bsn, least=10),
    # Poland
    _plain(NATIONAL_ID, r"[0-9]{11}", is_pesel, least=10),
    # Brazil
    _plain(NATIONAL_ID, r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", is_cpf, inside=1),
    _plain(NATIONAL_ID, r"[0-9]{11}", is_cpf, least=10),
    # Sweden
    _plain(NATIONAL_ID, r"(?:[0-9]{6}|[0-9]{8})[-+][0-9]{4}", is_personnummer, inside=2),
    _plain(NATIONAL_ID, r"(?:[0-9]{10}|[0-9]{12})", is_personnummer, least=10),
    # Germany
    _plain(NATIONAL_ID, r"[0-9]{11}", is_german_tax_id, least=10),
    # France
    _plain(NATIONAL_ID, r"[12][0-9]{4}(?:[0-9]{2}|2[AB])[0-9]{8}", is_insee, inside=2),
    _plain(NATIONAL_ID, r"[12] [0-9]{2} [0-9]{2} (?:[0-9]{2}|2[AB]) [0-9]{3} [0-9]{3} [0-9]{2}", is_insee, inside=1),
    # The United Kingdom
    _plain(
        NATIONAL_ID,
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:[0-9]{6}| [0-9]{2} [0-9]{2} [0-9]{2} )[A-D]",
        is_nino,
        inside=2,
    ),
    Form(
        PHONE,
        hint=r"\+[1-9][0-9.]*[ ()/-][0-9 ()/.-]{3}|\+[1-9][0-9]*\.[0-9]+\.[0-9]",
        pattern=r"(?=\+[0-9.]*[ ()/-]|\+[0-9]+\.[0-9]+\.)\+[1-9](?:[ ()/.-]{0,2}[0-9]){7,14}",
        before=r"(?<![\w.,+/-])",
        accepts=is_international_phone,
        inside=1,
    ),
    Form(
        PHONE,
        hint=r"\+[1-9][0-9.]{7}",
        pattern=r"\+[1-9][0-9]*(?:\.[0-9]+)?",
        before=r"(?<![\w.,+/-])",
        accepts=is_international_phone,
        inside=1,
        counts_alone=False,
    ),
    # North America
    Form(
        PHONE,
        hint=r"\b[2-9][0-9]{2}(?:\) ?|[.-])[2-9][0-9]{2}[.-][0-9]{4}\b",
        pattern=r"(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[.-][0-9]{4}",
        inside=2,
    ),
    # Countries with the prefix 0, and international numbers with the prefix 00
    Form(
        PHONE,
        hint=r"\b0[0-9]{1,5}\)?[ /.-][0-9]{2}",
        pattern=r"\(?0[0-9]{1,5}\)?(?:[ /-]|[.][0-9]{2}[.])[0-9]{2,8}(?:[ ./-]?[0-9]{2,4}){0,4}",
        accepts=_is_national_phone,
    ),
    _plain(IP_ADDRESS, r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", _is_ip_address),
    Form(
        IP_ADDRESS,
        hint=r":[0-9a-fA-F]{0,4}:",
        pattern=r"(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F.]{0,15}",
        before="",
        after="",
        accepts=_is_ip_address,
    ),
)
"""All forms, the certain ones first."""
