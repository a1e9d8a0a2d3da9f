"""Traces: execute transactions of the past, or calls, and watch (debug_traceTransaction and its relatives)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import ZERO_HASH
from dmchain.chain.rules import Rules
from dmchain.chain.store.kv import Reader
from dmchain.marketplace_vm.call_types import BlockOverrides, CallMessage, StateOverrides
from dmchain.marketplace_vm.calls import AccessRecorder, PreparedCall, StateView
from dmchain.marketplace_vm.executor import BlockRun
from dmchain.marketplace_vm.state import CodeCache, FlatState
from dmchain.marketplace_vm.tracers.base import BaseTracer, Tracer, UnknownTracer
from dmchain.marketplace_vm.tracers.call_tracer import CallTracer, FourByteTracer
from dmchain.marketplace_vm.tracers.prestate import PrestateTracer
from dmchain.marketplace_vm.tracers.struct_logs import StructLogger
from dmchain.marketplace_vm.vm import NEVER_STOP, StopSignal


class TraceConfig(Protocol):
    """geth's trace options. `tracer` None means struct logs, which the last five are for; `options` as sent."""

    @property
    def tracer(self) -> str | None: ...
    @property
    def options(self) -> Mapping[str, Any] | None: ...
    @property
    def enable_memory(self) -> bool: ...
    @property
    def disable_stack(self) -> bool: ...
    @property
    def disable_storage(self) -> bool: ...
    @property
    def enable_return_data(self) -> bool: ...
    @property
    def limit(self) -> int: ...


def _flag(options: Mapping[str, Any], name: str) -> bool:
    return options.get(name) is True


_TRACERS: dict[str, Callable[[Mapping[str, Any]], Tracer]] = {
    "callTracer": lambda options: CallTracer(
        only_top_call=_flag(options, "onlyTopCall"), with_log=_flag(options, "withLog")
    ),
    "prestateTracer": lambda options: PrestateTracer(
        diff=_flag(options, "diffMode"),
        disable_code=_flag(options, "disableCode"),
        disable_storage=_flag(options, "disableStorage"),
        include_empty=_flag(options, "includeEmpty"),
    ),
    "4byteTracer": lambda options: FourByteTracer(),
    "noopTracer": lambda options: BaseTracer(),
}


def make_tracer(config: TraceConfig) -> Tracer:
    """A fresh tracer for one transaction; raises UnknownTracer."""
    if not config.tracer:
        return StructLogger(
            enable_memory=config.enable_memory,
            disable_stack=config.disable_stack,
            disable_storage=config.disable_storage,
            enable_return_data=config.enable_return_data,
            limit=config.limit,
        )
    make = _TRACERS.get(config.tracer)
    if make is None:
        raise UnknownTracer(
            f"tracer {config.tracer[:40]!r} is not there",
            hint=f"known are {', '.join(_TRACERS)}, and none for struct logs",
        )
    return make(config.options or {})


class BlockReplay:
    """The transactions of one block, in order, executed again on the state before it."""

    def __init__(
        self,
        rules: Rules,
        reader: Reader,
        environment: BlockEnvironment,
        *,
        codes: CodeCache | None = None,
        stop: StopSignal = NEVER_STOP,
    ) -> None:
        """`reader` gives the state after the parent block, `environment` what the header says."""
        flat = FlatState(reader, codes=codes)
        flat.warm = AccessRecorder()
        self._block = BlockRun(rules, flat, environment, ZERO_HASH)
        self._block.state.stop = stop

    def skip(self, transaction: Transaction) -> None:
        """Execute without watching."""
        self._block.apply(transaction)

    def trace(self, transaction: Transaction, config: TraceConfig) -> Any:
        """Execute, and return what the tracer saw. Raises UnknownTracer, TraceTooLarge and ExecutionStopped."""
        tracer = make_tracer(config)
        state = self._block.state
        tracer.begin(self._block, transaction)
        state.tracer = tracer
        try:
            receipt = self._block.apply(transaction)
        finally:
            state.tracer = None
        return tracer.finish(transaction, receipt.gas_used)


def trace_call(
    view: StateView,
    message: CallMessage,
    config: TraceConfig,
    *,
    gas_cap: int,
    stop: StopSignal = NEVER_STOP,
    state_overrides: StateOverrides | None = None,
    block_overrides: BlockOverrides | None = None,
) -> Any:
    """debug_traceCall: a call as `StateView.call` runs it, with what the tracer saw. Raises as both do."""
    tracer = make_tracer(config)
    block, _ = view.detached(message, stop, state_overrides, block_overrides)
    block.flat.journal.clear()  # the overrides are part of the state before the call
    prepared = PreparedCall(block, message, gas_cap)
    tracer.begin(block, prepared)
    block.state.tracer = tracer
    outcome = prepared.execute(prepared.gas)
    receipt = block.finish_transaction(prepared, prepared.price, outcome)  # type: ignore[arg-type]
    return tracer.finish(prepared, receipt.gas_used)
