"""Python SDK of the data market: publish, buy, verify, dispute and whatever else its contracts do.

    from dmchain.market import Market, keystore, one_time

    market = Market("http://127.0.0.1:8545", signer=keystore("provider.json", "password"))
    published = market.publish("bafkrei…", spdx="CC-BY-4.0", offers=[one_time("25 USD", escrow="3d")])

    purchase = consumer.buy(published.offer_ids[0])
    assert consumer.verify(published.dataset_id).is_valid

`AsyncMarket` has the same operations to await. Everything that is expected to fail raises a
`dmchain.market.errors.MarketError`; what a contract refused is a `Reverted` with the error's name and arguments.
"""

# ruff: noqa: E402 - what is missing is said before anything that needs it is imported
from __future__ import annotations

from dmchain.chain.primitives.errors import DmchainError


class MissingExtra(DmchainError, ImportError):
    """The packages of the extra `market` are not installed."""


try:
    import web3 as _web3  # noqa: F401
except ImportError as _error:
    raise MissingExtra(f"dmchain.market needs web3.py ({_error})", hint="pip install 'dmchain[market]'") from None

from dmchain.market import cids, errors
from dmchain.market.client import AsyncMarket, Market
from dmchain.market.context import Fees, Progress
from dmchain.market.governance import Action
from dmchain.market.inputs import OfferTerms, one_time, pay_per_compute, subscription
from dmchain.market.money import NATIVE, Token, format_amount, parse_amount
from dmchain.market.signers import LocalSigner, Signer, UnlockedSigner, keystore, private_key, unlocked
from dmchain.market.structs import to_json
from dmchain.market.transactions import Event, Receipt

__all__ = [
    "NATIVE",
    "Action",
    "AsyncMarket",
    "Event",
    "Fees",
    "LocalSigner",
    "Market",
    "MissingExtra",
    "OfferTerms",
    "Progress",
    "Receipt",
    "Signer",
    "Token",
    "UnlockedSigner",
    "cids",
    "errors",
    "format_amount",
    "keystore",
    "one_time",
    "parse_amount",
    "pay_per_compute",
    "private_key",
    "subscription",
    "to_json",
    "unlocked",
]
