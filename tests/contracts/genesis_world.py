"""The whole market as a devnet's genesis has it, on a chain in this process."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Address
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, TIMELOCK
from dmchain.marketplace_vm.market_genesis.build import build_market
from dmchain.marketplace_vm.market_genesis.parameters import DEVNET
from tests.contracts.chain import ACCOUNTS, CHAIN_ID, ZERO, Chain, Contract, load

COIN, USD, DAY = 10**18, 10**6, 86_400
NATIVE = ZERO
ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE = 1, 2, 3
FEE_BPS = DEVNET.platform_fee_bps
MONEY_HOLDERS = ("LicenseManager", "EscrowPayment", "PaymentStream", "ComputeMarket")
"""Contracts with held(token) and owed(token, account)."""
COIN_HOLDERS = ("ProviderStake", "DisputeResolution", "QualityOracle")
"""Contracts with held() in native coin."""


@cache
def _genesis() -> dict[Address, GenesisAccount]:
    holders = tuple([account.key.address for account in ACCOUNTS[:10]])
    return build_market(DEVNET.with_holders(holders), CHAIN_ID)


def make_cid(content: str) -> bytes:
    """A version 1 CID of raw bytes."""
    return bytes.fromhex("01551220") + hashlib.sha256(content.encode()).digest()


def net(amount: int) -> int:
    """What is left of an amount when the platform's fee is paid."""
    return amount - amount * FEE_BPS // 10_000


class Market:
    """`market["LicenseManager"]` is the contract behind its proxy. The first ten accounts have DMG and test dollars."""

    def __init__(self) -> None:
        self.chain = Chain(governance=TIMELOCK, alloc=_genesis())
        self.accounts = self.chain.accounts
        self._contracts: dict[str, Contract] = {}
        self._published = 0
        self.chain.sleep(10)
        for name, address in ADDRESSES.items():
            if self.chain.code(address):
                abi = load(name).abi
                self.chain.dictionary.learn(abi)
                self._contracts[name] = self.chain.contract("0x" + address.hex(), abi, name)

    def __getitem__(self, name: str) -> Contract:
        return self._contracts[name]

    @property
    def usd(self) -> Contract:
        return self["TestUSD"]

    @property
    def timelock(self) -> str:
        """As a sender: what governance has decided."""
        return "0x" + TIMELOCK.hex()

    def offer(self, price: int, kind: int = ONE_TIME, **changes: Any) -> dict[str, Any]:
        """An OfferInput; in test dollars unless `token` says otherwise."""
        period = 30 * DAY if kind == SUBSCRIPTION else 0
        made = {"kind": kind, "token": self.usd, "price": price, "period": period, "maxQuantity": 0, "escrowPeriod": 0}
        made |= {"metric": bytes(32), "minScore": 0, "termsHash": bytes(32), **changes}
        made["token"] = getattr(made["token"], "address", made["token"])
        return made

    def publish(
        self, owner: Any, *offers: dict[str, Any], parents: tuple[bytes, ...] = (), **listing: Any
    ) -> tuple[bytes, list[int]]:
        """Publish fresh content; returns the data set's id and the offers' ids."""
        self._published += 1
        cid = make_cid(f"content {self._published} {self.chain.block_number}")
        input_ = {"spdx": "CC-BY-4.0", "format": "csv", "resaleRoyaltyBps": 500, "lineageRoyaltyBps": 0}
        input_ |= {"availableUntil": 0, "onRetirement": 0, **listing}
        content = {"cid": cid, "metadataCid": b"", "parents": list(parents), "sizeBytes": 100}
        done = self["DataListing"].publish(content, "ipfs://metadata", input_, list(offers), sender=owner)
        return keccak(cid), [event.offerId for event in done.all("OfferCreated")]

    def buy(self, buyer: Any, offer_id: int, quantity: int = 1, *, licensee: Any = None, gas: int | None = None) -> int:
        """Approve and purchase; returns the purchase's id."""
        manager = self["LicenseManager"]
        offer = manager.offer(offer_id)
        amount = offer.price * quantity
        value = amount if offer.token == NATIVE else 0
        if not value and amount:
            for allowed in (0, amount):  # some tokens insist on it, and return nothing
                self.chain.send(offer.token, self.usd.data("approve", manager, allowed), sender=buyer)
        done = manager.purchase(offer_id, licensee or buyer, quantity, amount, sender=buyer, value=value, gas=gas)
        return int(done.value)

    def has_license(self, dataset: bytes, account: Any) -> bool:
        return bool(self.chain.ledger.hasLicense(dataset, account))

    def check_books(self, *tokens: Any) -> None:
        """Every contract has at least what it says it owes, in native coin, test dollars and `tokens`."""
        for name in MONEY_HOLDERS:
            if name not in self._contracts:
                continue
            contract = self[name]
            assert contract.balance >= contract.held(NATIVE), name
            for token in (self.usd, *tokens):
                assert token.balanceOf(contract) >= contract.held(token), name
        for name in COIN_HOLDERS:
            assert self[name].balance >= self[name].held(), name
