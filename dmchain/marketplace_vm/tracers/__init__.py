"""What debug_trace* shows of an execution, in geth's shapes, ready for JSON.

A tracer is put on the state (`DmState.tracer`). From then on every frame is announced to it (`enter`, `leave`) and run
by it (`run`), one py-evm opcode object after the other: translated code and short paths are out of the way. It changes
nothing.
"""
