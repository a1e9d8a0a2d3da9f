"""What tests of the contracts that hold money share: a data set, tokens, and stand-ins for their collaborators."""

from __future__ import annotations

import hashlib
from typing import Any

from eth_abi import encode

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Chain, Contract

COMMIT_WINDOW = 86_400
NATIVE = ZERO
METRIC = keccak(b"completeness")
USD = 10**6


def make_cid(content: bytes) -> bytes:
    """A version 1 CID of raw bytes."""
    return bytes.fromhex("01551220") + hashlib.sha256(content).digest()


class World:
    """A chain whose governance is the admin; `dataset` belongs to `provider`."""

    def __init__(self) -> None:
        self.chain = Chain(governance=Chain().accounts[0])
        accounts = self.chain.accounts
        self.admin, self.provider, self.buyer, self.friend, self.stranger, self.disputes = accounts[:6]
        self.manager = self.chain.deploy("StandInManager")
        self.oracle = self.chain.deploy("StandInOracle")
        self.usd = self.chain.deploy("TestUSD", [self.buyer, self.friend, self.stranger], 1_000_000 * USD)
        self.dataset = self.register(b"content")

    def register(self, content: bytes, owner: Any = None) -> bytes:
        owner = owner or self.provider
        dataset = self.chain.registry.registerCid(make_cid(content), b"", [], 5, sender=owner).value
        return bytes(dataset)

    def commit(self, content: bytes, owner: Any) -> None:
        """Announce a registration: see `claim`."""
        commitment = keccak(encode(["bytes", "address", "bytes32"], [make_cid(content), str(owner), bytes(32)]))
        self.chain.registry.commitCid(commitment, sender=owner)

    def claim(self, content: bytes, owner: Any) -> None:
        """Take a data set over by an earlier commitment."""
        self.chain.registry.registerCommitted(make_cid(content), b"", [], 5, bytes(32), sender=owner)

    def pass_contestable(self) -> None:
        """On to the first second in which nobody can take a new data set over."""
        self.chain.sleep(COMMIT_WINDOW)

    def balance(self, token: Any, account: Any) -> int:
        if str(token) == NATIVE:
            return self.chain.balance(account)
        return int(self.usd.at(token).balanceOf(account))

    def licensed(self, account: Any, dataset: bytes | None = None) -> bool:
        return bool(self.chain.ledger.hasLicense(dataset or self.dataset, account))


def values(event: Any) -> tuple[Any, ...]:
    """The arguments of an event, in the order of its declaration."""
    return tuple(event.arguments.values())


def assert_sound(world: World, vault: Contract, token: Any, expected_held: int) -> None:
    """The books name this sum, and the money is there to the unit."""
    token = getattr(token, "address", token)
    assert vault.held(token) == expected_held
    assert world.balance(token, vault) == expected_held
