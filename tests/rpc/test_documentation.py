"""docs/rpc.md lists every method, and no other."""

import re
from pathlib import Path

from dmchain.rpc import calls, consensus, debug, devnet, eth, fees, logs, market, net, subscriptions, txpool, wallet

TABLES = (
    eth.methods, fees.methods, calls.methods, logs.methods, subscriptions.methods, net.methods, txpool.methods,
    debug.methods, debug.trace_methods, market.node_methods, market.methods, consensus.methods, wallet.methods, devnet.methods,
)  # fmt: skip


def test_the_table_of_methods_is_complete() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "rpc.md").read_text()
    table = text[text.index("| for | methods |") : text.index("## What to know")]
    listed = set(re.findall(r"`(\w+_\w+)`", table))
    assert listed == {name for methods in TABLES for name in methods.methods}
