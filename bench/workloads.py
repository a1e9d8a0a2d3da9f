"""The rows of the benchmarks: presigned transactions, the same on every chain.

A `Workbench` holds what the transactions of one chain need: the senders' keys and nonces, the addresses of the
contracts. Preparing and signing happens outside the measured time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from eth_abi import encode

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import Transaction, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import Address
from tests.clients.toolchain import REPOSITORY, Contract, compile_solidity

CHAIN_ID = 1337
GWEI = 10**9
MAX_FEE = 100 * GWEI
TIP = GWEI
FUNDS_WEI = 10**21
SENDERS = 100
STRIDE = 7919
"""Prime, so that every recipient gets his turn."""
NATIVE_REGISTRY = bytes.fromhex("000000000000000000000000000000000000da01")
NATIVE_LEDGER = bytes.fromhex("000000000000000000000000000000000000da02")
ONE_TIME = 1


def contracts() -> dict[str, Contract]:
    return compile_solidity(REPOSITORY / "bench" / "contracts" / "Bench.sol")


def call_data(signature: str, *arguments: object) -> bytes:
    """Calldata of a function whose argument types stand in `signature`."""
    kinds = signature[signature.index("(") + 1 : -1]
    return keccak(signature.encode())[:4] + encode(kinds.split(",") if kinds else [], arguments)


def make_cid(number: int) -> bytes:
    """A version 1 CID, codec raw, sha2-256, of some content of its own."""
    return bytes.fromhex("01551220") + hashlib.sha256(b"content %d" % number).digest()


def contract_address(sender: bytes, nonce: int) -> bytes:
    from rlp import encode as rlp_encode

    return keccak(rlp_encode([sender, nonce]))[12:]


@dataclass(slots=True)
class Workbench:
    """Senders and contracts on one chain. `registry` and `ledger` are the precompiles, or None: deploy Solidity.

    `recipients`: number of accounts that transfers go to, in an order without locality.
    """

    chain_id: int = CHAIN_ID
    registry: bytes | None = NATIVE_REGISTRY
    ledger: bytes | None = NATIVE_LEDGER
    recipients: int = 10_000
    keys: list[PrivateKey] = field(default_factory=lambda: make_keys(SENDERS))
    nonces: list[int] = field(default_factory=lambda: [0] * SENDERS)
    coin: bytes = b""
    turnstile: bytes = b""
    dataset: bytes = b""
    used_cids: int = 0
    used_recipients: int = 0

    def sign(self, sender: int, to: bytes, data: bytes = b"", value: int = 0, gas: int = 21_000) -> Transaction:
        unsigned = UnsignedTransaction(
            type=2, chain_id=self.chain_id, nonce=self.nonces[sender], gas=gas, max_fee_per_gas=MAX_FEE,
            max_priority_fee_per_gas=TIP, to=Address(to) if to else b"", value=value, data=data,
        )  # fmt: skip
        self.nonces[sender] += 1
        return sign_transaction(unsigned, self.keys[sender])

    def next_cid(self) -> bytes:
        self.used_cids += 1
        return make_cid(self.used_cids)

    def next_recipient(self) -> Address:
        self.used_recipients += 1
        return recipient(self.used_recipients * STRIDE % self.recipients)

    # -- set-up, in steps that must be mined one after the other
    def deployments(self) -> Iterator[list[Transaction]]:
        """Contracts, one licensed data set, a licence for every sender."""
        built = contracts()
        holders = encode(["address[]"], [[key.address for key in self.keys]])
        first = [self._deploy(built["BenchCoin"].bytecode, holders, 10_000_000)]
        self.coin = contract_address(self.keys[0].address, self.nonces[0] - 1)
        if self.registry is None or self.ledger is None:
            first.append(self._deploy(built["SolidityMarket"].bytecode, b"", 5_000_000))
            self.registry = self.ledger = contract_address(self.keys[0].address, self.nonces[0] - 1)
        first.append(self._deploy(built["Turnstile"].bytecode, encode(["address"], [self.ledger]), 1_000_000))
        self.turnstile = contract_address(self.keys[0].address, self.nonces[0] - 1)
        yield first
        cid = self.next_cid()
        self.dataset = keccak(cid)
        yield [self._register(0, cid)]
        yield [
            self.sign(
                0, self.ledger,
                call_data(
                    "grant(bytes32,address,uint8,uint64,uint64,bytes32)",
                    self.dataset, key.address, ONE_TIME, 0, 0, bytes(32),
                ),
                gas=200_000,
            )
            for key in self.keys
        ]  # fmt: skip

    def _deploy(self, bytecode: str, arguments: bytes, gas: int) -> Transaction:
        return self.sign(0, b"", bytes.fromhex(bytecode[2:]) + arguments, gas=gas)

    # -- the measured rows
    def transfers(self, count: int) -> Iterable[Transaction]:
        """Coin of the chain, to accounts that mostly exist already."""
        for i in range(count):
            yield self.sign(i % SENDERS, self.next_recipient(), value=1)

    def erc20_transfers(self, count: int) -> Iterable[Transaction]:
        for i in range(count):
            data = call_data("transfer(address,uint256)", self.next_recipient(), 1)
            yield self.sign(i % SENDERS, self.coin, data, gas=100_000)

    def registrations(self, count: int) -> Iterable[Transaction]:
        for i in range(count):
            yield self._register(i % SENDERS, self.next_cid())

    def license_checks(self, count: int) -> Iterable[Transaction]:
        """A contract lets its caller pass when he holds a licence."""
        for i in range(count):
            yield self.sign(i % SENDERS, self.turnstile, call_data("pass(bytes32)", self.dataset), gas=100_000)

    def _register(self, sender: int, cid: bytes) -> Transaction:
        assert self.registry is not None
        data = call_data("registerCid(bytes,bytes,bytes32[],uint64)", cid, make_cid(0), [], 1_000_000)
        return self.sign(sender, self.registry, data, gas=600_000)


def recipient(number: int) -> Address:
    return Address(keccak(b"recipient %d" % number)[12:])


def make_keys(count: int) -> list[PrivateKey]:
    return [PrivateKey(keccak(b"bench sender %d" % i)) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Counts of transactions: in a full run, with --quick, on plain py-evm."""

    name: str
    make: Callable[[Workbench, int], Iterable[Transaction]]
    count: int
    quick_count: int
    slow_count: int


ROWS = (
    Row("transfers", Workbench.transfers, 8000, 2500, 400),
    Row("ERC-20 transfers", Workbench.erc20_transfers, 5000, 1600, 250),
    Row("registrations", Workbench.registrations, 4000, 1200, 250),
    Row("licence checks", Workbench.license_checks, 4000, 1200, 250),
)
