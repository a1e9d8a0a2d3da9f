"""Two machines that run the native precompiles behind one interface: dicts, and plain py-evm (Prague)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth.constants import BLANK_ROOT_HASH
from eth.db.atomic import AtomicDB
from eth.vm.execution_context import ExecutionContext
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.state import PragueState
from eth.vm.message import Message
from eth_abi import decode

from dmchain.chain.primitives.block import Log
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, native
from dmchain.marketplace_vm.precompiles.abi import FunctionSpec
from dmchain.marketplace_vm.precompiles.host import MemoryHalt, MemoryHost, MemoryState, Reverted

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
    """A chain of one transaction after another; `call` sends calldata, `do` and `see` call functions by name."""

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
        before = dict(state.storage)
        host = MemoryHost(state, address, caller, gas_limit=gas, value=value, is_static=static)
        try:
            output = CONTRACTS[address].run(host, data)
        except Reverted as reverted:
            state.storage = before
            return Outcome(False, reverted.data, gas - host.gas_left, 0, ())
        except MemoryHalt:
            state.storage = before
            return Outcome(False, b"", gas, 0, ())
        return Outcome(True, output, gas - host.gas_left, host.refund, tuple(state.logs))

    def get_storage(self, address: bytes, slot: int) -> int:
        return self.state.get_storage(address, slot)

    def storage(self) -> dict[tuple[bytes, int], int]:
        return {key: value for key, value in self.state.storage.items() if value}


class NativeComputation(PragueComputation):
    _precompiles = {**PragueComputation.get_precompiles(), **native.PRECOMPILES}  # type: ignore[dict-item]


class NativeState(PragueState):
    computation_class = NativeComputation


class EvmMachine(Machine):
    """Plain py-evm. `install` puts code at an address, so that contracts may call the precompiles."""

    def __init__(self) -> None:
        context = ExecutionContext(
            coinbase=bytes(20), timestamp=START_TIME, block_number=1, difficulty=0, mix_hash=bytes(32),
            gas_limit=30_000_000, prev_hashes=(), chain_id=1337, base_fee_per_gas=7, excess_blob_gas=0,
        )  # fmt: skip
        self.state: Any = NativeState(AtomicDB(), context, BLANK_ROOT_HASH)
        self.touched: set[tuple[bytes, int]] = set()
        for address, account in native.GENESIS_ACCOUNTS.items():
            self.state.set_nonce(address, account.nonce)
            self.install(address, account.code)
            for slot, value in account.storage.items():
                self.state.set_storage(address, slot, value)
        self.state.lock_changes()
        self._record_writes()

    def _record_writes(self) -> None:
        write = self.state.set_storage

        def set_storage(address: bytes, slot: int, value: int) -> None:
            self.touched.add((address, slot))
            write(address, slot, value)

        self.state.set_storage = set_storage

    def install(self, address: bytes, code: bytes, balance: int = 0) -> None:
        self.state.set_code(address, code)
        self.state.set_balance(address, balance)

    def call(
        self, address: bytes, caller: bytes, data: bytes, *, value: int = 0, static: bool = False, gas: int = GAS
    ) -> Outcome:
        state = self.state
        state.execution_context._timestamp = self.timestamp
        state.execution_context._block_number = self.block_number
        state.lock_changes()
        if value:
            state.set_balance(caller, value)
        message = Message(
            gas=gas, to=address, sender=caller, value=value, data=data, code=state.get_code(address), is_static=static
        )
        context = state.get_transaction_context_class()(gas_price=7, origin=caller)
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

    def storage(self) -> dict[tuple[bytes, int], int]:
        found = {key: self.get_storage(*key) for key in self.touched}
        return {key: value for key, value in found.items() if value}
