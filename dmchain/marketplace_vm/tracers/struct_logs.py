"""The tracer without a name: one entry for each opcode (geth's struct logs; execution-apis, OpcodeTransactionTrace)."""

from __future__ import annotations

from typing import Any

from eth.exceptions import Halt, Revert, VMError
from eth.vm.gas_meter import GasMeter

from dmchain.marketplace_vm.halts import UnknownOpcode, check_stack, halt_reason
from dmchain.marketplace_vm.tracers.base import (
    CREATE,
    CREATE2,
    BaseTracer,
    Message,
    TraceTooLarge,
    hex_data,
    hex_word,
    to_int,
)
from dmchain.marketplace_vm.vm import OSAKA_OPCODES, STOP_INTERVAL, ExecutionStopped

MAX_TRACE_CHARACTERS = 128 * 1024 * 1024
"""Of stack, memory, storage and return data in one result; an entry itself counts for 128."""
ENTRY_CHARACTERS = 128
STOP, SLOAD, SSTORE = 0x00, 0x54, 0x55
_NAMES = {value: getattr(opcode, "__wrapped__", opcode).mnemonic for value, opcode in OSAKA_OPCODES.items()}
_NAMES |= {0x20: "KECCAK256", 0x44: "PREVRANDAO", 0xFE: "INVALID"}  # where py-evm's name is not geth's


class _CountingMeter(GasMeter):
    """Also adds up what was charged, whether there was enough of it or not, and not what was given back."""

    charged = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        self.charged += amount
        super().consume_gas(amount, reason)


class _Frame:
    """What is known of a frame while it runs."""

    __slots__ = ("child_gas", "computation", "kept_refund", "outer_refund", "storage")

    def __init__(self, computation: Any, outer_refund: int) -> None:
        self.computation = computation
        self.outer_refund = outer_refund
        """Refund counter of the frames around this one, when it began."""
        self.kept_refund = 0
        """Of the calls that this frame has made."""
        self.child_gas = 0
        """Gas sent along with the latest call or creation."""
        self.storage: dict[str, str] = {}

    def refund(self) -> int:
        """geth's refund counter, which knows no frames."""
        return self.outer_refund + self.kept_refund + int(self.computation._gas_meter.gas_refunded)


class StructLogger(BaseTracer):
    """geth's struct logger."""

    def __init__(
        self,
        *,
        enable_memory: bool = False,
        disable_stack: bool = False,
        disable_storage: bool = False,
        enable_return_data: bool = False,
        limit: int = 0,
    ) -> None:
        """`limit`: how many entries are kept, 0 for all; execution goes on after that."""
        self._enable_memory = enable_memory
        self._enable_stack = not disable_stack
        self._enable_storage = not disable_storage
        self._enable_return_data = enable_return_data
        self._limit = limit or 2**63
        self._entries: list[dict[str, Any]] = []
        self._open: list[_Frame] = []
        self._top: Any = None
        self._characters = 0

    def enter(self, computation: Any) -> None:
        meter = computation._gas_meter
        computation._gas_meter = _CountingMeter(meter.start_gas, meter.refund_strategy)
        outer = 0
        if self._open:
            self._open[-1].child_gas = computation.msg.gas
            outer = self._open[-1].refund()
        else:
            self._top = computation
        self._open.append(_Frame(computation, outer))

    def leave(self, computation: Any) -> None:
        frame = self._open.pop()
        if self._open and computation._error is None:
            self._open[-1].kept_refund += frame.kept_refund + computation._gas_meter.gas_refunded

    def run(self, computation: Any) -> None:
        stop = computation.state.stop
        frame = self._open[-1]
        stream, code = computation.code, computation.msg.code
        steps = 0
        try:
            while True:
                position = stream.program_counter
                stream.program_counter = position + 1
                self._step(frame, position, code[position] if position < len(code) else STOP)
                steps += 1
                if steps % STOP_INTERVAL == 0 and stop.requested:
                    raise ExecutionStopped
        except Halt:
            return

    def _step(self, frame: _Frame, position: int, opcode: int) -> None:
        computation = frame.computation
        stack, meter = computation._stack.values, computation._gas_meter
        entry = self._entry(frame, position, opcode) if len(self._entries) < self._limit else {}
        meter.charged = frame.child_gas = 0
        function = computation.opcodes.get(opcode)
        try:
            if function is None:
                raise UnknownOpcode(opcode)
            check_stack(opcode, len(stack))
            function(computation)
        except Revert:
            raise  # what it was meant to do
        except VMError as error:
            entry["error"] = halt_reason(error)
            raise
        finally:
            # the gas that a creation sends along is no cost of the opcode, that of a call is (geth)
            entry["gasCost"] = meter.charged - frame.child_gas if opcode in (CREATE, CREATE2) else meter.charged

    def _entry(self, frame: _Frame, position: int, opcode: int) -> dict[str, Any]:
        """What is shown of an opcode that is about to run; its cost comes later."""
        computation = frame.computation
        stack = computation._stack.values
        entry: dict[str, Any] = {
            "pc": position,
            "op": _NAMES.get(opcode) or f"opcode {opcode:#x} not defined",
            "gas": computation._gas_meter.gas_remaining,
            "gasCost": 0,
            "depth": computation.msg.depth + 1,
        }
        refund = frame.refund()
        if refund > 0:
            entry["refund"] = refund
        size = ENTRY_CHARACTERS
        if self._enable_stack:
            entry["stack"] = items = [hex(to_int(item)) for item in stack]
            size += sum(map(len, items)) + 4 * len(items)
        memory = computation._memory._bytes
        if self._enable_memory and memory:
            entry["memory"] = [hex_data(memory[at : at + 32]) for at in range(0, len(memory), 32)]
            size += 2 * len(memory) + len(memory) // 8
        if self._enable_return_data and computation.return_data:
            entry["returnData"] = hex_data(computation.return_data)
            size += 2 * len(computation.return_data)
        if self._enable_storage and opcode in (SLOAD, SSTORE) and stack:
            self._note_storage(entry, frame, opcode, stack)
            size += 140 * len(frame.storage)
        self._characters += size
        if self._characters > MAX_TRACE_CHARACTERS:
            raise TraceTooLarge(f"trace is larger than {MAX_TRACE_CHARACTERS} characters")
        self._entries.append(entry)
        return entry

    @staticmethod
    def _note_storage(entry: dict[str, Any], frame: _Frame, opcode: int, stack: list[Any]) -> None:
        """The slots that this frame has used so far, as they are after the opcode."""
        computation = frame.computation
        slot = to_int(stack[-1])
        if opcode == SSTORE:
            if len(stack) < 2:
                return
            value = to_int(stack[-2])
        else:
            value = computation.state.get_storage(computation.msg.storage_address, slot)
        frame.storage[hex_word(slot)] = hex_word(value)
        entry["storage"] = dict(frame.storage)

    def finish(self, message: Message, gas_used: int) -> Any:
        computation = self._top
        failed = computation is None or computation._error is not None
        return {
            "gas": gas_used,
            "failed": failed,
            "returnValue": hex_data(computation.output if computation is not None else b""),
            "structLogs": self._entries,
        }
