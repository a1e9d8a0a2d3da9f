"""State snapshots: the state at one height with what a node needs to go on from there.

A snapshot is a stream of entries (`stream`) cut into chunks of equal size, and a manifest of their hashes (`manifest`).
Two nodes make the same bytes at the same height, so chunks may come from several. `create` makes the stream from a view
of the database, `restore` fills an empty one and believes nothing that does not give the header's roots. docs/sync.md
has the format.
"""
