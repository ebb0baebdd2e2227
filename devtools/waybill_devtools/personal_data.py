"""Columns with and without personal data, by which its detection is measured.

All persons and numbers are invented. Check digits follow from tables and trial, not from the formulas of the detection.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from waybill.personal.forms import ACCOUNT, CARD, EMAIL, IP_ADDRESS, NATIONAL_ID, PHONE

Make = Callable[[random.Random], str]

_WORDS: Final = (
    "the parcel arrived late and box was damaged please call me about refund good quality fast delivery not as shown "
    "colour different size too small will order again thanks price fine waiting since monday invoice missing"
)
_FIRST: Final = "anna ben chloe david emma felix greta hugo ines jan karin luis marta nils olga pablo rosa sven"
_LAST: Final = "smith mueller garcia rossi jansen kowalski silva svensson dubois novak berg costa"


def digits(chance: random.Random, number: int, first: str = "") -> str:
    """Return so many random digits after the first ones."""
    return first + "".join(str(chance.randrange(10)) for _ in range(number - len(first)))


def _day(chance: random.Random) -> date:
    return date(1940, 1, 1) + timedelta(days=chance.randrange(24_000))


_LUHN_DOUBLED: Final = "0246813579"


def with_luhn(number: str) -> str:
    """Return a number with its check digit of ISO/IEC 7812-1."""
    for last in "0123456789":
        whole = (number + last)[::-1]
        doubled = "".join(_LUHN_DOUBLED[int(sign)] if place % 2 else sign for place, sign in enumerate(whole))
        if sum(map(int, doubled)) % 10 == 0:
            return number + last
    raise AssertionError


def _email(chance: random.Random) -> str:
    first, last = chance.choice(_FIRST.split()), chance.choice(_LAST.split())
    sign = chance.choice([".", "_", "", "-"])
    host = chance.choice(["example.org", "mail.example.com", "example.co.uk", "post.example.de"])
    return f"{first}{sign}{last}{chance.choice(['', str(chance.randrange(100))])}@{host}"


def _card(chance: random.Random) -> str:
    length, first = chance.choice([(16, "4"), (16, "51"), (16, "2221"), (16, "55"), (15, "37"), (16, "6011")])
    return with_luhn(digits(chance, length - 1, first))


def _grouped_card(chance: random.Random) -> str:
    number, sign = with_luhn(digits(chance, 15, chance.choice(["4", "53"]))), chance.choice([" ", "-"])
    return sign.join(number[place : place + 4] for place in range(0, 16, 4))


def _iban(chance: random.Random) -> str:
    country, length, letters = chance.choice(
        [
            ("DE", 18, ""),
            ("FR", 23, ""),
            ("NL", 14, "ABNA"),
            ("GB", 18, "NWBK"),
            ("ES", 20, ""),
            ("NO", 11, ""),
            ("PL", 24, ""),
        ]
    )
    account = digits(chance, length, letters)
    plain = "".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(sign)) for sign in f"{account}{country}00")
    return f"{country}{98 - int(plain) % 97:02d}{account}"


def _grouped_iban(chance: random.Random) -> str:
    whole = _iban(chance)
    return " ".join(whole[place : place + 4] for place in range(0, len(whole), 4))


def _international_phone(chance: random.Random) -> str:
    form = chance.choice(
        ["+49 30 {4}{4}", "+49 (0)171 {7}", "+33 6 {2} {2} {2} {2}", "+44 20 7{3} {4}", "+1 415-5{2}-{4}", "+4917{9}",
         "+31 6 {8}", "+34 6{2} {3} {3}", "+351 91{7}", "+48 5{2} {3} {3}"]
    )  # fmt: skip
    return _filled(chance, form)


def _national_phone(chance: random.Random) -> str:
    form = chance.choice(
        [
            "030 {7}",
            "0171/{7}",
            "06 {2} {2} {2} {2}",
            "020 7{3} {4}",
            "0{3}-{7}",
            "(030) {8}",
            "06-{8}",
            "01.{2}.{2}.{2}.{2}",
        ]
    )
    return _filled(chance, form)


def _american_phone(chance: random.Random) -> str:
    return _filled(chance, chance.choice(["(415) 5{2}-{4}", "212-5{2}-{4}", "1-312-6{2}-{4}", "646.7{2}.{4}"]))


def _filled(chance: random.Random, form: str) -> str:
    for number in range(2, 10):
        while f"{{{number}}}" in form:
            form = form.replace(f"{{{number}}}", digits(chance, number), 1)
    return form


def _ssn(chance: random.Random) -> str:
    area = chance.choice([*range(1, 666), *range(667, 900)])
    return f"{area:03d}-{chance.randrange(1, 100):02d}-{chance.randrange(1, 10_000):04d}"


def _tried(chance: random.Random, number: str, is_right: Callable[[str], bool], more: int = 1) -> str:
    """Return the number with the last digits that are right; another number is drawn by the caller if none are."""
    found = [f"{number}{last:0{more}d}" for last in range(10**more) if is_right(f"{number}{last:0{more}d}")]
    return chance.choice(found) if found else ""


def _until(make: Make) -> Make:
    def made(chance: random.Random) -> str:
        while not (found := make(chance)):
            pass
        return found

    return made


def _dni(chance: random.Random) -> str:
    number = chance.randrange(10**8)
    letters = dict(enumerate("TRWAGMYFPDXBNJZSQVHLCKE"))
    if chance.random() < 0.2:
        first = chance.randrange(3)
        number = first * 10**7 + chance.randrange(10**7)
        return f"{'XYZ'[first]}{number % 10**7:07d}{letters[number % 23]}"
    return f"{number:08d}{letters[number % 23]}"


def _bsn(chance: random.Random) -> str:
    def is_right(text: str) -> bool:
        return (
            sum(int(sign) * weight for sign, weight in zip(text, (9, 8, 7, 6, 5, 4, 3, 2, -1), strict=True)) % 11 == 0
        )

    return _tried(chance, digits(chance, 8), is_right)


def _pesel(chance: random.Random) -> str:
    day = _day(chance)
    month = day.month + (20 if day.year >= 2000 else 0)

    def is_right(text: str) -> bool:
        return sum(int(sign) * int(weight) for sign, weight in zip(text, "13791379131", strict=True)) % 10 == 0

    return _tried(chance, f"{day:%y}{month:02d}{day:%d}{digits(chance, 4)}", is_right)


def _cpf(chance: random.Random) -> str:
    number = digits(chance, 9)
    for _ in range(2):
        rest = sum(int(sign) * weight for weight, sign in enumerate(reversed(number), 2)) % 11
        number += str(0 if rest < 2 else 11 - rest)
    return number


def _dotted_cpf(chance: random.Random) -> str:
    number = _cpf(chance)
    return f"{number[:3]}.{number[3:6]}.{number[6:9]}-{number[9:]}"


def _personnummer(chance: random.Random) -> str:
    day = _day(chance)
    number = with_luhn(f"{day:%y%m%d}{digits(chance, 3)}")
    century = f"{day.year // 100}" if chance.random() < 0.5 else ""
    return f"{century}{number[:6]}-{number[6:]}"


def _plain_personnummer(chance: random.Random) -> str:
    return _personnummer(chance).replace("-", "")


def _german_tax_id(chance: random.Random) -> str:
    signs = chance.sample("0123456789", 9)
    signs.insert(chance.randrange(9), chance.choice(signs))
    if signs[0] == "0":
        return ""

    def is_right(text: str) -> bool:
        rest = 10
        for sign in text[:10]:
            total = (int(sign) + rest) % 10
            rest = (2 * (10 if total == 0 else total)) % 11
        return (int(text[10]) + rest) % 10 == 1 or (rest == 1 and text[10] == "0")

    return _tried(chance, "".join(signs), is_right)


def _insee(chance: random.Random) -> str:
    day = _day(chance)
    number = f"{chance.choice('12')}{day:%y%m}{chance.randrange(1, 96):02d}{digits(chance, 6)}"
    return next(f"{number}{key:02d}" for key in range(1, 98) if (int(number) + key) % 97 == 0)


def _nino(chance: random.Random) -> str:
    first = chance.choice("ABCEHJLMOPRSWXY")
    form = chance.choice(["{0}{1}{2}{3}{4}{5}", "{0}{1} {2} {3} {4} {5}"])
    return form.format(
        first, chance.choice("ABCEHJLMPRSWXY"), *(digits(chance, 2) for _ in range(3)), chance.choice("ABCD")
    )


def _ip_address(chance: random.Random) -> str:
    return ".".join(str(chance.randrange(1, 255)) for _ in range(4))


def _ipv6_address(chance: random.Random) -> str:
    return f"2001:db8:{chance.randrange(16**4):x}::{chance.randrange(16**4):x}"


@dataclass(frozen=True)
class Planted:
    """Personal data of one form."""

    what: str
    kind: str
    make: Make
    in_text: int | None = None
    """In how many texts of a column it is found; None if only whole columns are."""


PLANTED: Final = (
    Planted("email address", EMAIL, _email, 1),
    Planted("payment card", CARD, _card, 1),
    Planted("payment card in groups", CARD, _grouped_card, 1),
    Planted("IBAN", ACCOUNT, _iban, 1),
    Planted("IBAN in groups", ACCOUNT, _grouped_iban, 1),
    Planted("international telephone number", PHONE, _international_phone, 1),
    Planted("North American telephone number", PHONE, _american_phone, 2),
    Planted("telephone number with the prefix 0", PHONE, _national_phone),
    Planted("US social security number", NATIONAL_ID, _ssn, 2),
    Planted("Spanish DNI and NIE", NATIONAL_ID, _dni, 2),
    Planted("Dutch BSN", NATIONAL_ID, _until(_bsn)),
    Planted("Polish PESEL", NATIONAL_ID, _until(_pesel)),
    Planted("Brazilian CPF", NATIONAL_ID, _cpf),
    Planted("Brazilian CPF with signs", NATIONAL_ID, _dotted_cpf, 1),
    Planted("Swedish personnummer", NATIONAL_ID, _personnummer, 2),
    Planted("Swedish personnummer without a hyphen", NATIONAL_ID, _plain_personnummer),
    Planted("German tax id", NATIONAL_ID, _until(_german_tax_id)),
    Planted("French INSEE number", NATIONAL_ID, _insee, 2),
    Planted("British National Insurance number", NATIONAL_ID, _nino, 2),
    Planted("IPv4 address", IP_ADDRESS, _ip_address),
    Planted("IPv6 address", IP_ADDRESS, _ipv6_address),
)
"""Personal data that is recognised by its values."""


def _instant(chance: random.Random) -> datetime:
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(2 * 10**14))


def _ean(chance: random.Random, length: int, first: str = "") -> str:
    number = digits(chance, length - 1, first)
    weights = [3 if (length - 1 - place) % 2 else 1 for place in range(length - 1)]
    return number + str(-sum(int(sign) * weight for sign, weight in zip(number, weights, strict=True)) % 10)


def _isbn10(chance: random.Random) -> str:
    number = digits(chance, 9)
    rest = sum(int(sign) * weight for sign, weight in zip(number, range(1, 10), strict=True)) % 11
    return number + "0123456789X"[rest]


def _isbn13_parts(chance: random.Random) -> str:
    number = _ean(chance, 13, "978")
    return f"{number[:3]}-{number[3]}-{number[4:7]}-{number[7:12]}-{number[12]}"


def _isbn10_parts(chance: random.Random) -> str:
    number = _isbn10(chance)
    return f"{number[0]}-{number[1:4]}-{number[4:9]}-{number[9]}"


def _hash(name: str, *, upper: bool = False) -> Make:
    def made(chance: random.Random) -> str:
        found = hashlib.new(name, chance.randbytes(8), usedforsecurity=False).hexdigest()
        return found.upper() if upper else found

    return made


def _sku(chance: random.Random) -> str:
    letters = "".join(chance.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=chance.randrange(2, 5)))
    return f"{letters}-{digits(chance, chance.randrange(3, 8))}-{chance.choice('ABCDEXYZ')}{chance.randrange(10)}"


def _isin(chance: random.Random) -> str:
    return f"{chance.choice(['US', 'DE', 'FR', 'GB', 'NL'])}{digits(chance, 10)}"


def _mac(chance: random.Random) -> str:
    return ":".join(f"{chance.randrange(256):02x}" for _ in range(6))


def _coordinates(chance: random.Random) -> str:
    return f"{chance.uniform(-90, 90):.6f}, {chance.uniform(-180, 180):.6f}"


def _iso6709(chance: random.Random) -> str:
    return f"{chance.uniform(-90, 90):+010.6f}{chance.uniform(-180, 180):+011.6f}/"


_SERIALS: Final = iter(range(10**12))

OTHER: Final[dict[str, Make]] = {
    "order number of 8 digits": lambda c: digits(c, 8, str(c.randrange(1, 10))),
    "order number of 9 digits": lambda c: digits(c, 9, str(c.randrange(1, 10))),
    "order number of 10 digits": lambda c: digits(c, 10, str(c.randrange(1, 10))),
    "order number of 11 digits": lambda c: digits(c, 11, str(c.randrange(1, 10))),
    "order number of 12 digits": lambda c: digits(c, 12, str(c.randrange(1, 10))),
    "order number of 15 digits": lambda c: digits(c, 15, str(c.randrange(1, 10))),
    "order number of 16 digits": lambda c: digits(c, 16, str(c.randrange(1, 10))),
    "order number of 16 digits that begins with 4": lambda c: digits(c, 16, "4"),
    "order number of 19 digits": lambda c: digits(c, 19, str(c.randrange(1, 10))),
    "order number with a date": lambda c: f"{_instant(c):%Y%m%d}-{digits(c, 4)}",
    "order number of three parts": lambda c: f"{digits(c, 3)}-{digits(c, 7)}-{digits(c, 7)}",
    "consecutive number of 9 digits": lambda _: f"{100_000_000 + next(_SERIALS)}",
    "padded number": lambda c: f"{c.randrange(10**6):012d}",
    "UUID": lambda c: str(uuid.UUID(int=c.getrandbits(128), version=4)),
    "UUID in capitals": lambda c: str(uuid.UUID(int=c.getrandbits(128), version=4)).upper(),
    "MD5": _hash("md5"),
    "SHA-1": _hash("sha1"),
    "SHA-256 in capitals": _hash("sha256", upper=True),
    "commit": lambda c: _hash("sha1")(c)[:10],
    "decimal": lambda c: f"{c.uniform(-1e6, 1e6):.4f}",
    "long decimal": lambda c: repr(c.random()),
    "signed amount": lambda c: f"{c.uniform(-1e9, 1e9):+.2f}",
    "amount with spaces": lambda c: f"{c.uniform(0, 1e9):,.2f}".replace(",", " ").replace(".", ","),
    "amount with points": lambda c: f"{c.randrange(10**9):,}".replace(",", "."),
    "timestamp": lambda c: _instant(c).isoformat(),
    "timestamp with an offset": lambda c: f"{_instant(c):%Y-%m-%dT%H:%M:%S}+02:00",
    "timestamp with spaces": lambda c: f"{_instant(c):%Y-%m-%d %H:%M:%S.%f}",
    "timestamp of 14 digits": lambda c: f"{_instant(c):%Y%m%d%H%M%S}",
    "timestamp of 12 digits": lambda c: f"{_instant(c):%Y%m%d%H%M}",
    "date": lambda c: f"{_instant(c):%d.%m.%Y}",
    "date with hyphens": lambda c: f"{_instant(c):%d-%m-%Y %H:%M}",
    "time": lambda c: f"{_instant(c):%H:%M:%S}",
    "seconds since 1970": lambda c: str(int(_instant(c).timestamp())),
    "milliseconds since 1970": lambda c: str(int(_instant(c).timestamp() * 10**3)),
    "microseconds since 1970": lambda c: str(int(_instant(c).timestamp() * 10**6)),
    "nanoseconds since 1970": lambda c: str(int(_instant(c).timestamp() * 10**9)),
    "EAN-13": lambda c: _ean(c, 13, c.choice(["4", "5", "3", "76"])),
    "EAN-8": lambda c: _ean(c, 8),
    "UPC": lambda c: _ean(c, 12),
    "GTIN-14": lambda c: _ean(c, 14, c.choice(["1", "3", "4"])),
    "ISBN-10": _isbn10,
    "ISBN-10 in parts": _isbn10_parts,
    "ISBN-13": lambda c: _ean(c, 13, "978"),
    "ISBN-13 in parts": _isbn13_parts,
    "IMEI": lambda c: with_luhn(digits(c, 14, "35")),
    "ISIN": _isin,
    "ZIP+4": lambda c: f"{digits(c, 5)}-{digits(c, 4)}",
    "version of three numbers": lambda c: f"{c.randrange(20)}.{c.randrange(30)}.{c.randrange(200)}",
    "version of four numbers": lambda c: f"{c.randrange(1, 9)}.{c.randrange(20)}.{c.randrange(20)}.{c.randrange(60)}",
    "version of a browser": lambda c: f"{c.randrange(90, 140)}.0.{c.randrange(4000, 7000)}.{c.randrange(200)}",
    "coordinates": _coordinates,
    "coordinates of ISO 6709": _iso6709,
    "MAC address": _mac,
    "article number": _sku,
    "tracking number": lambda c: f"1Z{digits(c, 3)}AA{digits(c, 9)}",
    "colour": lambda c: f"#{c.getrandbits(24):06x}",
    "address of a page": lambda c: f"https://shop.example.com/p/{digits(c, 16, '4')}?id={c.getrandbits(64):x}",
    "file of an image": lambda c: f"logo{c.randrange(100)}@2x.png",
    "package": lambda c: f"@scope/tool@{c.randrange(9)}.{c.randrange(9)}.{c.randrange(9)}",
    "address of a repository": lambda c: f"git@git.example.com:team/project{c.randrange(100)}.git",
    "VAT number": lambda c: f"DE{digits(c, 9)}",
    "BIC": lambda c: f"{''.join(c.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ', k=4))}DEFF{digits(c, 3)}",
    "duration": lambda c: f"+{c.randrange(100)} days, {c.randrange(24)}:{c.randrange(60):02d}:00",
    "range of numbers": lambda c: f"{digits(c, 3)}-{digits(c, 3)}",
}  # fmt: skip
"""Values that are no personal data, but look like it to a careless rule."""


def texts(chance: random.Random, rows: int) -> list[str]:
    """Return free texts of a few words and a number."""
    words = _WORDS.split()
    return [" ".join([*chance.choices(words, k=chance.randrange(4, 15)), digits(chance, 5)]) for _ in range(rows)]


def column(make: Make, chance: random.Random, rows: int) -> list[str]:
    """Return values of one form."""
    return [make(chance) for _ in range(rows)]


def within(chance: random.Random, rows: Sequence[str], values: Sequence[str]) -> list[str]:
    """Return texts of which some have a value in the middle."""
    found = list(rows)
    for place, value in zip(chance.sample(range(len(found)), len(values)), values, strict=True):
        words = found[place].split()
        words.insert(len(words) // 2, value + chance.choice(["", ",", "."]))
        found[place] = " ".join(words)
    return found


def planted_texts(one: Planted, chance: random.Random, rows: int, number: int) -> list[str]:
    """Return free texts of which a number has personal data in the middle."""
    return within(chance, texts(chance, rows), column(one.make, chance, number))


def other_texts(make: Make, chance: random.Random, rows: int) -> Iterator[tuple[int, list[str]]]:
    """Yield texts with other values: one, a few and many."""
    for number in (1, 3, rows // 4):
        yield number, within(chance, texts(chance, rows), column(make, chance, number))
