"""How nodes talk: Noise over TCP, msgpack frames, requests, and who is let in.

    Network (tcp, simulated) -> Link (noise) -> wire (frames, messages) -> Peer -> PeerManager

Sans-IO: noise, identity, handshake, fields, messages, wire, limits, queues, reputation, addresses, admission.
Trio: transport, simulated, link, peer, dialer, peers. Time is `trio.current_time()` and chance an injected
generator, so that the same code runs over real sockets and, repeatably, over the simulated network. What peers say
about blocks, votes and transactions is opaque here: the host of this package decodes and judges it.
"""
