"""Traces for JSON-RPC: blocks executed again, with a tracer, on the state they were executed on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dmchain.chain.blockchain import ChainView
from dmchain.chain.consensus.body import Stored
from dmchain.chain.primitives.block import Header
from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32
from dmchain.chain.rules import Rules
from dmchain.chain.staking.facts import ConsensusFacts
from dmchain.marketplace_vm.state import CodeCache
from dmchain.marketplace_vm.trace import BlockReplay, trace_call
from dmchain.node.backend import ChainBackend
from dmchain.node.execution import environment_of, state_reader, stoppable
from dmchain.rpc.backend import CallLimits, CallRequest, TraceConfig
from dmchain.rpc.errors import BlockNotFound, InvalidParams


class TraceBackend:
    """Implements rpc.backend.Tracer."""

    def __init__(self, backend: ChainBackend, rules: Rules) -> None:
        self._backend = backend
        self._rules = rules
        self._codes = CodeCache()

    def trace_transaction(self, transaction_hash: Hash32, config: TraceConfig, limits: CallLimits) -> Any:
        view = self._backend.view
        place = view.blocks.find_transaction(transaction_hash)
        if place is None:
            raise BlockNotFound("transaction not found")
        height, index = place
        header, transactions = self._block(view, height)
        with stoppable():
            replay = self._replay(view, header, limits)
            for tx in transactions[:index]:
                limits.stop.check()
                replay.skip(tx)
            return replay.trace(transactions[index], config)

    def trace_block(self, height: int, config: TraceConfig, limits: CallLimits) -> list[tuple[Hash32, Any]]:
        if height == 0:
            raise InvalidParams("genesis is not traceable")
        view = self._backend.view
        header, transactions = self._block(view, height)
        traces = []
        with stoppable():
            replay = self._replay(view, header, limits)
            for tx in transactions:
                limits.stop.check()
                traces.append((tx.hash, replay.trace(tx, config)))
        return traces

    def trace_call(self, request: CallRequest, config: TraceConfig, limits: CallLimits) -> Any:
        with stoppable():
            return trace_call(
                self._backend.calls.view_at(request.at),
                request.message,
                config,
                gas_cap=limits.gas_cap,
                stop=limits.stop,
                state_overrides=request.state_overrides,
                block_overrides=request.block_overrides,
            )

    def _block(self, view: ChainView, height: int) -> tuple[Header, list[Transaction]]:
        header, transactions = view.blocks.header(height), self._backend.transactions(height)
        if header is None or transactions is None:
            raise InvariantBroken(f"block {height} is not in the database")
        return header, list(transactions)

    def _replay(self, view: ChainView, header: Header, limits: CallLimits) -> BlockReplay:
        before = state_reader(view, header.number - 1)
        environment = replace(environment_of(view, header), consensus=_consensus_facts(view, header.number))
        return BlockReplay(self._rules, before, environment, codes=self._codes, stop=limits.stop)


def _consensus_facts(view: ChainView, height: int) -> ConsensusFacts | None:
    """What the staking hooks of a block were told; None where the node made its chain alone."""
    raw = view.blocks.record(height)
    stored = Stored.decode(raw) if raw else None
    if stored is None or stored.seen_commit is None:
        return None
    facts = stored.facts
    return ConsensusFacts(facts.record.proposer, facts.last_commit, facts.evidence, facts.record.randao_reveal)
