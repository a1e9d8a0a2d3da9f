"""A lone devnet loads neither consensus nor network: importing them would be a fifth of its start."""

from __future__ import annotations

import subprocess
import sys

NOT_NEEDED = ("dmchain.node.consensus", "dmchain.node.network.", "dmchain.node.testnet", "dmchain.chain.sync", "msgpack")


def test_the_devnet_command_leaves_out_what_a_network_needs() -> None:
    program = "import sys, dmchain.node.cli.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = [name for name in done.stdout.split() if name.startswith(NOT_NEEDED)]
    assert loaded == ["dmchain.node.network.transport"], "the type of an address alone"
