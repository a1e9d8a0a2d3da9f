"""A small world to run bytecode in, on any code runner, and everything that a run leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from eth.constants import CREATE_CONTRACT_ADDRESS

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.state import CodeCache, FlatState
from dmchain.marketplace_vm.translate import Policy, Translator
from dmchain.marketplace_vm.vm import (
    CancunTransactionContext,
    DmComputation,
    DmState,
    Message,
    OsakaComputation,
)

SENDER = Address(b"\xaa" * 20)
COINBASE = Address(b"\xcc" * 20)
CONTRACTS = tuple(Address(bytes([0x10 + n]) * 20) for n in range(4))
DELEGATING = Address(b"\xde" * 20)
NOBODY = Address(b"\x0e" * 20)
ETHER = 10**18

Runner = Callable[[Any], None]


@dataclass(frozen=True)
class Account:
    code: bytes = b""
    balance: int = ETHER
    nonce: int = 1
    storage: Mapping[int, int] = field(default_factory=dict)


World = Mapping[Address, Account]


@dataclass
class Outcome:
    """What one message left behind, in a form that two runners can be compared by."""

    error: str
    gas_remaining: int
    refund: int
    output: bytes
    logs: Any
    deleted: list[bytes]
    accounts: dict[bytes, Any]
    storage: dict[Any, int]
    warm: set[Any]
    transient: dict[Any, bytes]
    undone: bool
    """Whether discarding the journal restores the state of before."""


@cache
def computation_class(runner: Runner) -> type[OsakaComputation]:
    return type("TestedComputation", (OsakaComputation,), {"code_runner": staticmethod(runner)})


def translator(policy: Policy) -> Runner:
    return Translator(policy).run


def environment() -> BlockEnvironment:
    return BlockEnvironment(
        number=300,
        timestamp=1_700_000_000,
        coinbase=COINBASE,
        gas_limit=30_000_000,
        base_fee=7,
        prev_randao=Hash32(b"\x42" * 32),
        parent_hash=Hash32(b"\x01" * 32),
        parent_beacon_block_root=Hash32(bytes(32)),
        block_hash=lambda number: keccak(str(number).encode()),
    )


def build_state(world: World, runner: Runner) -> DmState:
    """A state in which `world` is what the block began with."""
    genesis = FlatState(MemoryKV(), codes=CodeCache())
    for address, account in world.items():
        genesis.set_balance(address, account.balance)
        genesis.set_nonce(address, account.nonce)
        if account.code:
            genesis.set_code(address, account.code)
        for slot, value in account.storage.items():
            genesis.set_storage(address, slot, value)
    store = MemoryKV()
    store.write(genesis.compute_changes(keccak(b"\x80")).writes, sync=False)
    return DmState(FlatState(store), environment(), 1, computation_class(runner)._precompiles)


def run(
    state: DmState,
    runner: Runner,
    to: Address,
    *,
    gas: int = 1_000_000,
    data: bytes = b"",
    value: int = 0,
    static: bool = False,
    depth: int = 0,
    kind: type[DmComputation] | None = None,
) -> Outcome:
    """Run one message from SENDER as the whole of a transaction."""
    flat = state.flat
    flat.lock_changes()
    before = snapshot(flat)
    message = Message(
        gas=gas, to=to, sender=SENDER, value=value, data=data, code=flat.get_code(to), is_static=static, depth=depth
    )
    return finish(state, kind or computation_class(runner), message, before)


def create(state: DmState, runner: Runner, initcode: bytes, *, gas: int = 1_000_000) -> Outcome:
    """Run `initcode` as a creation transaction."""
    flat = state.flat
    flat.lock_changes()
    before = snapshot(flat)
    message = Message(
        gas=gas,
        to=CREATE_CONTRACT_ADDRESS,
        sender=SENDER,
        value=0,
        data=b"",
        code=initcode,
        create_address=keccak(initcode)[12:],
    )
    return finish(state, computation_class(runner), message, before)


def execute(state: DmState, kind: type[DmComputation], message: Message) -> Any:
    """Run a message and return its computation."""
    context = CancunTransactionContext(gas_price=9, origin=SENDER, blob_versioned_hashes=[b"\x01" + bytes(31)])
    apply = kind.apply_create_message if message.is_create else kind.apply_message
    return apply(state, message, context)


def finish(state: DmState, kind: type[DmComputation], message: Message, before: Any) -> Outcome:
    flat = state.flat
    computation = execute(state, kind, message)
    deleted = sorted(computation.get_accounts_for_deletion())
    after = snapshot(flat)
    warm, transient = set(flat.warm), {key: value for key, value in flat.transient.items() if any(value)}
    flat.discard(0)
    undone = snapshot(flat) == before and not flat.warm and not flat.transient
    return Outcome(
        error="" if computation._error is None else type(computation._error).__name__,
        gas_remaining=computation.get_gas_remaining(),
        refund=computation.get_gas_refund(),
        output=computation.output,
        logs=computation.get_log_entries(),
        deleted=deleted,
        accounts=after[0],
        storage=after[1],
        warm=warm,
        transient=transient,
        undone=undone,
    )


def snapshot(flat: FlatState) -> tuple[dict[bytes, Any], dict[Any, int]]:
    """Accounts and slots that are not what they were when the block began."""
    accounts = {
        address: flat.acc[address] for address, before in flat.dirty_accounts.items() if flat.acc[address] != before
    }
    storage = {
        (address, slot): flat.sto[(address, slot)]
        for address, slots in flat.dirty_storage.items()
        for slot, before in slots.items()
        if flat.sto[(address, slot)] != before
    }
    return accounts, storage
