"""Values as people give them: data sets, durations, shares, scores, metrics, terms."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import UINT256_MAX
from dmchain.market import cids
from dmchain.market.context import Context
from dmchain.market.enums import LicenseKind
from dmchain.market.errors import InvalidInput
from dmchain.market.money import Token
from dmchain.market.steps import Steps

DatasetLike: TypeAlias = str | bytes | int
"""A datasetId (0x and 64 digits, or 32 bytes), a token id, or a CID as text."""
DurationLike: TypeAlias = int | str
"""Seconds, or text: 90s, 15m, 12h, 30d, 2w."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "": 1}
ZERO_BYTES: Final = bytes(32)
BPS: Final = 10_000


def dataset_id(value: DatasetLike) -> bytes:
    """The 32 bytes of a data set's id. Raises InvalidInput."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and 20 < len(value) < 80:
        value = int(value)
    if isinstance(value, int):
        if not 0 <= value <= UINT256_MAX:
            raise InvalidInput(f"data set: got {value}, expected a token id: 0 to 2**256 - 1")
        return value.to_bytes(32, "big")
    if isinstance(value, bytes):
        if len(value) != 32:
            raise InvalidInput(f"data set: got {len(value)} bytes, expected 32")
        return value
    if value.startswith("0x"):
        return bytes32(value, "data set")
    try:
        return bytes32(cids.dataset_id(value), "data set")
    except InvalidInput as error:
        raise InvalidInput(
            f"data set: got {value!r}, expected 0x and 64 hex digits, or a CID",
            hint="`dmchain market list` shows the ids of what is listed",
        ) from error


def resolve_dataset(context: Context, value: DatasetLike) -> Steps[bytes]:
    """As `dataset_id`; a CID finds its data set under any version and spelling."""
    if isinstance(value, str) and not value.startswith("0x") and not value.isdecimal():
        computed = dataset_id(value)  # says what is wrong with it before a node is asked
        found: bytes = yield from context.read("CidRegistry", "datasetOf", cids.to_bytes(value))
        return found if found != ZERO_BYTES else computed
    return dataset_id(value)


def bytes32(text: str | bytes, what: str) -> bytes:
    """32 bytes of 0x and 64 hex digits. Raises InvalidInput that says `what`."""
    if isinstance(text, bytes):
        raw = text
    else:
        try:
            raw = bytes.fromhex(text.removeprefix("0x"))
        except ValueError:
            raw = b""
    if len(raw) != 32:
        raise InvalidInput(f"{what}: got {text!r}, expected 0x and 64 hex digits")
    return raw


def hashed(value: str | bytes | None) -> bytes:
    """32 bytes as they are; the keccak256 of any other text (a metric's name, terms); zeros for None."""
    if value is None or not value:
        return ZERO_BYTES
    if isinstance(value, bytes):
        return value if len(value) == 32 else keccak(value)
    if re.fullmatch(r"0x[0-9a-fA-F]{64}", value):
        return bytes.fromhex(value[2:])
    return keccak(value.encode())


def duration(value: DurationLike) -> int:
    """Seconds. Raises InvalidInput."""
    if isinstance(value, int):
        if value < 0:
            raise InvalidInput(f"duration: got {value}, expected 0 or more seconds")
        return value
    found = re.fullmatch(r"\s*([0-9]{1,12})\s*([smhdw]?)\s*", value, re.ASCII)
    if found is None:
        raise InvalidInput(f"duration: got {value!r}, expected seconds or 90s, 15m, 12h, 30d, 2w")
    return int(found[1]) * _UNITS[found[2]]


def kind_of(value: LicenseKind | str) -> LicenseKind:
    """A kind of licence by name: one-time, subscription, pay-per-compute. Raises InvalidInput."""
    if isinstance(value, LicenseKind):
        return value
    name = value.replace("-", "_").upper()
    names = {**{kind.name: kind for kind in LicenseKind}, "COMPUTE": LicenseKind.PAY_PER_COMPUTE}
    if name not in names or names[name] is LicenseKind.NONE:
        raise InvalidInput(f"kind: got {value!r}, expected one-time, subscription or pay-per-compute")
    return names[name]


@dataclass(frozen=True, slots=True)
class OfferTerms:
    """An offer to make.

    `price` of the whole licence, of a period, or of a unit: "25 USD", "0.1 DM", or smallest units of `token`. `period`:
    validity, a subscription's length of a period. `escrow`: time in which a buyer may object. `metric` and `min_score`
    (1 to 10000): payment depends on the quality oracle. `terms`: text or hash of the terms of use.
    """

    kind: LicenseKind | str
    price: int | str
    token: str | Token | None = None
    period: DurationLike = 0
    max_quantity: int = 0
    escrow: DurationLike = 0
    metric: str | bytes | None = None
    min_score: int = 0
    terms: str | bytes | None = None

    def resolve(self, context: Context) -> Steps[dict[str, Any]]:
        """The struct OfferInput. Raises InvalidInput."""
        kind = kind_of(self.kind)
        price, token = yield from context.amount(self.price, self.token)
        if kind is LicenseKind.SUBSCRIPTION and not duration(self.period):
            raise InvalidInput("offer: a subscription needs a period, like 30d")
        return {
            "kind": int(kind),
            "token": token.address,
            "price": price,
            "period": duration(self.period),
            "maxQuantity": self.max_quantity,
            "escrowPeriod": duration(self.escrow),
            "metric": hashed(self.metric),
            "minScore": self.min_score,
            "termsHash": hashed(self.terms),
        }


def one_time(price: int | str, **more: Any) -> OfferTerms:
    """A licence paid once: `one_time("25 USD", escrow="3d")`."""
    return OfferTerms(LicenseKind.ONE_TIME, price, **more)


def subscription(price: int | str, period: DurationLike, **more: Any) -> OfferTerms:
    """A licence paid by the period: `subscription("10 USD", "30d")`."""
    return OfferTerms(LicenseKind.SUBSCRIPTION, price, period=period, **more)


def pay_per_compute(price: int | str, **more: Any) -> OfferTerms:
    """Prepaid units: `pay_per_compute("0.05 USD")`."""
    return OfferTerms(LicenseKind.PAY_PER_COMPUTE, price, **more)
