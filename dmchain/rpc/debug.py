"""debug_ methods. Raw data always; traces where the backend has a `Tracer`.

The seam for traces: a Tracer re-executes a block on the state before it and watches one transaction or all of them with
the tracer that TraceConfig names (None: struct logs; "callTracer" with onlyTopCall and withLog; "prestateTracer" with
diffMode). Its results are ready for JSON, in geth's shapes. Methods that need it are in `trace_methods`.
"""

from __future__ import annotations

from typing import Any

from dmchain.chain.primitives.types import Hash32
from dmchain.rpc.backend import BlockOverrides, StateOverrides, TraceConfig, Tracer
from dmchain.rpc.blocks import get_existing_height
from dmchain.rpc.calls import BLOCK as CALL_BLOCK
from dmchain.rpc.calls import TRANSACTION, build_request, call_limits
from dmchain.rpc.errors import BlockNotFound, InvalidParams
from dmchain.rpc.eth import BLOCK_HASH, BLOCK_NUMBER, TRANSACTION_HASH
from dmchain.rpc.format import Json, format_data
from dmchain.rpc.params import (
    Argument,
    BlockId,
    TransactionArgs,
    parse_block_id,
    parse_block_overrides,
    parse_object,
    parse_state_overrides,
)
from dmchain.rpc.registry import Context, MethodTable, Work

methods = MethodTable()
trace_methods = MethodTable()

BLOCK = Argument("block", parse_block_id)


@methods.add("debug_getRawHeader", arguments=(BLOCK,))
def get_raw_header(context: Context, block: BlockId) -> str:
    header = context.backend.chain.header(get_existing_height(context.backend.chain, block, "header"))
    if header is None:
        raise BlockNotFound("header not found")
    return format_data(header.encode())


@methods.add("debug_getRawBlock", arguments=(BLOCK,))
def get_raw_block(context: Context, block: BlockId) -> Work:
    chain = context.backend.chain
    height = get_existing_height(chain, block)

    def read() -> str:
        raw = chain.raw_block(height)
        if raw is None:
            raise BlockNotFound("block not found")
        return format_data(raw)

    return Work(read)


@methods.add("debug_getRawReceipts", arguments=(BLOCK,))
def get_raw_receipts(context: Context, block: BlockId) -> Work:
    chain = context.backend.chain
    height = get_existing_height(chain, block)

    def read() -> list[str]:
        records = chain.receipts(height)
        if records is None:
            raise BlockNotFound("receipts not found")
        return [format_data(record.receipt.encode()) for record in records]

    return Work(read)


@methods.add("debug_getRawTransaction", arguments=(TRANSACTION_HASH,))
def get_raw_transaction(context: Context, transaction_hash: Hash32) -> str:
    """The envelope, or "0x" for what is not known, as in geth."""
    record = context.backend.chain.transaction(transaction_hash)
    return "0x" if record is None else format_data(record.transaction.raw)


@methods.add("debug_getBadBlocks")
def get_bad_blocks(context: Context) -> list[Any]:
    """None: a block that breaks a rule is never decided, so it is not kept."""
    return []


# ---------------------------------------------------------------- traces

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(value: Any) -> float:
    """Go's notation with one unit ("5s", "300ms") in seconds."""
    if type(value) is str:
        digits = value.rstrip("nusµmh")
        unit = _UNITS.get(value[len(digits) :])
        # float() would also take "inf", "1_0" and spaces
        if unit is not None and digits.replace(".", "", 1).isdecimal() and digits.isascii() and len(digits) < 12:
            return float(digits) * unit
    raise InvalidParams(f'timeout: expected a duration like "5s", got {value!r:.40}')


def parse_trace_config(value: Any) -> TraceConfig:
    values = parse_object(value)

    def flag(name: str) -> bool:
        found = values.get(name)
        if found is not None and type(found) is not bool:
            raise InvalidParams(f"{name}: expected true or false")
        return bool(found)

    tracer, options, limit = values.get("tracer"), values.get("tracerConfig"), values.get("limit") or 0
    if tracer is not None and type(tracer) is not str:
        raise InvalidParams("tracer: expected a name")
    if options is not None and type(options) is not dict:
        raise InvalidParams("tracerConfig: expected an object")
    if type(limit) is not int or limit < 0:
        raise InvalidParams("limit: expected a number from 0 on")
    timeout = values.get("timeout")
    return TraceConfig(
        tracer=tracer or None,
        options=options,
        timeout_seconds=None if timeout is None else parse_duration(timeout),
        enable_memory=flag("enableMemory"),
        disable_stack=flag("disableStack"),
        disable_storage=flag("disableStorage"),
        enable_return_data=flag("enableReturnData"),
        limit=limit,
    )


TRACE_CONFIG = Argument("config", parse_trace_config, TraceConfig())


@trace_methods.add("debug_traceTransaction", arguments=(TRANSACTION_HASH, TRACE_CONFIG))
def trace_transaction(context: Context, transaction_hash: Hash32, config: TraceConfig) -> Work:
    record = context.backend.chain.transaction(transaction_hash)
    if record is None or record.header is None:
        raise BlockNotFound("transaction not found")
    tracer = _tracer(context)
    return Work(lambda: tracer.trace_transaction(transaction_hash, config, call_limits(context)))


@trace_methods.add("debug_traceBlockByNumber", arguments=(BLOCK_NUMBER, TRACE_CONFIG))
@trace_methods.add("debug_traceBlockByHash", arguments=(BLOCK_HASH, TRACE_CONFIG))
def trace_block(context: Context, block: BlockId, config: TraceConfig) -> Work:
    height = get_existing_height(context.backend.chain, block)
    tracer = _tracer(context)

    def trace() -> list[Json]:
        traces = tracer.trace_block(height, config, call_limits(context))
        return [{"txHash": format_data(transaction_hash), "result": result} for transaction_hash, result in traces]

    return Work(trace)


def parse_trace_call_config(value: Any) -> tuple[TraceConfig, StateOverrides, BlockOverrides]:
    values = parse_object(value)
    state, block = values.get("stateOverrides"), values.get("blockOverrides")
    return (
        parse_trace_config(value),
        {} if state is None else parse_state_overrides(state),
        BlockOverrides() if block is None else parse_block_overrides(block),
    )


TRACE_CALL_CONFIG = Argument("config", parse_trace_call_config, (TraceConfig(), {}, BlockOverrides()))


@trace_methods.add("debug_traceCall", arguments=(TRANSACTION, CALL_BLOCK, TRACE_CALL_CONFIG))
def trace_call(
    context: Context,
    args: TransactionArgs,
    block: BlockId,
    config: tuple[TraceConfig, StateOverrides, BlockOverrides],
) -> Work:
    options, state, environment = config
    request = build_request(context.backend.chain, args, block, state, environment)
    tracer = _tracer(context)
    return Work(lambda: tracer.trace_call(request, options, call_limits(context)))


def _tracer(context: Context) -> Tracer:
    tracer = context.backend.tracer
    assert tracer is not None, "trace methods are registered only where there is a tracer"
    return tracer
