"""Block sync: bring a node that joins late, or was away, to the height of its peers.

`machine.BlockSync.step(now, input) -> effects` is the whole of it: peers and clock come in as inputs (`events`), what
to ask, verify and execute goes out as effects. Nothing is executed before its commit is verified against the validator
set known at its height; blocks are executed in order; memory is bounded. docs/sync.md describes the rules.
"""
