"""Contract bytecode as Python functions: lazily, by hot traces, with the results of py-evm's loop.

| module        | what                                                                          |
|---------------|-------------------------------------------------------------------------------|
| `translator`  | runs a computation: hot positions by their block, the rest by the interpreter |
| `program`     | one code: blocks, counters, credit; the bounded cache                         |
| `generator`   | trace -> source, with `symbolic_stack` and `values`                           |
| `interpreter` | opcode by opcode, on functions of `handlers`                                  |
| `tables`      | which opcode is inlined how                                                   |
| `runtime`, `calls` | what opcodes do                                                          |

`source_at(code, opcodes)` shows what a trace becomes.
"""

from dmchain.marketplace_vm.translate.program import DEFAULT_POLICY, EAGER_POLICY, MAX_VISITS, Policy
from dmchain.marketplace_vm.translate.translator import Translator, run_translated, source_at

__all__ = ["DEFAULT_POLICY", "EAGER_POLICY", "MAX_VISITS", "Policy", "Translator", "run_translated", "source_at"]
