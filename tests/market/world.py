"""A devnet with the market in its genesis, seen by the people of a market: for flow tests through JSON-RPC."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

from dmchain.market import Market, OfferTerms, cids, private_key
from dmchain.market.models import Publication
from dmchain.market.signers import LocalSigner
from dmchain.testing import Devnet

ACCOUNTS = 30
"""The first ten have DMG and a million test dollars (genesis of a devnet); all have 10,000 coins."""

DAY = 86_400
COIN = 10**18
USD = 10**6


class World:
    """Roles are markets of one signer each; time and blocks move only when told.

    `provider` sells, `consumer`, `second_consumer` and `third_consumer` buy; `creator` and `second_creator` own what
    `provider` derives from; `stranger` has nothing to do with it; `jurors` (11) and `operators` (7) have staked nothing
    yet. `market(n)` is any account.
    """

    def __init__(self, devnet: Devnet) -> None:
        self.devnet = devnet
        self.signers: list[LocalSigner] = [private_key(each["privateKey"]) for each in devnet.accounts]
        self._markets: dict[int, Market] = {}
        self._contents = itertools.count(1)
        self.provider, self.consumer, self.second_consumer = (self.market(at) for at in (1, 2, 3))
        self.creator, self.second_creator, self.stranger = (self.market(at) for at in (4, 5, 6))
        self.third_consumer = self.market(7)
        self.jurors = [self.market(at) for at in range(10, 21)]
        self.operators = [self.market(at) for at in range(21, 28)]

    def market(self, index: int) -> Market:
        """The market of an account, the same object each time."""
        if index not in self._markets:
            self._markets[index] = Market(self.devnet.url, self.signers[index])
        return self._markets[index]

    def address(self, market: Market) -> str:
        return market.address()

    # ------------------------------------------------------------ time

    def now(self) -> int:
        """Time of the latest block."""
        return int(self.devnet.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def sleep(self, seconds: int) -> None:
        """Let time go by, and make a block in which it has."""
        self.devnet.call("evm_increaseTime", seconds)
        self.devnet.call("evm_mine")

    def sleep_until(self, timestamp: int) -> None:
        """The next blocks are not earlier than this."""
        if timestamp > self.now():
            self.sleep(timestamp - self.now())

    def mine(self, blocks: int = 1) -> None:
        for _ in range(blocks):
            self.devnet.call("evm_mine")

    # ------------------------------------------------------------ money

    def coins(self, account: Market | str) -> int:
        """Native coin in wei."""
        return int(self.devnet.call("eth_getBalance", self._address(account), "latest"), 16)

    def tokens(self, account: Market | str, token: str = "USD") -> int:
        """Smallest units of a token."""
        return self.provider.tokens.balance(token, self._address(account))

    def owed(self, account: Market | str, token: str = "USD", contract: str | None = None) -> int:
        """What the market owes an account in a token, of one contract or all."""
        found = self.provider.payouts.owed(self._address(account))
        wanted = self.provider.tokens.get(token).address
        return sum(each.amount for each in found if each.token.address == wanted and contract in (None, each.contract))

    def contract_balance(self, contract: str, token: str = "USD") -> int:
        """What a contract of the market has of a token."""
        return self.provider.tokens.balance(token, self.provider.contract_address(contract))

    def _address(self, account: Market | str) -> str:
        return account if isinstance(account, str) else account.address()

    # ------------------------------------------------------------ shortcuts

    def cid(self) -> str:
        """A CID that no test of this world has used."""
        return cids.of_content(f"content {next(self._contents)}".encode())

    def publish(
        self, offers: Sequence[OfferTerms], *, by: Market | None = None, parents: Iterable[Any] = (), **more: Any
    ) -> Publication:
        """List a new data set, of `provider` unless `by` another."""
        options = {"spdx": "CC-BY-4.0", "format": "text/csv", **more}
        return (by or self.provider).publish(self.cid(), offers=offers, parents=tuple(parents), **options)

    def join(self, pool: Sequence[Market], stake: str = "10 DM") -> None:
        """Let members of `jurors` or `operators` stake: `world.join(world.jurors[:5])`."""
        for each in pool:
            group = each.disputes.jurors if each in self.jurors else each.quality.operators
            group.join(stake)
