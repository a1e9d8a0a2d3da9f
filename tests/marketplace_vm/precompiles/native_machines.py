"""Machines that run the native precompiles behind one interface: dicts, plain py-evm, and the node's own state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from eth.constants import BLANK_ROOT_HASH
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.message import Message
from eth_abi import decode

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH
from dmchain.chain.store.kv import MemoryKV
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, native
from dmchain.marketplace_vm.precompiles.abi import FunctionSpec
from dmchain.marketplace_vm.precompiles.host import MemoryHalt, MemoryHost, MemoryState, Reverted
from dmchain.marketplace_vm.state import FlatState
from dmchain.marketplace_vm.vm import DmState, OsakaComputation

GAS = 20_000_000
START_TIME = 1_700_000_000
CONTRACTS = {contract.address: contract for contract in native.CONTRACTS}
FUNCTIONS = {(c.address, h.spec.name): h.spec for c in native.CONTRACTS for h in c.handlers}
ERRORS = {error.selector: error for contract in native.CONTRACTS for error in contract.errors}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `gas_used` and `refund` before the rules that end a transaction."""

    success: bool
    output: bytes
    gas_used: int
    refund: int
    logs: tuple[Log, ...]

    @property
    def error(self) -> tuple[Any, ...] | None:
        """(error name, arguments…), or None when the output is not one of our errors."""
        spec = ERRORS.get(self.output[:4])
        if self.success or spec is None:
            return None
        return (spec.name, *decode([each.type.name for each in spec.parameters], self.output[4:]))


def spec_of(address: bytes, name: str) -> FunctionSpec:
    return FUNCTIONS[address, name]


def decode_output(spec: FunctionSpec, output: bytes) -> Any:
    values = decode([each.type.name for each in spec.outputs], output)
    return values[0] if len(values) == 1 else values


class Machine:
    """A chain of one transaction after another; `call` sends calldata, `do` and `see` call functions by name.

    A caller who lacks the coin it sends is given it before.
    """

    timestamp = START_TIME
    block_number = 1

    def call(
        self, address: bytes, caller: bytes, data: bytes, *, value: int = 0, static: bool = False, gas: int = GAS
    ) -> Outcome:
        raise NotImplementedError

    def get_storage(self, address: bytes, slot: int) -> int:
        raise NotImplementedError

    def storage(self) -> dict[tuple[bytes, int], int]:
        """Every non-zero slot that was ever written."""
        raise NotImplementedError

    def get_balance(self, address: bytes) -> int:
        raise NotImplementedError

    def set_balance(self, address: bytes, balance: int) -> None:
        raise NotImplementedError

    def next_block(self, seconds: int = 1, blocks: int = 1) -> None:
        self.timestamp += seconds
        self.block_number += blocks

    def do(self, caller: bytes, name: str, *arguments: Any, at: bytes = CID_REGISTRY, **options: Any) -> Outcome:
        return self.call(at, caller, spec_of(at, name).encode_call(*arguments), **options)

    def must(self, caller: bytes, name: str, *arguments: Any, at: bytes = CID_REGISTRY, **options: Any) -> Any:
        """Call a function that has to succeed; return its result."""
        outcome = self.do(caller, name, *arguments, at=at, **options)
        assert outcome.success, (name, outcome.error, outcome.output)
        spec = spec_of(at, name)
        if not spec.outputs:
            assert outcome.output == b""
            return outcome
        return decode_output(spec, outcome.output)

    def see(self, name: str, *arguments: Any, at: bytes = CID_REGISTRY) -> Any:
        """Call a view, statically."""
        return self.must(bytes(20), name, *arguments, at=at, static=True)

    def fail(self, caller: bytes, name: str, *arguments: Any, at: bytes = CID_REGISTRY, **options: Any) -> Any:
        """Call a function that has to revert with one of our errors; return (error name, arguments…)."""
        before = self.storage()
        outcome = self.do(caller, name, *arguments, at=at, **options)
        assert not outcome.success and outcome.error is not None, (name, outcome)
        assert self.storage() == before and not outcome.logs
        return outcome.error


class MemoryMachine(Machine):
    def __init__(self) -> None:
        self.state = MemoryState()

    def call(
        self, address: bytes, caller: bytes, data: bytes, *, value: int = 0, static: bool = False, gas: int = GAS
    ) -> Outcome:
        state = self.state
        state.timestamp, state.block_number = self.timestamp, self.block_number
        state.begin_transaction()
        before, balances = dict(state.storage), dict(state.balances)
        if value:
            state.set_balance(caller, max(state.get_balance(caller), value) - value)
            state.set_balance(address, state.get_balance(address) + value)
        host = MemoryHost(state, address, caller, gas_limit=gas, value=value, is_static=static)
        try:
            output = CONTRACTS[address].run(host, data)
        except Reverted as reverted:
            state.storage, state.balances = before, balances
            return Outcome(False, reverted.data, gas - host.gas_left, 0, ())
        except MemoryHalt:
            state.storage, state.balances = before, balances
            return Outcome(False, b"", gas, 0, ())
        return Outcome(True, output, gas - host.gas_left, host.refund, tuple(state.logs))

    def get_storage(self, address: bytes, slot: int) -> int:
        return self.state.get_storage(address, slot)

    def storage(self) -> dict[tuple[bytes, int], int]:
        return {key: value for key, value in self.state.storage.items() if value}

    def get_balance(self, address: bytes) -> int:
        return self.state.get_balance(address)

    def set_balance(self, address: bytes, balance: int) -> None:
        self.state.set_balance(address, balance)


class EvmMachine(Machine):
    """What the two machines on py-evm's rules share; `state` is a py-evm State."""

    state: Any

    def __init__(self) -> None:
        self.touched: set[tuple[bytes, int]] = set()
        for address, account in native.GENESIS_ACCOUNTS.items():
            self.state.set_nonce(address, account.nonce)
            self.install(address, account.code)
            for slot, value in account.storage.items():
                self.state.set_storage(address, slot, value)
        self._record_writes()

    def _record_writes(self) -> None:
        write = self.state.set_storage

        def set_storage(address: bytes, slot: int, value: int) -> None:
            self.touched.add((address, slot))
            write(address, slot, value)

        self.state.set_storage = set_storage

    def set_time(self) -> None:
        raise NotImplementedError

    def install(self, address: bytes, code: bytes, balance: int = 0) -> None:
        """Put code and coin at an address, so that contracts may call the precompiles."""
        self.state.set_code(address, code)
        self.state.set_balance(address, balance)

    def call(
        self, address: bytes, caller: bytes, data: bytes, *, value: int = 0, static: bool = False, gas: int = GAS
    ) -> Outcome:
        state = self.state
        self.set_time()
        state.lock_changes()
        if value > state.get_balance(caller):
            state.set_balance(caller, value)
        message = Message(
            gas=gas, to=address, sender=caller, value=value, data=data, code=state.get_code(address), is_static=static
        )
        state.mark_address_warm(caller)  # as a transaction's sender and recipient are
        state.mark_address_warm(address)
        context = CancunTransactionContext(gas_price=7, origin=caller)
        computation = state.computation_class.apply_message(state, message, context)
        logs = tuple(
            Log(log[0], tuple(topic.to_bytes(32, "big") for topic in log[1]), log[2])
            for log in computation.get_log_entries()
        )
        used = computation.get_gas_used()
        return Outcome(computation.is_success, computation.output, used, computation.get_gas_refund(), logs)

    def get_storage(self, address: bytes, slot: int) -> int:
        value: int = self.state.get_storage(address, slot)
        return value

    def get_balance(self, address: bytes) -> int:
        balance: int = self.state.get_balance(address)
        return balance

    def set_balance(self, address: bytes, balance: int) -> None:
        self.state.set_balance(address, balance)

    def storage(self) -> dict[tuple[bytes, int], int]:
        found = {key: self.get_storage(*key) for key in self.touched}
        return {key: value for key, value in found.items() if value}


class PlainComputation(PragueComputation):
    _precompiles: ClassVar[Any] = {**PragueComputation.get_precompiles(), **native.PRECOMPILES}


class PlainState(PragueState):
    computation_class = PlainComputation


class PlainMachine(EvmMachine):
    """Plain py-evm with its own account database."""

    def __init__(self) -> None:
        context = ExecutionContext(
            coinbase=bytes(20), timestamp=START_TIME, block_number=1, difficulty=0, mix_hash=bytes(32),
            gas_limit=30_000_000, prev_hashes=(), chain_id=1337, base_fee_per_gas=7, excess_blob_gas=0,
        )  # fmt: skip
        self.state = PlainState(AtomicDB(), context, BLANK_ROOT_HASH)
        super().__init__()

    def set_time(self) -> None:
        self.state.execution_context._timestamp = self.timestamp
        self.state.execution_context._block_number = self.block_number


class FlatMachine(EvmMachine):
    """The node's own flat state and computations."""

    def __init__(self) -> None:
        environment = BlockEnvironment(
            number=1, timestamp=START_TIME, coinbase=ZERO_ADDRESS, gas_limit=30_000_000, base_fee=7,
            prev_randao=ZERO_HASH, parent_hash=ZERO_HASH, parent_beacon_block_root=ZERO_HASH,
            block_hash=lambda number: None,
        )  # fmt: skip
        self.state = DmState(FlatState(MemoryKV()), environment, 1337, OsakaComputation._precompiles)
        self.state.computation_class = OsakaComputation
        super().__init__()

    def set_time(self) -> None:
        self.state.execution_context.timestamp = self.timestamp
        self.state.execution_context.block_number = self.block_number


MACHINES: list[type[Machine]] = [MemoryMachine, PlainMachine, FlatMachine]
