"""Which methods a backend gets."""

from __future__ import annotations

from dmchain.rpc import calls, consensus, debug, devnet, eth, fees, logs, market, net, subscriptions, txpool, wallet
from dmchain.rpc.backend import Backend
from dmchain.rpc.registry import Method, MethodTable


def build_methods(backend: Backend) -> dict[str, Method]:
    """All methods that `backend` can serve. Signing and control exist on a development network only."""
    tables: list[MethodTable] = [
        eth.methods,
        fees.methods,
        calls.methods,
        logs.methods,
        subscriptions.methods,
        net.methods,
        txpool.methods,
        debug.methods,
        market.node_methods,
    ]
    if backend.market is not None:
        tables.append(market.methods)
    if backend.wallet is not None:
        tables.append(wallet.methods)
    if backend.devnet is not None:
        tables.append(devnet.methods)
    if backend.consensus is not None:
        tables.append(consensus.methods)
    if backend.tracer is not None:
        tables.append(debug.trace_methods)
    methods: dict[str, Method] = {}
    for table in tables:
        assert not methods.keys() & table.methods.keys(), "a method is in two tables"
        methods.update(table.methods)
    return methods
