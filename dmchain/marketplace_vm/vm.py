"""py-evm's rules configured for dmchain: opcodes and gas tables of Prague, what contracts see of Osaka, native precompiles.

py-evm gives opcodes and precompiles; this module replaces what surrounds them: computations are lighter, snapshots are
marks in the journal of `FlatState`, and a computation knows by its parent, not by its sender, whether it is the outermost
(py-evm compares the sender with the origin, which EIP-7702 made wrong).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any, Protocol, TypeVar

from eth.abc import ComputationAPI
from eth.exceptions import Halt, StackDepthLimit, VMError
from eth.exceptions import InsufficientFunds as VMInsufficientFunds
from eth.vm.code_stream import CodeStream
from eth.vm.computation import BaseComputation
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.forks.prague.opcodes import PRAGUE_OPCODES
from eth.vm.forks.prague.state import PragueState
from eth.vm.gas_meter import GasMeter
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.memory import Memory
from eth.vm.message import Message
from eth.vm.opcode import as_opcode
from eth.vm.stack import Stack

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.rules import Rules
from dmchain.marketplace_vm.crypto_precompiles import OSAKA_PRECOMPILES, PRECOMPILES
from dmchain.marketplace_vm.precompiles.native import PRECOMPILES as NATIVE_PRECOMPILES
from dmchain.marketplace_vm.state import FlatState

__all__ = ["CancunTransactionContext", "DmComputation", "DmState", "Message", "computation_class_for"]

T = TypeVar("T")

STACK_DEPTH_LIMIT = 1024
RECURSION_LIMIT = 100_000
"""A call at depth 1024 is some ten thousand Python frames deep; a RecursionError would differ between machines."""
SWITCH_INTERVAL_SECONDS = 0.001
"""How long a busy worker thread may keep the interpreter from the event loop; Python's 5 ms cost light calls 261 ms when
four threads were busy, this 52 ms."""
THREAD_STACK_BYTES = 512 * 1024 * 1024
"""Virtual, not resident: threads that execute need room for the C frames of the same depth."""


def prepare_thread_stacks() -> None:
    """Call once at start, before any worker thread exists."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
    threading.stack_size(THREAD_STACK_BYTES)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)


def run_on_big_stack(work: Callable[[], T]) -> T:
    """Run `work` on a thread with room for a call at full depth; the main thread's stack is the shell's choice."""
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return result[0]


sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))


def count_leading_zeros(computation: ComputationAPI) -> None:
    """CLZ (EIP-7939): the number of zero bits before the first one; 256 for zero."""
    computation.stack_push_int(256 - computation.stack_pop1_int().bit_length())


GAS_COUNT_LEADING_ZEROS = 5
OSAKA_OPCODES = {
    **PRAGUE_OPCODES,
    0x1E: as_opcode(logic_fn=count_leading_zeros, mnemonic="CLZ", gas_cost=GAS_COUNT_LEADING_ZEROS),
}


class StopSignal(Protocol):
    """Set by another thread when nobody waits for a result any more."""

    requested: bool


class ExecutionStopped(DmchainError):
    """A call was given up because its StopSignal asked for it. Not a VMError: it ends all frames at once."""

    def __init__(self) -> None:
        super().__init__("execution stopped")


class _NeverStop:
    """Blocks run to their end."""

    requested = False


NEVER_STOP: StopSignal = _NeverStop()
STOP_INTERVAL = 2048
"""Opcodes between two looks at the StopSignal: about a millisecond."""


class DmState(PragueState):
    """py-evm's view of a block in execution: a `FlatState` and a `BlockEnvironment`."""

    def __init__(self, flat: FlatState, environment: BlockEnvironment, chain_id: int, precompiles: Any) -> None:
        self._account_db = flat
        self.environment = environment
        self.execution_context = _Context(environment, chain_id)
        self._warm = flat.warm
        self._precompiles = precompiles
        self.tracer: Any = None
        self.stop = NEVER_STOP
        # py-evm's State forwards each of these with a Python call of its own
        for name in _FORWARDED:
            setattr(self, name, getattr(flat, name))
        self.get_transient_storage = flat.get_transient
        self.set_transient_storage = flat.set_transient
        self.has_code_or_nonce = flat.account_has_code_or_nonce

    @property
    def flat(self) -> FlatState:
        return self._account_db

    def is_address_warm(self, address: bytes) -> bool:
        return address in self._warm or address in self._precompiles

    def snapshot(self) -> int:
        return len(self._account_db.journal)

    def revert(self, snapshot: int) -> None:
        self._account_db.discard(snapshot)

    def commit(self, snapshot: int) -> None:
        pass

    def clear_transient_storage(self) -> None:
        self._account_db.transient.clear()

    @property
    def blob_base_fee(self) -> int:
        return self.environment.blob_base_fee

    def get_ancestor_hash(self, block_number: int) -> bytes:
        number = self.environment.number
        if not 0 <= number - block_number - 1 < 256 or block_number < 0:
            return b""
        return self.environment.block_hash(block_number) or b""


_FORWARDED = (
    "get_storage", "set_storage", "delete_storage", "delete_account", "get_balance", "set_balance", "get_nonce",
    "set_nonce", "increment_nonce", "get_code", "set_code", "delete_code", "get_code_hash", "account_exists",
    "account_is_empty", "touch_account", "is_storage_warm", "mark_storage_warm", "mark_address_warm", "lock_changes",
)  # fmt: skip


class _Context:
    """py-evm's ExecutionContext, by plain attributes."""

    __slots__ = (
        "base_fee_per_gas", "block_number", "chain_id", "coinbase", "difficulty", "excess_blob_gas", "gas_limit",
        "mix_hash", "timestamp",
    )  # fmt: skip

    def __init__(self, environment: BlockEnvironment, chain_id: int) -> None:
        self.coinbase = environment.coinbase
        self.timestamp = environment.timestamp
        self.block_number = environment.number
        self.difficulty = 0
        self.mix_hash = environment.prev_randao
        self.gas_limit = environment.gas_limit
        self.base_fee_per_gas = environment.base_fee
        self.excess_blob_gas = environment.excess_blob_gas
        self.chain_id = chain_id


def _add_refund(total: int, amount: int) -> int:
    # EIP-1283 and later take refunds back, so a frame's own total may be negative
    return total + amount


def run_plain(computation: Any) -> None:
    """py-evm's loop: one opcode object after the other, until Halt, a VMError or ExecutionStopped."""
    opcodes = computation.opcodes
    stop = computation.state.stop
    stream = iter(computation.code)  # ends with STOP, which raises Halt
    try:
        while True:
            for opcode in islice(stream, STOP_INTERVAL):
                function = opcodes.get(opcode)
                if function is None:
                    function = InvalidOpcode(opcode)
                function(computation)
            if stop.requested:
                raise ExecutionStopped
    except Halt:
        return


class DmComputation(PragueComputation):
    """One call frame. `code_runner` executes its code; the translator puts its own there."""

    code_runner: Callable[[Any], None] = staticmethod(run_plain)
    _precompiles = {**PragueComputation.get_precompiles(), **PRECOMPILES, **NATIVE_PRECOMPILES}

    def __init__(self, state: DmState, message: Any, transaction_context: Any) -> None:
        self.state = state
        self.msg = message
        self.transaction_context = transaction_context
        self.code = CodeStream(message.code)
        self._gas_meter = GasMeter(message.gas, _add_refund)
        self.children: list[Any] = []
        self.accounts_to_delete: list[bytes] = []
        self.beneficiaries: list[bytes] = []
        self._stack = Stack()
        self._memory = Memory()
        self._log_entries: list[Any] = []
        self.data_floor_cost = 0

    @classmethod
    def apply_message(
        cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
    ) -> DmComputation:
        """Transfer the value and run the code at `message.code_address`; undo both when it fails."""
        if message.depth > STACK_DEPTH_LIMIT:
            raise StackDepthLimit("Stack depth limit reached")
        flat = state.flat
        mark = len(flat.journal)
        value = message.value
        target = message.storage_address
        if value and message.should_transfer_value:
            balance = flat.get_balance(message.sender)
            if balance < value:
                raise VMInsufficientFunds(f"Insufficient funds: {balance} < {value}")
            flat.set_balance(message.sender, balance - value)
            flat.set_balance(target, flat.get_balance(target) + value)
        flat.touch_account(target)
        computation = cls.apply_computation(state, message, transaction_context, parent_computation)
        if computation._error is not None:
            flat.discard(mark)
        return computation

    @classmethod
    def apply_computation(
        cls, state: Any, message: Any, transaction_context: Any, parent_computation: Any = None
    ) -> DmComputation:
        if state.stop.requested:
            raise ExecutionStopped
        computation = cls(state, message, transaction_context)
        tracer = state.tracer
        if tracer is not None:
            tracer.enter(computation)
        try:
            if parent_computation is None:
                computation.contracts_created = []
            else:
                computation.contracts_created = parent_computation.contracts_created
            if message.is_create:
                computation.contracts_created.append(message.storage_address)
            precompile = computation._precompiles.get(message.code_address)
            if precompile is not None:
                # EIP-7702: a delegation to a precompile runs nothing
                if not message.is_delegation:
                    precompile(computation)
            elif message.code:
                if tracer is None:
                    cls.code_runner(computation)
                else:
                    tracer.run(computation)
        except VMError as error:
            computation.__exit__(type(error), error, None)
        if tracer is not None:
            tracer.leave(computation)
        return computation

    @property
    def is_origin_computation(self) -> bool:
        return bool(self.msg.depth == 0)

    # py-evm caches these on each computation through a descriptor that costs more than ten such look-ups
    stack_pop_ints = property(lambda self: self._stack.pop_ints)
    stack_pop_bytes = property(lambda self: self._stack.pop_bytes)
    stack_pop_any = property(lambda self: self._stack.pop_any)
    stack_pop1_int = property(lambda self: self._stack.pop1_int)
    stack_pop1_bytes = property(lambda self: self._stack.pop1_bytes)
    stack_pop1_any = property(lambda self: self._stack.pop1_any)
    stack_push_int = property(lambda self: self._stack.push_int)
    stack_push_bytes = property(lambda self: self._stack.push_bytes)


class OsakaComputation(DmComputation):
    """What contracts see of Osaka: CLZ, P256VERIFY, MODEXP's limits and price."""

    opcodes = OSAKA_OPCODES
    _precompiles = {**DmComputation._precompiles, **OSAKA_PRECOMPILES}


def computation_class_for(rules: Rules, timestamp: int) -> type[DmComputation]:
    return OsakaComputation if rules.is_osaka(timestamp) else DmComputation


assert issubclass(DmComputation, BaseComputation)
