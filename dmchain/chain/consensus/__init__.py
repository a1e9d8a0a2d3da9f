"""Consensus without I/O: Tendermint (arXiv:1807.04938) with strict locks, as docs/consensus.md states it.

`core.Core.step(input) -> effects` is the whole of it: inputs (`inputs`) are facts, effects (`effects`) are requests to
the host, which performs them in order. There is no clock, no randomness, no file and no socket in this package.
"""
