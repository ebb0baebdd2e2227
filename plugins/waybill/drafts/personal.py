"""Recognise columns that look personal, by their names and by the form of their values."""

from __future__ import annotations

import re
from typing import Final

from waybill.drafts.profile import Texts

_NAMES: Final = {
    "an email address": r"(?:.*_)?e_?mail(?:_address)?(?:_.*)?",
    "a telephone number": (
        r"(?:.*_)?(?:phone|telephone|tel|mobile|cell|fax|handy|telefon|telefonnummer)(?:_?(?:no|nr|number|nummer))?"
    ),
    "a person's name": (
        r"(?:.*_)?(?:first|last|middle|given|family|maiden|full|user|contact|person|customer|client|patient|employee"
        r"|cardholder|holder|recipient)_?name|surname|forename|vorname|nachname|familienname|nom|prenom|apellidos?"
    ),
    "an address": (
        r"(?:.*_)?(?:address|street|street_address|strasse|adresse|anschrift|rue|calle)(?:_?(?:line)?_?[0-9])?"
    ),
    "a date of birth": r"(?:.*_)?(?:birth_?da(?:te|y)|date_of_birth|dob|born_on|born|geburtsdatum|geburtstag)",
    "a bank account": r"(?:.*_)?(?:iban|bank_account|account_holder|kontonummer)",
    "a payment card": r"(?:.*_)?(?:card_number|credit_card|card_no|pan)",
    "a national id": (
        r"(?:.*_)?(?:ssn|social_security(?:_number)?|national_id|nin|nino|passport(?:_no|_number)?|tax_id|steuer_?id"
        r"|steuernummer|aadhaar|cpf|dni|bsn|pesel|personal_?(?:no|number|nummer)|driver_?licen[cs]e)"
    ),
    "an IP address": r"(?:.*_)?ip(?:_?v[46])?(?:_?addr(?:ess)?)?",
}
"""What columns with a name hold."""
_VALUES: Final = {
    "an email address": r"[^@\s]+@[^@\s]+\.[^@\s.]+",
    "a bank account": r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?",
    "an IP address": r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)|(?=(?:.*:){3})[0-9a-fA-F:]+",
    "a telephone number": r"\+[1-9][0-9 ()/.-]{6,18}[0-9]",
    "a national id": r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
}
_ENOUGH: Final = 0.8


def personal_kind(texts: Texts) -> str | None:
    """Return what a column holds if it looks personal: `an email address`; None for other columns."""
    for kind, pattern in _NAMES.items():
        if re.fullmatch(pattern, texts.name):
            return kind
    if texts.sample:
        for kind, pattern in _VALUES.items():
            if texts.share(pattern) >= _ENOUGH:
                return kind
    return None
