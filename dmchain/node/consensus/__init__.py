"""Consensus on trio: the application that builds and checks blocks, and the host that performs the core's effects."""
