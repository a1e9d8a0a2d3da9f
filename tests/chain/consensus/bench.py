"""A core on the bench: four validators of equal power, values named by letters, effects written as words.

Validator r % 4 proposes in round r. The bench signs at once; every signature is good that `signed` has made.
"""

from __future__ import annotations

from collections.abc import Iterable

from dmchain.chain.consensus import effects as fx
from dmchain.chain.consensus.certificates import by_validator
from dmchain.chain.consensus.core import Core
from dmchain.chain.consensus.evidence import describe
from dmchain.chain.consensus.inputs import (
    Input,
    Received,
    Signed,
    Start,
    Timeout,
    TimerKind,
    Validity,
    Value,
)
from dmchain.chain.consensus.machine import HeightMachine
from dmchain.chain.consensus.messages import (
    KIND_NAMES,
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    Candidate,
    CommitCertificate,
    Message,
    Polka,
    Proposal,
    ProposalMessage,
    Signable,
    SignRecord,
    Vote,
)
from dmchain.chain.consensus.proposer import ProposerSchedule
from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.types import Address, Hash32

HEIGHT = 5
SIGNATURE = b"s" * 65
FORGED = b"f" * 65


def address(index: int) -> Address:
    return Address((index + 1).to_bytes(20, "big"))


def validator_set(powers: Iterable[int] = (1, 1, 1, 1)) -> ValidatorSet:
    return ValidatorSet(tuple([Validator(address(index), power) for index, power in enumerate(powers)]))


def block_hash(name: str) -> Hash32:
    return Hash32(name.encode().rjust(32, b"\1"))


def block(name: str) -> Candidate:
    return Candidate(block_hash(name), b"body of " + name.encode())


def hash_body(body: bytes) -> Hash32:
    return block_hash(body.removeprefix(b"body of ").decode())


def name_of(value: Hash32 | None) -> str:
    return "nil" if value is None else value.lstrip(b"\1").decode()


def signed(message: Signable) -> Signable:
    return message.signed(SIGNATURE)


def vote(kind: int, value: str | None, round: int, by: int, valid_round: int = NO_ROUND, height: int = HEIGHT) -> Vote:
    """A signed vote; value None is nil."""
    chosen = None if value is None else block_hash(value)
    return Vote(kind, height, round, valid_round, chosen, by, SIGNATURE)


def prevote(value: str | None, round: int, by: int, valid_round: int = NO_ROUND, height: int = HEIGHT) -> Vote:
    return vote(PREVOTE, value, round, by, valid_round, height)


def precommit(value: str | None, round: int, by: int, height: int = HEIGHT) -> Vote:
    return vote(PRECOMMIT, value, round, by, NO_ROUND, height)


def polka(value: str | None, round: int, by: Iterable[int], valid_round: int = NO_ROUND, height: int = HEIGHT) -> Polka:
    votes = by_validator([prevote(value, round, voter, valid_round, height) for voter in by])
    return Polka(height, round, valid_round, None if value is None else block_hash(value), votes)


def commit(value: str, round: int, by: Iterable[int], height: int = HEIGHT) -> CommitCertificate:
    votes = by_validator([precommit(value, round, voter, height) for voter in by])
    return CommitCertificate(height, round, block_hash(value), votes)


def proposal(
    value: str,
    round: int,
    by: int | None = None,
    valid_round: int = NO_ROUND,
    height: int = HEIGHT,
    *,
    body: bool = True,
    proof: Polka | None = None,
) -> ProposalMessage:
    """Of the validator whose turn it is, unless `by` says otherwise."""
    author = round % 4 if by is None else by
    statement = Proposal(height, round, valid_round, block_hash(value), author, SIGNATURE)
    return ProposalMessage(statement, block(value) if body else None, proof)


def show(effect: fx.Effect) -> str:
    """An effect in words."""
    match effect:
        case fx.Persist():
            return "persist"
        case fx.Sign(message):
            return f"sign {show_message(message)}"
        case fx.Broadcast(message):
            return f"broadcast {show_message(message)}"
        case fx.Send(peer, message):
            return f"send {peer} {show_message(message)}"
        case fx.Ask(message):
            return f"ask {show_message(message)}"
        case fx.SetTimer(kind, _, round):
            return f"timer {kind.name.lower()} {round}"
        case fx.GetValue(_, round, _):
            return f"get value {round}"
        case fx.Validate(_, candidate):
            return f"validate {name_of(candidate.hash)}"
        case fx.FetchBlock(_, value, hints):
            return f"fetch {name_of(value)} {','.join(map(str, hints))}".strip()
        case fx.Decide(_, candidate, certificate):
            voters = "".join(str(voter.validator) for voter in certificate.votes)
            return f"decide {name_of(candidate.hash)} {certificate.round} {voters}"
        case fx.Evidence(proof):
            return f"evidence {describe(proof)}"
        case fx.PeerFault(peer, reason):
            return f"fault {peer}: {reason}"
        case fx.PeerBehind(peer, height):
            return f"behind {peer} {height}"
        case fx.PeerAhead(peer, height):
            return f"ahead {peer} {height}"
        case fx.Halt(_, value, reason, _):
            return f"halt {name_of(value)}: {reason}"


def show_message(message: Message | Signable) -> str:
    match message:
        case Vote():
            seen = "" if message.valid_round == NO_ROUND else f" vr{message.valid_round}"
            return f"{KIND_NAMES[message.kind]} {name_of(message.block_hash)} {message.round}{seen}"
        case Proposal():
            seen = "" if message.valid_round == NO_ROUND else f" vr{message.valid_round}"
            return f"proposal {name_of(message.block_hash)} {message.round}{seen}"
        case ProposalMessage(statement, body, proof):
            extras = (" with body" if body is not None else "") + (" with polka" if proof is not None else "")
            return show_message(statement) + extras
        case Polka():
            return f"polka {name_of(message.block_hash)} {message.round}"
        case CommitCertificate():
            return f"commit {name_of(message.block_hash)} {message.round}"
        case _:
            return type(message).__name__


class Bench:
    """One core at HEIGHT. `quiet` hides what most rows do not care about: journal writes and stuck timers."""

    def __init__(
        self,
        me: int = 3,
        *,
        powers: Iterable[int] = (1, 1, 1, 1),
        record: SignRecord | None = None,
        awake: bool = True,
        height: int = HEIGHT,
        is_observer: bool = False,
        last_commit: CommitCertificate | None = None,
        machine: type[HeightMachine] = HeightMachine,
        quiet: bool = True,
    ) -> None:
        self.set = validator_set(powers)
        self.me = me
        self.quiet = quiet
        self.effects: list[fx.Effect] = []
        self.records: list[SignRecord] = []
        self.signs = True
        self.core = Core(address(me), lambda asked, _: asked.signature == SIGNATURE, machine)
        self.proposers = ProposerSchedule(self.set.powers)
        self.started = self.give(Start(height, self.set, self.proposers, 0, record, last_commit, is_observer))
        if awake and record is None:
            self.give(Timeout(TimerKind.HEARTBEAT, height, 0))

    @property
    def machine(self) -> HeightMachine:
        assert self.core.machine is not None
        return self.core.machine

    def give(self, *inputs: Input) -> list[str]:
        """Feed inputs, sign what is asked for, and say what came out, in order."""
        said: list[str] = []
        queue = list(inputs)
        while queue:
            for effect in self.core.step(queue.pop(0)):
                self.effects.append(effect)
                if isinstance(effect, fx.Sign) and self.signs:
                    queue.insert(0, Signed(signed(effect.message)))
                    continue
                if isinstance(effect, fx.Persist):
                    self.records.append(effect.record)
                    if self.quiet:
                        continue
                if isinstance(effect, fx.SetTimer) and effect.kind is TimerKind.STUCK and self.quiet:
                    continue
                said.append(show(effect))
        return said

    def hear(self, *messages: Message, sender: int = 9) -> list[str]:
        return self.give(*[Received(message, sender) for message in messages])

    def valid(self, value: str) -> list[str]:
        return self.give(Validity(HEIGHT, block_hash(value), True))

    def invalid(self, value: str) -> list[str]:
        return self.give(Validity(HEIGHT, block_hash(value), False))

    def timeout(self, kind: TimerKind, round: int) -> list[str]:
        return self.give(Timeout(kind, HEIGHT, round))

    def built(self, value: str, round: int) -> list[str]:
        return self.give(Value(HEIGHT, round, block(value)))

    def prevotes(self, value: str | None, round: int, *by: int, valid_round: int = NO_ROUND) -> list[str]:
        return self.hear(*[prevote(value, round, voter, valid_round) for voter in by])

    def precommits(self, value: str | None, round: int, *by: int) -> list[str]:
        return self.hear(*[precommit(value, round, voter) for voter in by])

    def state(self) -> str:
        """Round, step, lock and valid value in one line."""
        machine = self.machine
        locked = "-" if machine.locked_round < 0 else f"{name_of(machine.locked_hash)}{machine.locked_round}"
        known = "-" if machine.valid_round < 0 else f"{name_of(machine.valid_hash)}{machine.valid_round}"
        return f"{machine.round} {machine.step.name.lower()} lock {locked} valid {known}"
