"""Runs the code of a computation: translated where it is hot, interpreted where it is not.

Installed with `DmComputation.code_runner = staticmethod(run_translated)`. Any number of threads may run computations at
once: what a run changes belongs to its computation, and the shared programs only learn.

A call is seven Python frames deep (`run`, `run_program`, block, opcode, `run_call`, `apply_message`,
`apply_computation`), a CREATE, which goes through py-evm's objects, fifteen; 1024 may be nested. That needs the
recursion limit and the thread stacks that `vm.prepare_thread_stacks` sets: no RecursionError may end a run, since it
would differ between machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from eth.exceptions import Halt

from dmchain.marketplace_vm.translate.generator import HALT, Generator, for_interpreter
from dmchain.marketplace_vm.translate.handlers import Handlers
from dmchain.marketplace_vm.translate.interpreter import interpret
from dmchain.marketplace_vm.translate.program import DEFAULT_POLICY, Policy, Program, ProgramCache
from dmchain.marketplace_vm.translate.runtime import bind
from dmchain.marketplace_vm.translate.tables import OpcodeTable
from dmchain.marketplace_vm.vm import ExecutionStopped

MAX_RULE_SETS = 16
"""A process has two or three."""


class RuleSet:
    """What the translator keeps for one table of opcodes."""

    def __init__(self, opcodes: Mapping[int, Any], policy: Policy) -> None:
        self.opcodes = opcodes
        self.table = OpcodeTable(opcodes)
        self.handlers = Handlers(self.table)
        self.programs = ProgramCache(self.table, policy)


class Translator:
    """One policy and the programs translated under it, for every rule set that comes along."""

    def __init__(self, policy: Policy = DEFAULT_POLICY) -> None:
        self.policy = policy
        self._rule_sets: dict[int, RuleSet] = {}

    def rule_set(self, opcodes: Mapping[int, Any]) -> RuleSet:
        """The rule set is known by the identity of its table, which `RuleSet` keeps alive."""
        rules = self._rule_sets.get(id(opcodes))
        if rules is None:
            if len(self._rule_sets) >= MAX_RULE_SETS:
                self._rule_sets.clear()
            rules = self._rule_sets[id(opcodes)] = RuleSet(opcodes, self.policy)
        return rules

    def run(self, c: Any) -> None:
        """Run the code of computation `c` to its end.

        Raises a VMError where it fails, ExecutionStopped when asked to. Initcode runs once: its program is not kept,
        and only what loops for long within it earns a translation.
        """
        bind(c)
        rules = self.rule_set(c.opcodes)
        if not c.msg.is_create:
            run_program(c, rules.programs.get(c.msg.code), rules.handlers)
            return
        program = Program(c.msg.code, rules.table, self.policy)
        try:
            run_program(c, program, rules.handlers)
        finally:
            program.forget()


def run_program(c: Any, program: Program, handlers: Handlers) -> None:
    """Run a bound computation: translated blocks where there are, the interpreter up to the next one where not."""
    stack, meter, blocks, stop = c._stack.values, c._gas_meter, program.blocks, c.state.stop
    position = 0
    try:
        while position != HALT:
            if stop.requested:
                raise ExecutionStopped
            block = blocks.get(position) or program.visit(position)
            if block is not None:
                position = block(c, stack, meter)
                if position >= HALT:
                    continue
                position = for_interpreter(position)
            position = interpret(c, program, handlers, stack, position)
    except Halt:
        pass


run_translated = Translator().run


def source_at(code: bytes, opcodes: Mapping[int, Any], position: int = 0) -> str:
    """For debugging: the Python source of the trace at `position` of `code`, were it translated now."""
    program = Program(code, OpcodeTable(opcodes), DEFAULT_POLICY)
    return Generator(program, program.table, position).generate()
