"""Transactions and state for the tests of the pool; nothing here is signed, so thousands cost little."""

from __future__ import annotations

from dmchain.chain.admission import Account, PoolHead
from dmchain.chain.primitives.codec import encode
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address

CHAIN_ID = 1337
RICH = 10**24


class Accounts:
    """A state at the head that tests set directly."""

    def __init__(self) -> None:
        self.known: dict[Address, Account] = {}

    def account(self, address: Address) -> Account:
        return self.known.get(address, Account(0, 0))

    def set(self, address: Address, nonce: int = 0, balance: int = RICH, **code: bool) -> None:
        self.known[address] = Account(nonce, balance, **code)

    def head(self, base_fee: int = 0, gas_limit: int = 30_000_000, cap: int | None = None) -> PoolHead:
        return PoolHead(self, base_fee, gas_limit, cap)


def address(number: int) -> Address:
    return Address((number + 1).to_bytes(20, "big"))


def transfer(
    sender: Address,
    nonce: int,
    tip: int = 10,
    cap: int | None = None,
    *,
    gas: int = 21_000,
    value: int = 0,
    data: bytes = b"",
    chain_id: int = CHAIN_ID,
    to: bytes = b"\x11" * 20,
) -> Transaction:
    """A type 2 transaction that claims to come from `sender`; fees in wei per gas, the cap is the tip unless given."""
    cap = tip if cap is None else cap
    marker = int.from_bytes(sender, "big")  # stands for the signature, and keeps hashes of senders apart
    tx = Transaction.decode(b"\x02" + encode([chain_id, nonce, tip, cap, gas, to, value, data, [], 0, marker, 1]))
    tx._sender = sender
    return tx
