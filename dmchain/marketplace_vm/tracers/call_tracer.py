"""callTracer: the tree of calls of a transaction (options onlyTopCall, withLog); 4byteTracer counts functions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from eth.exceptions import Revert

from dmchain.chain.primitives.revert_reason import decode_revert_reason
from dmchain.marketplace_vm.halts import halt_reason
from dmchain.marketplace_vm.tracers.base import (
    CALL_NAMES,
    CALLCODE,
    CREATE,
    CREATE2,
    DELEGATECALL,
    SELFDESTRUCT,
    STATICCALL,
    BaseTracer,
    Message,
    WatchingTracer,
    current_opcode,
    hex_data,
    to_address,
)

LOGS = frozenset(range(0xA0, 0xA5))
COLLISION = "contract address collision"


@dataclass(slots=True)
class Frame:
    """One call. `computation` is read when all is over: a creation can fail after its code has run."""

    kind: str
    sender: bytes
    to: bytes | None
    value: int | None
    data: bytes
    gas: int
    computation: Any = None
    error: str | None = None
    calls: list[Frame] = field(default_factory=list)
    log_positions: list[int] = field(default_factory=list)
    """For each log of this frame: how many of its calls came before."""


class CallTracer(WatchingTracer):
    """geth's callTracer."""

    watched = LOGS | {CALLCODE, DELEGATECALL, SELFDESTRUCT}

    def __init__(self, *, only_top_call: bool = False, with_log: bool = False) -> None:
        self._only_top = only_top_call
        self._with_log = with_log
        self._open: list[Frame] = []
        self._top: Frame | None = None
        self._callee = b""
        self._log_index = 0

    def enter(self, computation: Any) -> None:
        message = computation.msg
        if not self._open:
            kind = "CREATE" if message.is_create else "CALL"
            data = bytes(message.code if message.is_create else message.data)
            to = message.storage_address
            frame = Frame(kind, message.sender, to, message.value, data, message.gas, computation)
            self._top = frame
        else:
            frame = self._inner_frame(current_opcode(self._open[-1].computation), computation)
            if not self._only_top:
                self._open[-1].calls.append(frame)
        self._open.append(frame)

    def _inner_frame(self, opcode: int, computation: Any) -> Frame:
        message = computation.msg
        sender, to = message.sender, message.to
        value: int | None = message.value
        data = bytes(message.data)
        if opcode in (CREATE, CREATE2):
            to, data = message.storage_address, bytes(message.code)
        elif opcode in (CALLCODE, DELEGATECALL):
            sender, to = message.storage_address, self._callee
        elif opcode == STATICCALL:
            value = None
        return Frame(CALL_NAMES[opcode], sender, to, value, data, message.gas, computation)

    def watch(self, opcode: int, computation: Any, stack: list[Any]) -> None:
        frame = self._open[-1]
        if opcode == SELFDESTRUCT:
            if not self._only_top:
                address = computation.msg.storage_address
                balance = computation.state.get_balance(address)
                frame.calls.append(Frame("SELFDESTRUCT", address, to_address(stack[-1]), balance, b"", 0))
        elif opcode in LOGS:
            frame.log_positions.append(len(frame.calls))
        else:
            self._callee = to_address(stack[-2])

    def leave(self, computation: Any) -> None:
        frame = self._open.pop()
        if computation._error is not None and frame.calls and frame.calls[-1].kind == "SELFDESTRUCT":
            frame.calls.pop()  # the opcode ran out of gas

    # -- the result ----------------------------------------------------------------------------------------------
    def finish(self, message: Message, gas_used: int) -> Any:
        top = self._top
        if top is None:
            top = Frame("CREATE", message.sender, None, message.value, message.data, message.gas, error=COLLISION)
        result = self._show(top, failed=False)
        result["gas"] = hex(message.gas)
        result["gasUsed"] = hex(gas_used)
        return result

    def _show(self, frame: Frame, *, failed: bool) -> dict[str, Any]:
        """`failed`: a frame around this one was undone, so its logs do not count."""
        computation = frame.computation
        error = frame.error
        output, gas_used = b"", 0
        if computation is not None:
            output, gas_used = computation.output, computation.get_gas_used()
            if computation._error is not None:
                error = halt_reason(computation._error)
        failed = failed or error is not None
        shown: dict[str, Any] = {
            "from": hex_data(frame.sender),
            "gas": hex(frame.gas),
            "gasUsed": hex(gas_used),
            "input": hex_data(frame.data),
        }
        if frame.to is not None and not (error is not None and frame.kind in ("CREATE", "CREATE2")):
            shown["to"] = hex_data(frame.to)
        if output:
            shown["output"] = hex_data(output)
        if error is not None:
            shown["error"] = error
            if computation is not None and isinstance(computation._error, Revert):
                reason = decode_revert_reason(output)
                if reason is not None:
                    shown["revertReason"] = reason
        logs = self._logs(frame) if self._with_log and not failed else []
        calls = []
        for position, inner in enumerate(frame.calls):
            self._number_logs(logs, position)
            calls.append(self._show(inner, failed=failed))
        self._number_logs(logs, len(frame.calls))
        if calls:
            shown["calls"] = calls
        if logs:
            shown["logs"] = logs
        if frame.value is not None:
            shown["value"] = hex(frame.value)
        shown["type"] = frame.kind
        return shown

    def _logs(self, frame: Frame) -> list[dict[str, Any]]:
        if frame.computation is None:
            return []
        entries = frame.computation._log_entries
        # a precompile makes its logs without opcodes, and calls nothing
        positions = frame.log_positions or [0] * len(entries)
        return [
            {
                "address": hex_data(address),
                "topics": [f"0x{topic:064x}" for topic in topics],
                "data": hex_data(bytes(data)),
                "position": hex(position),
            }
            for (_, address, topics, data), position in zip(entries, positions, strict=True)
        ]

    def _number_logs(self, logs: list[dict[str, Any]], position: int) -> None:
        """Give the logs made after `position` calls their index within the transaction, which follows execution."""
        for log in logs:
            if log["position"] == hex(position):
                log["index"] = hex(self._log_index)
                self._log_index += 1


class FourByteTracer(BaseTracer):
    """4byteTracer: how often each function was called, as {"selector-size of arguments": count}."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def enter(self, computation: Any) -> None:
        message = computation.msg
        if message.is_create or len(message.data) < 4 or message.code_address in computation._precompiles:
            return
        data = bytes(message.data)
        self._counts[f"{hex_data(data[:4])}-{len(data) - 4}"] += 1

    def finish(self, message: Message, gas_used: int) -> Any:
        return dict(self._counts)
