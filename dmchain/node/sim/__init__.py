"""Simulation of consensus: many cores in one process, one seed decides everything.

`world` is a discrete-event simulation with a virtual clock, `explore` an untimed scheduler of a single height. Both
drive the real core (`chain.consensus`) and check the invariants of docs/consensus.md while it runs. `campaign` runs
many seeds; `dmchain sim` is its command.
"""
