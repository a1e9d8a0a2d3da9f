"""What all tracers have in common."""

from __future__ import annotations

from itertools import islice
from typing import Any, Protocol

from eth.exceptions import Halt

from dmchain.chain.primitives.errors import DmchainError
from dmchain.marketplace_vm.halts import UnknownOpcode, check_stack, run_checked
from dmchain.marketplace_vm.vm import STOP_INTERVAL, ExecutionStopped

CREATE, CALL, CALLCODE, DELEGATECALL, CREATE2, STATICCALL, SELFDESTRUCT = 0xF0, 0xF1, 0xF2, 0xF4, 0xF5, 0xFA, 0xFF
CALL_NAMES = {
    CREATE: "CREATE", CALL: "CALL", CALLCODE: "CALLCODE", DELEGATECALL: "DELEGATECALL", CREATE2: "CREATE2",
    STATICCALL: "STATICCALL",
}  # fmt: skip
ADDRESS_MASK = 2**160 - 1


class UnknownTracer(DmchainError):
    """The name is none of ours (JavaScript tracers are not supported)."""


class TraceTooLarge(DmchainError):
    """The result would fill the memory of the node."""

    hint = "disable the stack and memory, set a limit, or use callTracer"


class Message(Protocol):
    """The transaction or call that is traced."""

    @property
    def sender(self) -> Any: ...
    @property
    def to(self) -> bytes: ...
    @property
    def value(self) -> int: ...
    @property
    def data(self) -> bytes: ...
    @property
    def gas(self) -> int: ...


class Tracer(Protocol):
    """Watches one transaction or call."""

    def begin(self, block: Any, message: Message) -> None:
        """Before anything has changed. `block` is the BlockRun."""

    def enter(self, computation: Any) -> None: ...

    def run(self, computation: Any) -> None: ...

    def leave(self, computation: Any) -> None: ...

    def finish(self, message: Message, gas_used: int) -> Any:
        """After fees are settled; returns what the client gets."""


class BaseTracer:
    """Does nothing: the noopTracer, and the base of the others."""

    def begin(self, block: Any, message: Message) -> None:
        pass

    def enter(self, computation: Any) -> None:
        pass

    def run(self, computation: Any) -> None:
        run_checked(computation)

    def leave(self, computation: Any) -> None:
        pass

    def finish(self, message: Message, gas_used: int) -> Any:
        return {}


class WatchingTracer(BaseTracer):
    """Looks at some opcodes before they run."""

    watched: frozenset[int] = frozenset()

    def watch(self, opcode: int, computation: Any, stack: list[Any]) -> None:
        """`opcode` of `watched` is about to run; it finds enough items on the stack."""

    def run(self, computation: Any) -> None:
        opcodes = computation.opcodes
        values = computation._stack.values
        stop = computation.state.stop
        watched = self.watched
        stream = iter(computation.code)
        try:
            while True:
                for opcode in islice(stream, STOP_INTERVAL):
                    function = opcodes.get(opcode)
                    if function is None:
                        raise UnknownOpcode(opcode)
                    check_stack(opcode, len(values))
                    if opcode in watched:
                        self.watch(opcode, computation, values)
                    function(computation)
                if stop.requested:
                    raise ExecutionStopped
        except Halt:
            return


def current_opcode(computation: Any) -> int:
    """The opcode that a frame is executing; it reads no push data, so the counter stands just behind it."""
    return int(computation.msg.code[computation.code.program_counter - 1])


def to_int(item: int | bytes) -> int:
    """A stack item of py-evm as a number."""
    return item if isinstance(item, int) else int.from_bytes(item, "big")


def to_address(item: int | bytes) -> bytes:
    return (to_int(item) & ADDRESS_MASK).to_bytes(20, "big")


def hex_data(data: bytes) -> str:
    return "0x" + data.hex()


def hex_word(number: int) -> str:
    return f"0x{number:064x}"
