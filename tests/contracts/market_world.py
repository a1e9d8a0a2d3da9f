"""The contracts of a sale, wired as in genesis: listings, licences, escrow, reputation, a stablecoin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Chain, Contract
from tests.contracts.payment_world import COMMIT_WINDOW, make_cid

NATIVE = ZERO
USD = 10**6
DAY = 86_400
MONTH = 30 * DAY
ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE = 1, 2, 3
RUN_OUT, END_AND_REFUND = 0, 1
VALID, EXPIRED, EXHAUSTED, REVOKED, DATASET_RETIRED, SUPERSEDED = 1, 2, 3, 4, 5, 6
TERMS = keccak(b"terms of use")
METRIC = keccak(b"completeness")
MODULE_ROLE = keccak(b"MODULE_ROLE")
FEE_BPS = 250


def make_offer(**changes: Any) -> dict[str, Any]:
    """An offer of a licence for ever at 100 (of whatever the token is), settled at once."""
    plain = {
        "kind": ONE_TIME,
        "token": NATIVE,
        "price": 100,
        "period": 0,
        "maxQuantity": 0,
        "escrowPeriod": 0,
        "metric": bytes(32),
        "minScore": 0,
        "termsHash": TERMS,
    }
    assert changes.keys() <= plain.keys()
    return plain | changes


def make_listing(**changes: Any) -> dict[str, Any]:
    plain = {
        "spdx": "CC-BY-4.0",
        "format": "text/csv",
        "resaleRoyaltyBps": 500,
        "lineageRoyaltyBps": 0,
        "availableUntil": 0,
        "onRetirement": END_AND_REFUND,
    }
    assert changes.keys() <= plain.keys()
    return plain | changes


def make_content(content: bytes, parents: Iterable[bytes] = ()) -> dict[str, Any]:
    return {"cid": make_cid(content), "metadataCid": b"", "parents": list(parents), "sizeBytes": len(content)}


class Market:
    """A chain with the contracts of a sale; the admin is the registry's governance, and the treasury is its own."""

    def __init__(self) -> None:
        self.chain = chain = Chain(governance=Chain().accounts[0])
        accounts = chain.accounts
        self.admin, self.treasury, self.provider, self.buyer, self.friend, self.stranger = accounts[:6]
        self.grandparent, self.parent, self.rival, self.module, self.disputes = accounts[6:11]
        self.users = accounts
        manager, listing, nft, escrow, reputation = 0xDA12, 0xDA10, 0xDA11, 0xDA13, 0xDA16
        addresses = [f"0x{each:040x}" for each in (manager, listing, nft, escrow, reputation)]
        manager_at, listing_at, nft_at, escrow_at, reputation_at = addresses
        self.usd = chain.deploy("TestUSD", list(accounts[:10]), 1_000_000 * USD)
        self.nft = chain.deploy("LicenseNFT", manager_at, listing_at, at=nft)
        self.manager: Contract = chain.deploy_proxy(
            "LicenseManager", self.admin, self.treasury, FEE_BPS, at=manager,
            implementation=chain.deploy("LicenseManager", listing_at, nft_at, escrow_at, reputation_at),
        )  # fmt: skip
        self.listing = chain.deploy_proxy(
            "DataListing", self.admin, at=listing, implementation=chain.deploy("DataListing", manager_at)
        )
        self.oracle = chain.deploy("StandInOracle")
        self.escrow = chain.deploy_proxy(
            "EscrowPayment", self.admin, manager_at, self.disputes, self.oracle, reputation_at,
            at=escrow, implementation=chain.deploy("EscrowPayment"),
        )  # fmt: skip
        self.reputation = chain.deploy(
            "Reputation", self.admin, manager_at, [manager_at, escrow_at, str(self.disputes)], at=reputation
        )
        self.datatoken = chain.deploy("Datatoken", manager_at, at=0xDA1F)
        for each in (self.listing, self.escrow, self.datatoken, self.module):
            self.manager.grantRole(MODULE_ROLE, each)
        for account in accounts[:10]:
            self.usd.approve(self.manager, 2**256 - 1, sender=account)
            self.usd.approve(self.datatoken, 2**256 - 1, sender=account)

    # -- providers

    def publish(
        self,
        content: bytes = b"content",
        offers: Iterable[Mapping[str, Any]] = (),
        *,
        owner: Any = None,
        parents: Iterable[bytes] = (),
        **listing: Any,
    ) -> bytes:
        """Register and list a content; returns its id."""
        self.listing.publish(
            make_content(content, parents), "ipfs://metadata", make_listing(**listing), list(offers),
            sender=owner or self.provider,
        )  # fmt: skip
        return keccak(make_cid(content))

    def offer(self, dataset: bytes, *, owner: Any = None, **changes: Any) -> int:
        return int(self.manager.createOffer(dataset, make_offer(**changes), sender=owner or self.provider).value)

    def sell(self, content: bytes = b"content", **changes: Any) -> tuple[bytes, int]:
        """A data set and its only offer."""
        dataset = self.publish(content, [make_offer(**changes)])
        return dataset, int(self.manager.offerCount())

    def commit(self, content: bytes, owner: Any) -> None:
        """Announce a publication: see `take_over`."""
        self.chain.registry.commitCid(self.listing.commitmentFor(make_cid(content), owner, bytes(32)), sender=owner)

    def take_over(self, content: bytes, owner: Any, offers: Iterable[Mapping[str, Any]] = ()) -> None:
        self.listing.publishCommitted(
            make_content(content), "ipfs://metadata", make_listing(), list(offers), bytes(32), sender=owner
        )

    # -- buyers

    def buy(
        self, offer: int, buyer: Any = None, quantity: int = 1, *, licensee: Any = None, value: int | None = None
    ) -> int:
        """Buy, with native coin if that is what it costs; returns the purchase's id."""
        buyer = buyer or self.buyer
        terms = self.manager.offer(offer)
        due = terms.price * quantity if str(terms.token) == NATIVE else 0
        receipt = self.manager.purchase(
            offer, licensee or buyer, quantity, 2**256 - 1, sender=buyer, value=due if value is None else value
        )
        return int(receipt.value)

    def licensed(self, dataset: bytes, account: Any = None) -> bool:
        return bool(self.chain.ledger.hasLicense(dataset, account or self.buyer))

    def license_of(self, dataset: bytes, account: Any = None) -> Any:
        return self.chain.ledger.licenseOf(dataset, account or self.buyer)

    def pass_contestable(self) -> None:
        self.chain.sleep(COMMIT_WINDOW)

    # -- books

    def owed(self, account: Any, token: Any = NATIVE, vault: Contract | None = None) -> int:
        return int((vault or self.manager).owed(token, account))

    def balance(self, token: Any, account: Any) -> int:
        token = getattr(token, "address", token)
        return self.chain.balance(account) if str(token) == NATIVE else int(self.usd.at(token).balanceOf(account))

    def assert_sound(
        self, token: Any = NATIVE, *, more: Iterable[Any] = (), accounts: Iterable[Any] | None = None
    ) -> None:
        """In both vaults, what is held is the balance, and the sum of all that is owed (and of all open escrows).

        `accounts`: who can be owed anything, all users and `more` of them unless given.
        """
        accounts = [*self.users[:11], *more] if accounts is None else list(accounts)
        owed = sum(self.owed(account, token) for account in accounts)
        assert self.manager.held(token) == owed == self.balance(token, self.manager.address)
        wanted = str(getattr(token, "address", token))
        escrowed = sum(self.owed(account, token, self.escrow) for account in accounts)
        for escrow in range(1, self.escrow.escrowCount() + 1):
            details = self.escrow.escrow(escrow)
            escrowed += details.amount if str(details.token) == wanted else 0
        assert self.escrow.held(token) == escrowed == self.balance(token, self.escrow.address)
