"""eth_getLogs and the polling filters: eth_newFilter, newBlockFilter, newPendingTransactionFilter and their kin."""

from __future__ import annotations

from typing import Any

from dmchain.rpc.backend import LogQuery
from dmchain.rpc.blocks import get_height
from dmchain.rpc.errors import BlockNotFound, InvalidParams, LimitExceeded, TooManyResults
from dmchain.rpc.filters import Filter, FilterKind, FilterNotFound
from dmchain.rpc.format import Json, format_data, format_logs
from dmchain.rpc.params import Argument, BlockNumber, LogFilter, log_filter_parser, parse_bool, parse_string
from dmchain.rpc.registry import Context, MethodTable, Work

methods = MethodTable()

ALTERNATIVES_PARSED = 100_000
"""Addresses or topics parsed before the configured limits are looked at."""
parse_log_filter = log_filter_parser(ALTERNATIVES_PARSED, ALTERNATIVES_PARSED)
FILTER = Argument("filter", parse_log_filter)
FILTER_ID = Argument("filterId", parse_string)
_NO_LIMIT = 2**63
_INLINE_BLOCKS = 16
"""New blocks whose hashes a block filter reads without a worker thread."""


def check_alternatives(context: Context, criteria: LogFilter) -> None:
    """Raise InvalidParams when a filter has more alternatives than allowed."""
    limits = context.limits
    if len(criteria.addresses) > limits.max_log_addresses:
        raise InvalidParams(
            f"exceed max addresses: got {len(criteria.addresses)}, the limit is {limits.max_log_addresses}"
        )
    for position, topics in enumerate(criteria.topics):
        if len(topics) > limits.max_log_topics:
            raise InvalidParams(
                f"exceed max topics: got {len(topics)} at position {position}, the limit is {limits.max_log_topics}"
            )


@methods.add("eth_getLogs", arguments=(FILTER,))
def get_logs(context: Context, criteria: LogFilter) -> Work | list[Json]:
    """Logs of one block or a range; without a range, of the head."""
    check_alternatives(context, criteria)
    query = _build_query(context, criteria)
    return [] if query is None else _read_logs(context, query)


def _build_query(context: Context, criteria: LogFilter) -> LogQuery | None:
    """The range in heights; None for one that begins after the head and has no given end: nothing is there yet."""
    chain = context.backend.chain
    head = chain.head().number
    if criteria.block_hash is not None:
        height = chain.height_of(criteria.block_hash)
        if height is None:
            raise BlockNotFound("unknown block")
        return criteria.query(height, height)
    first, last = _resolve(context, criteria.first, head), _resolve(context, criteria.last, head)
    if first > last:
        if not isinstance(criteria.last, int):
            return None
        raise InvalidParams(f"invalid block range params: fromBlock {first} is after toBlock {last}")
    if last > head:
        raise InvalidParams(f"block range extends beyond current head block: toBlock {last}, head {head}")
    return criteria.query(first, last)


def _resolve(context: Context, block: BlockNumber | None, head: int) -> int:
    if block is None:
        return head
    if isinstance(block, int):
        return block
    height = get_height(context.backend.chain, block)
    return head if height is None else height


def _read_logs(context: Context, query: LogQuery) -> Work:
    limits = context.limits
    blocks = query.last - query.first + 1
    if blocks > limits.max_log_range:
        raise LimitExceeded(
            f"block range too large: got {blocks} blocks, the limit is {limits.max_log_range}",
            hint="ask for smaller ranges one after the other",
        )
    chain = context.backend.chain
    return Work(lambda: format_logs(chain.logs(query, limits.max_log_results, context.stop)))


# ---------------------------------------------------------------- filters


@methods.add("eth_newFilter", arguments=(FILTER,))
def create_log_filter(context: Context, criteria: LogFilter) -> str:
    """Logs of blocks from now on (within the range, if heights are given)."""
    check_alternatives(context, criteria)
    if criteria.block_hash is not None:
        raise InvalidParams("blockHash: a filter watches new blocks, expected fromBlock and toBlock")
    if isinstance(criteria.first, int) and isinstance(criteria.last, int) and criteria.first > criteria.last:
        raise InvalidParams(f"invalid block range params: fromBlock {criteria.first} is after toBlock {criteria.last}")
    next_height = context.backend.chain.head().number + 1
    return context.filters.create(FilterKind.LOGS, context.now, next_height, criteria)


@methods.add("eth_newBlockFilter")
def create_block_filter(context: Context) -> str:
    return context.filters.create(FilterKind.BLOCKS, context.now, context.backend.chain.head().number + 1)


@methods.add("eth_newPendingTransactionFilter", arguments=(Argument("fullTransactions", parse_bool, False),))
def create_pending_filter(context: Context, full: bool) -> str:
    if full:
        raise InvalidParams("fullTransactions: expected false, a filter keeps hashes only")
    return context.filters.create(FilterKind.PENDING, context.now)


@methods.add("eth_uninstallFilter", arguments=(FILTER_ID,))
def remove_filter(context: Context, filter_id: str) -> bool:
    return context.filters.remove(filter_id)


@methods.add("eth_getFilterChanges", arguments=(FILTER_ID,))
def get_filter_changes(context: Context, filter_id: str) -> Work | list[Any]:
    """What came since the last poll."""
    entry = context.filters.touch(filter_id, context.now)
    if entry.kind is FilterKind.PENDING:
        return context.filters.take_pending(entry)
    head = context.backend.chain.head().number
    cursor = entry.cursor
    if cursor > head:
        return []
    if entry.kind is FilterKind.BLOCKS:
        if head - cursor < _INLINE_BLOCKS:
            return _take_block_hashes(context, entry, cursor, head)
        return Work(lambda: _take_block_hashes(context, entry, cursor, head))
    return Work(lambda: _take_logs(context, entry, cursor, head))


def _take_block_hashes(context: Context, entry: Filter, cursor: int, head: int) -> list[str]:
    first = max(cursor, head + 1 - context.limits.max_log_range)
    hashes = []
    for height in range(first, head + 1):
        header = context.backend.chain.header(height)
        if header is not None:
            hashes.append(format_data(header.hash))
    context.filters.advance(entry, cursor, head + 1)
    return hashes


def _take_logs(context: Context, entry: Filter, cursor: int, head: int) -> list[Json]:
    criteria = entry.criteria
    assert criteria is not None
    first, last = cursor, head
    if isinstance(criteria.first, int):
        first = max(first, criteria.first)
    if isinstance(criteria.last, int):
        last = min(last, criteria.last)
    if first > last:
        context.filters.advance(entry, cursor, head + 1)
        return []
    limit = context.limits.max_log_results
    while True:
        try:
            found = context.backend.chain.logs(criteria.query(first, last), limit, context.stop)
            break
        except TooManyResults:
            # The rest waits for the next poll; one block must be taken whole, or the filter would stand still.
            if first == last:
                limit = _NO_LIMIT
            last = head = (first + last) // 2
    context.filters.advance(entry, cursor, head + 1)
    return format_logs(found)


@methods.add("eth_getFilterLogs", arguments=(FILTER_ID,))
def get_filter_logs(context: Context, filter_id: str) -> Work | list[Json]:
    """Everything a log filter's criteria match, old and new."""
    entry = context.filters.touch(filter_id, context.now)
    if entry.criteria is None:
        raise FilterNotFound()
    query = _build_query(context, entry.criteria)
    return [] if query is None else _read_logs(context, query)
