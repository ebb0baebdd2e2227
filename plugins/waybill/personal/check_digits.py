"""Check digits and other rules of numbers that identify persons, accounts and cards.

Each function takes a text of the form that its pattern in `forms` matches. It returns True if the text meets the rules,
False if its check digits are wrong, and None if the text has another form after all, such as an unknown country.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Final

_IBANS: Final = (
    "AD:24 AE:23 AL:28 AT:20 AZ:28 BA:20 BE:16 BG:22 BH:22 BI:27 BR:29 BY:28 CH:21 CR:22 CY:28 CZ:24 DE:22 "
    "DJ:27 DK:18 DO:28 EE:20 EG:29 ES:24 FI:18 FK:18 FO:18 FR:27 GB:22 GE:22 GI:23 GL:18 GR:27 GT:28 HR:21 "
    "HU:28 IE:22 IL:23 IQ:23 IS:26 IT:27 JO:30 KW:30 KZ:20 LB:28 LC:32 LI:21 LT:20 LU:20 LV:21 LY:25 MC:27 "
    "MD:24 ME:22 MK:19 MN:20 MR:27 MT:31 MU:30 NI:28 NL:18 NO:15 OM:23 PK:24 PL:28 PS:29 PT:25 QA:29 RO:24 "
    "RS:22 RU:33 SA:24 SC:31 SD:18 SE:24 SI:19 SK:24 SM:27 SO:23 ST:25 SV:28 TL:23 TN:24 TR:26 UA:29 VA:22 "
    "VG:24 XK:20 YE:30"
)
IBAN_LENGTHS: Final = {country: int(length) for country, _, length in (one.partition(":") for one in _IBANS.split())}
"""The number of characters of an IBAN by country. Source: SWIFT, IBAN Registry, release 97."""
_CARDS: Final = re.compile(
    r"4(?:\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:6011|65\d\d|64[4-9]\d|35(?:2[89]|[3-8]\d)|62\d\d|60\d\d|81\d\d|50\d\d|5[6-8]\d\d|6[37]\d\d)\d{12}"
    r"|3(?:0[0-59]|[689]\d)\d{11}"
)
"""Lengths and prefixes of Visa, Mastercard, American Express, Discover, JCB, UnionPay, RuPay, Maestro and Diners."""
_CALLING_CODE: Final = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|(?:2[1-689]|3[578]|42|5[09]|6[789]|8[0578]|9[679])\d"
)
"""The calling codes of countries. Source: ITU-T E.164, list of assigned codes."""
_KEEP_ZERO: Final = frozenset({"39", "225", "229", "241", "242", "378", "379"})
"""Calling codes after which a number may begin with 0."""
_NO_NINO: Final = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})
_DNI: Final = "TRWAGMYFPDXBNJZSQVHLCKE"


def _digits(text: str) -> list[int]:
    return [int(sign) for sign in text if sign.isdigit()]


def _weighted(digits: Iterable[int], weights: Iterable[int]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def _luhn(digits: Sequence[int]) -> bool:
    """Return whether the last digit is the check digit of ISO/IEC 7812-1, annex B."""
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def is_card(text: str) -> bool | None:
    """Return whether a number with the length and prefix of an issuer of payment cards has the right check digit."""
    digits = re.sub(r"\D", "", text)
    return _luhn(_digits(digits)) if _CARDS.fullmatch(digits) else None


def is_iban(text: str) -> bool | None:
    """Return whether a text begins with an IBAN of the country's length whose remainder by ISO/IEC 7064 is 1."""
    text = text.upper()
    length, places = IBAN_LENGTHS.get(text[:2]), [place for place, sign in enumerate(text) if sign != " "]
    if length is None or len(places) < length:
        return None
    end = places[length - 1] + 1
    if text[end : end + 1].isalnum():
        return None
    signs = text[:end].replace(" ", "")
    return int("".join(str(int(sign, 36)) for sign in signs[4:] + signs[:4])) % 97 == 1


def is_international_phone(text: str) -> bool | None:
    """Return whether a text that begins with + is a telephone number of a country, of a length that is in use."""
    digits = re.sub(r"\D", "", text.replace("(0)", ""))
    code = _CALLING_CODE.match(digits)
    if code is None or not 9 <= len(digits) <= 15:
        return None
    number = digits[code.end() :]
    signs = re.sub(r"\d", "", text)
    if signs == "+." and not text.startswith(f"+{code[0]}."):  # a signed decimal
        return None
    if code[0] == "1":
        return True if re.fullmatch(r"[2-9]\d\d[2-9]\d{6}", number) else None
    if code[0] == "7":
        return True if re.fullmatch(r"[3-9]\d{9}", number) else None
    return True if number[0] != "0" or code[0] in _KEEP_ZERO else None


def is_us_ssn(text: str) -> bool:
    """Return whether a number of the form 999-99-9999 may be a US social security number."""
    area, group, serial = text.split("-")
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_spanish_id(text: str) -> bool:
    """Return whether a Spanish DNI or NIE has the right letter."""
    signs = text.replace("-", "").upper()
    number = signs[:-1].translate(str.maketrans("XYZ", "012"))
    return _DNI[int(number) % 23] == signs[-1]


def is_dutch_bsn(text: str) -> bool:
    """Return whether nine digits meet the elfproef of a Dutch BSN."""
    digits = _digits(text)
    return any(digits) and (_weighted(digits, range(9, 1, -1)) - digits[8]) % 11 == 0


def is_pesel(text: str) -> bool | None:
    """Return whether eleven digits that begin with a date of birth have the check digit of a Polish PESEL."""
    digits = _digits(text)
    month = digits[2] * 10 + digits[3]
    year = (1900, 2000, 2100, 2200, 1800)[month // 20] + digits[0] * 10 + digits[1]
    if not _is_day(year, month % 20, digits[4] * 10 + digits[5]):
        return None
    return (_weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) + digits[10]) % 10 == 0


def is_cpf(text: str) -> bool | None:
    """Return whether eleven digits, not all the same, have the check digits of a Brazilian CPF."""
    digits = _digits(text)
    if len({*digits}) == 1:
        return None
    return all(_weighted(digits, range(place + 1, 1, -1)) * 10 % 11 % 10 == digits[place] for place in (9, 10))


def is_personnummer(text: str) -> bool | None:
    """Return whether a date of birth and four digits have the check digit of a Swedish personnummer."""
    digits = _digits(text)
    short = digits[-10:]
    year, month, day = (short[place] * 10 + short[place + 1] for place in (0, 2, 4))
    century = digits[0] * 10 + digits[1] if len(digits) == 12 else 20
    if century not in (18, 19, 20) or not _is_day(century * 100 + year, month, day):
        return None
    return _luhn(short)


def is_german_tax_id(text: str) -> bool | None:
    """Return whether eleven digits, of which one digit repeats, have the check digit of a German tax id."""
    digits = _digits(text)
    repeated = sorted(digits[:10].count(digit) for digit in {*digits[:10]})
    if digits[0] == 0 or repeated[-1] not in (2, 3) or repeated[-2] != 1:
        return None
    product = 10
    for digit in digits[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == digits[10]


def is_insee(text: str) -> bool | None:
    """Return whether a French INSEE number has the right key."""
    signs = text.replace(" ", "").upper()
    month = int(signs[3:5])
    if not (1 <= month <= 12 or 20 <= month <= 42 or month >= 50):
        return None
    number = signs[:13].replace("2A", "19").replace("2B", "18") if not signs[:13].isdigit() else signs[:13]
    return number.isdigit() and 97 - int(number) % 97 == int(signs[13:])


def is_nino(text: str) -> bool | None:
    """Return whether a text of the form AA999999A has letters that a British National Insurance number may have."""
    return True if text.replace(" ", "")[:2] not in _NO_NINO else None
