"""Clicks of simulated shoppers as records of a stream, some of them repeated, late or malformed.

The same seed and beginning give the same records.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import Any, Final, Literal

from waybill_devtools.sampledata.shop_people import CUSTOMERS, FIRST_CUSTOMER
from waybill_devtools.sampledata.shop_products import FIRST_PRODUCT, PRODUCTS
from waybill_devtools.sampledata.shop_visits import BROWSED_PAGES, DEVICES, PAGES, SIGNS_IN_SHARE

Kind = Literal["new", "repeated", "late", "too_late", "future", "conflict", "malformed"]

LATENESS: Final = timedelta(minutes=10)
"""The default of WAYBILL_STREAM_LATENESS_MINUTES."""
NEXT: Final[dict[str, dict[str, float]]] = {
    "page_view": {"page_view": 0.35, "product_view": 0.47, "": 0.18},
    "product_view": {"page_view": 0.20, "product_view": 0.35, "add_to_cart": 0.22, "": 0.23},
    "add_to_cart": {"page_view": 0.10, "product_view": 0.25, "checkout": 0.42, "": 0.23},
    "checkout": {"page_view": 0.10, "purchase": 0.65, "": 0.25},
    "purchase": {"page_view": 0.25, "": 0.75},
}
"""What a shopper does next, by what it did last; empty: it leaves."""
SECONDS_BETWEEN: Final = 20
"""The mean time between two events of a shopper."""
RETURNING_SHARE: Final = 0.08
RETURNS_AFTER: Final = timedelta(minutes=22)
"""Some who left return at some time after that: just before the pause that ends a session, or later."""
REMEMBERED: Final = 2000
"""How many of the last events can be repeated."""


@dataclass(frozen=True)
class Mix:
    """The shares of events with a defect."""

    repeated: float = 0.05
    """Sent again, with the same values."""
    late: float = 0.03
    """Up to ten minutes old when they are sent."""
    malformed: float = 0.005
    """Against the contract."""
    too_late: float = 0.0
    """Older than the allowed lateness."""
    future: float = 0.0
    """Dated minutes to days after they are sent."""
    conflict: float = 0.0
    """Sent again with another value."""

    def draw(self, rng: Random) -> Kind:
        """Return the kind of the next event."""
        place = rng.random()
        for one in fields(self):
            place -= getattr(self, one.name)
            if place < 0:
                kind: Kind = one.name  # type: ignore[assignment]
                return kind
        return "new"


@dataclass(frozen=True, slots=True)
class Click:
    """A record for the stream."""

    session: str
    """The partition key."""
    kind: Kind
    data: bytes


@dataclass
class _Shopper:
    session: str
    device: str
    customer: int
    """Who signs in; 0: nobody."""
    did: str = ""
    viewed: int = 0
    cart: int = 0
    is_signed_in: bool = False
    left_at: datetime | None = None


@dataclass
class Shoppers:
    """Shoppers who walk through the shop, each from page to page, some as far as a purchase."""

    rng: Random
    rate: float
    """Events per second."""
    at: datetime
    """When the last event happened; at first, when the first shoppers come."""
    _here: list[_Shopper] = field(default_factory=list)
    _gone: deque[_Shopper] = field(default_factory=lambda: deque(maxlen=100_000))

    def __post_init__(self) -> None:
        """Let shoppers into the shop; some have looked around already."""
        chances = [1 / (1 + rank) ** 0.8 for rank in range(PRODUCTS)]
        self._products = self.rng.sample(range(FIRST_PRODUCT, FIRST_PRODUCT + PRODUCTS), PRODUCTS)
        self._chances = list(accumulate(chances))
        for _ in range(max(2, round(self.rate * SECONDS_BETWEEN))):
            shopper = self._new()
            for _ in range(self.rng.randrange(6)):
                shopper = self._step(shopper)
            self._here.append(shopper)

    def act(self) -> dict[str, Any]:
        """Return the next event."""
        rng = self.rng
        self.at += timedelta(seconds=rng.expovariate(self.rate))
        place = rng.randrange(len(self._here))
        shopper = self._here[place] = self._step(self._here[place])
        return {
            "event_id": _uuid(rng),
            "session_id": shopper.session,
            "customer_id": shopper.customer if shopper.is_signed_in else None,
            "event_type": shopper.did,
            "page": self._page(shopper),
            "product_id": {"product_view": shopper.viewed, "add_to_cart": shopper.cart, "purchase": shopper.cart}.get(
                shopper.did
            ),
            "ts": text(self.at),
            "device": shopper.device,
        }

    def _step(self, shopper: _Shopper) -> _Shopper:
        """Let a shopper do the next thing; if it leaves, let another one in."""
        chances = NEXT.get(shopper.did, {"page_view": 0.8, "product_view": 0.2})
        did = self.rng.choices(list(chances), list(chances.values()))[0]
        if not did:
            shopper.left_at = self.at
            self._gone.append(shopper)
            return self._step(self._returning() or self._new())
        shopper.did = did
        if did == "product_view":
            shopper.viewed = self.rng.choices(self._products, cum_weights=self._chances)[0]
        elif did == "add_to_cart":
            shopper.cart = shopper.viewed
        if shopper.customer and not shopper.is_signed_in:
            shopper.is_signed_in = did == "checkout" or self.rng.random() < 0.2
        return shopper

    def _returning(self) -> _Shopper | None:
        if not self._gone or self.rng.random() > RETURNING_SHARE:
            return None
        left_at = self._gone[0].left_at
        if left_at is None or self.at - left_at < RETURNS_AFTER:
            return None
        shopper = self._gone.popleft()
        shopper.did = ""
        return shopper

    def _new(self) -> _Shopper:
        rng = self.rng
        signs_in = rng.random() < SIGNS_IN_SHARE
        device = rng.choices(list(DEVICES), list(DEVICES.values()))[0]
        return _Shopper(_uuid(rng), device, FIRST_CUSTOMER + rng.randrange(CUSTOMERS) if signs_in else 0)

    def _page(self, shopper: _Shopper) -> str:
        if shopper.did == "page_view":
            return self.rng.choice(PAGES[:BROWSED_PAGES])
        place = tuple(NEXT).index(shopper.did)
        return PAGES[BROWSED_PAGES + place - 1] + (str(shopper.viewed) if shopper.did == "product_view" else "")


class Clicks:
    """The records that a tracker sends about shoppers, with a mix of defects.

    Args:
        seed: equal seeds and beginnings give equal records.
        rate: events per second of the shoppers' time.
        began: when the shoppers begin.
        mix: the shares of defects.
        now: tells the time at which records are sent, after which some events are dated.
    """

    def __init__(
        self,
        seed: int,
        rate: float,
        began: datetime,
        mix: Mix | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._rng = Random(f"{seed} {began.isoformat()}")  # noqa: S311
        self._shoppers = Shoppers(self._rng, rate, began)
        self._mix, self._now = mix or Mix(), now
        self._sent: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)

    @property
    def at(self) -> datetime:
        """When the last event happened."""
        return self._shoppers.at

    def __iter__(self) -> Iterator[Click]:
        """Return all records, without an end."""
        return self

    def __next__(self) -> Click:
        """Return the next record."""
        rng, kind = self._rng, self._mix.draw(self._rng)
        if kind in ("repeated", "conflict") and self._sent:
            event = rng.choice(self._sent)
            if kind == "conflict":
                event = event | {"device": event["device"] + "?"}
            if rng.random() < 0.5:  # the same values in another order
                event = dict(reversed(event.items()))
            return _click(event, kind)
        event = self._shoppers.act()
        if kind == "malformed":
            return Click(event["session_id"], kind, rng.choice(MALFORMED)(event))
        if kind == "late":
            event["ts"] = text(self.at - LATENESS * rng.random())
        elif kind == "too_late":
            event["ts"] = text(self.at - LATENESS - timedelta(seconds=rng.uniform(5, 3600)))
        elif kind == "future":
            event["ts"] = text(self._now() + timedelta(seconds=rng.choice((180, 3600, 200_000)) * rng.uniform(1, 2)))
            return _click(event, kind)
        else:
            kind = "new"
        self._sent.append(event)
        return _click(event, kind)


def text(at: datetime) -> str:
    """Return an instant as trackers write it, in milliseconds."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _click(event: dict[str, Any], kind: Kind) -> Click:
    return Click(event["session_id"], kind, json.dumps(event).encode())


def _uuid(rng: Random) -> str:
    """Return a UUID of version 4 (RFC 9562)."""
    digits = f"{rng.getrandbits(128) & ~(0xF << 76 | 0x3 << 62) | 4 << 76 | 2 << 62:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _without(name: str) -> Callable[[dict[str, Any]], bytes]:
    return lambda event: json.dumps({key: value for key, value in event.items() if key != name}).encode()


def _with(name: str, value: object) -> Callable[[dict[str, Any]], bytes]:
    return lambda event: json.dumps(event | {name: value}).encode()


MALFORMED: Final[tuple[Callable[[dict[str, Any]], bytes], ...]] = (
    lambda event: json.dumps(event).encode()[:-9],
    lambda event: json.dumps([event]).encode(),
    lambda event: json.dumps(event | {"page": "/café"}, ensure_ascii=False).encode("latin-1"),
    lambda _: b"tracker restarted",
    _without("event_id"),
    _without("session_id"),
    _with("event_type", "hover"),
    _with("ts", "yesterday"),
    _with("product_id", -1),
    _with("device", ""),
)
"""Ways to break the contract."""
