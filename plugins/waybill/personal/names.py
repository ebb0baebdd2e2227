"""The names of columns that hold personal data, and the shape of values that do not contradict the name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from waybill.personal.forms import ACCOUNT, CARD, EMAIL, IP_ADDRESS, NATIONAL_ID, PHONE

NAME: Final = "a person's name"
ADDRESS: Final = "an address"
BIRTH: Final = "a date of birth"


@dataclass(frozen=True)
class Named:
    """The names of columns that hold a kind of personal data."""

    kind: str
    name: re.Pattern[str]
    """The whole name, as contracts write names."""
    fits: Callable[[str], object]
    """Return whether a value may be of the kind."""


def _named(kind: str, name: str, value: str) -> Named:
    return Named(kind, re.compile(name), re.compile(value).fullmatch)


NAMED: Final = (
    _named(EMAIL, r"(?:.*_)?e_?mail(?:_address)?(?:_.*)?", r"\S+@\S+"),
    _named(
        PHONE,
        r"(?:.*_)?(?:phone|telephone|tel|mobile|cell|fax|handy|telefon|telefonnummer|msisdn)"
        r"(?:_?(?:no|nr|number|nummer|home|work|mobile|office|private|[0-9]))*",
        r"[+(]?[0-9](?:[ ()/.-]{0,3}[0-9]){5,15}(?: ?(?:x|ext\.?) ?[0-9]{1,6})?",
    ),
    _named(
        NAME,
        r"(?:.*_)?(?:first|last|middle|given|family|maiden|full|user|contact|person|customer|client|patient|employee"
        r"|cardholder|holder|recipient)_?name|(?:.*_)?account_holder|surname|forename|vorname|nachname|familienname|nom"
        r"|prenom|apellidos?",
        r"[^\W\d_][^\d_@/:;=<>{}\[\]\"\\]{1,79}",
    ),
    _named(
        ADDRESS,
        r"(?:.*_)?(?:address|street|street_address|strasse|adresse|anschrift|rue|calle)(?:_?(?:line)?_?[0-9])?",
        r"(?s)(?=.*[^\W\d_]{2})(?!.*(?:@|://))(?=.*[\s\d.]|[^\W\d_]{5}).{4,300}",
    ),
    _named(
        BIRTH,
        r"(?:.*_)?(?:birth_?da(?:te|y)|date_of_birth|dob|born_on|born|geburtsdatum|geburtstag)",
        r"(?=(?:.*\d){4}).{6,40}",
    ),
    _named(ACCOUNT, r"(?:.*_)?(?:iban|bank_account|kontonummer)", r"[A-Za-z]{0,2}[0-9][A-Za-z0-9 /-]{5,40}"),
    _named(CARD, r"(?:.*_)?(?:card_number|credit_card|card_no|pan)", r"[0-9*xX][0-9*xX -]{10,22}"),
    _named(
        NATIONAL_ID,
        r"(?:.*_)?(?:ssn|social_security(?:_number)?|national_id|nin|nino|passport(?:_no|_number)?|tax_id|steuer_?id"
        r"|steuernummer|aadhaar|cpf|dni|bsn|pesel|personal_?(?:no|number|nummer)|driver_?licen[cs]e)",
        r"(?=.*\d)[A-Za-z0-9][A-Za-z0-9 ./-]{4,24}",
    ),
    _named(
        IP_ADDRESS,
        r"(?:.*_)?ip(?:_?v[46])?(?:_?addr(?:ess)?)?",
        r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|(?=.*:.*:)[0-9a-fA-F:.]{2,45}",
    ),
)
"""The kinds by name. An earlier one counts."""
NO_ADDRESSES: Final = re.compile(r"(?:.*_)?(?:version|release|build|firmware|revision)(?:_.*)?")
"""Columns with such a name have versions like 10.2.3.4, and no IP addresses."""
