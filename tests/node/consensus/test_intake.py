"""How messages are judged on their way to the core, and what is passed on of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio

from dmchain.chain.consensus.encoding import decode_message, encode_message
from dmchain.chain.consensus.inputs import Received
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PREVOTE,
    BlockReply,
    Candidate,
    Polka,
    Proposal,
    ProposalMessage,
    Vote,
)
from dmchain.chain.primitives.errors import DecodeError
from dmchain.node.consensus.application import peek_hash
from dmchain.node.consensus.host import MAX_INBOX
from tests.node.consensus.validators import Network, RunningValidator, open_network, some_hash

STRANGER, FRIEND, OTHER = 1, 2, 3


class FakeWire:
    """Three peers and what they were sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[list[int], Any]] = []
        self.faults: list[tuple[int, str]] = []
        self.behind_peers: list[tuple[int, int]] = []

    def broadcast(self, payload: bytes, *, has_body: bool) -> None:
        self.send_to(self.peers(), payload, has_body=has_body)

    def send(self, peer: int, payload: bytes, *, has_body: bool) -> None:
        self.send_to([peer], payload, has_body=has_body)

    def send_to(self, peers: list[int], payload: bytes, *, has_body: bool) -> None:
        self.sent.append((peers, decode_message(payload, peek_hash)))

    def peers(self) -> list[int]:
        return [STRANGER, FRIEND, OTHER]

    def fault(self, peer: int, reason: str) -> None:
        self.faults.append((peer, reason))

    def behind(self, peer: int, height: int) -> None:
        self.behind_peers.append((peer, height))


class Bench:
    """One validator whose core is at height 1 and whose host does not run."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.node: RunningValidator = network.nodes[0]
        self.host = self.node.validator.host
        self.wire = FakeWire()
        self.host._wire = self.host.intake._wire = self.wire
        self.host._is_suspended = False
        self.host._start_height()
        self.host.core.step(self.host._inbox.popleft())

    @property
    def fed(self) -> list[Any]:
        return [happened.message for happened in self.host._inbox if isinstance(happened, Received)]

    @property
    def received(self) -> list[Received]:
        return [happened for happened in self.host._inbox if isinstance(happened, Received)]

    def take(self, message: Any, peer: int = STRANGER) -> None:
        self.host.intake.take(peer, message if isinstance(message, bytes) else encode_message(message))

    def signed_vote(self, value: int = 1, *, height: int = 1, round: int = 0, index: int = 1) -> Vote:
        vote = Vote(PREVOTE, height, round, NO_ROUND, some_hash(value), index)
        return self.network.sign(self.key(index), vote)

    def key(self, index: int) -> Any:
        address = self.node.validator.app.epochs.at(1).validators.validators[index].address
        return next(n.planned.consensus_key for n in self.network.nodes if n.planned.consensus_key.address == address)

    def proposal(self, round: int = 0) -> ProposalMessage:
        """A fresh one, by the validator in turn."""
        index = self.node.validator.app.epochs.at(1).proposer(1, round)
        key = self.key(index)
        builder = next(node for node in self.network.nodes if node.planned.consensus_key is key)
        app = builder.validator.app
        draft = app.draft(None)
        assert draft is not None
        candidate = app.build(draft, builder.producer.offer())
        assert candidate is not None
        proposal: Any = self.network.sign(key, Proposal(1, round, NO_ROUND, candidate.hash, index))  # type: ignore[arg-type]
        return ProposalMessage(proposal, candidate)


@pytest.fixture
async def bench() -> Any:
    async with open_network(4) as network:
        yield Bench(network)


async def test_a_good_vote_is_fed_and_passed_on_once(bench: Bench) -> None:
    vote = bench.signed_vote()
    bench.take(vote)
    bench.take(vote, FRIEND)
    assert bench.fed[0] == vote
    assert bench.wire.sent == [([FRIEND, OTHER], vote)]
    bench.take(bench.signed_vote(index=1, round=1))
    assert bench.wire.sent[-1][0] == [OTHER], "FRIEND has shown that it hears that validator"


async def test_bad_signatures_are_blamed_near_this_height_and_nothing_is_done_about_far_ones(bench: Bench) -> None:
    bench.take(replace(bench.signed_vote(), round=1))
    bench.take(replace(bench.signed_vote(), height=2), FRIEND)
    assert [peer for peer, _ in bench.wire.faults] == [STRANGER, FRIEND]
    bench.take(replace(bench.signed_vote(), height=3), OTHER)
    bench.take(replace(bench.signed_vote(), height=10**9), OTHER)
    assert len(bench.wire.faults) == 2 and bench.fed == []
    assert bench.wire.behind_peers == [(OTHER, 10**9)]


async def test_votes_of_far_rounds_are_fed_and_not_passed_on(bench: Bench) -> None:
    for round in range(3, 100):
        bench.take(bench.signed_vote(round=round))
    assert len(bench.fed) == 97 and bench.wire.sent == []


async def test_a_fresh_proposal_is_decoded_fed_and_passed_on_with_its_body(bench: Bench) -> None:
    message = bench.proposal()
    bench.take(message)
    assert bench.fed == [message]
    assert bench.wire.sent == [([FRIEND, OTHER], message)]


async def test_a_fresh_proposal_with_the_block_of_another_validator_is_not_fresh(bench: Bench) -> None:
    """Whoever could propose the blocks of others afresh could choose among their randao reveals."""
    first, second = bench.proposal(0), bench.proposal(1)
    assert first.block is not None
    copied = replace(second.proposal, block_hash=first.proposal.block_hash)
    index = second.proposal.validator
    stolen: Any = bench.network.sign(bench.key(index), copied)  # type: ignore[arg-type]
    bench.take(first)
    bench.take(ProposalMessage(stolen, first.block))
    assert [happened.is_timely for happened in bench.received] == [True, False]
    bench.host._inbox.clear()
    bench.take(second)
    assert [happened.is_timely for happened in bench.received] == [True]


async def test_a_body_that_comes_apart_is_judged_by_the_proposal_that_named_it(bench: Bench) -> None:
    first, second = bench.proposal(0), bench.proposal(1)
    assert first.block is not None and second.block is not None
    for message, block in ((first, first.block), (second, first.block)):
        copied = replace(message.proposal, block_hash=block.hash)
        named: Any = bench.network.sign(bench.key(message.proposal.validator), copied)  # type: ignore[arg-type]
        bench.take(ProposalMessage(named))
    assert [happened.is_timely for happened in bench.received] == [True, True]
    while bench.host._inbox:
        bench.host.core.step(bench.host._inbox.popleft())
    bench.take(BlockReply(1, first.block))
    assert [happened.is_timely for happened in bench.received] == [False]


async def test_a_polka_that_proves_nothing_is_not_passed_on_with_a_proposal(bench: Bench) -> None:
    """Whoever is passed it would blame this node."""
    message = bench.proposal()
    vote = Vote(PREVOTE, 1, 0, NO_ROUND, some_hash(1), 0, bytes(65))
    bench.take(replace(message, polka=Polka(1, 0, NO_ROUND, some_hash(1), (vote,))))
    assert bench.wire.sent == [([FRIEND, OTHER], message)]


async def test_a_proposal_out_of_turn_or_with_another_body_goes_no_further(bench: Bench) -> None:
    right, later = bench.proposal(), bench.proposal(1)
    assert right.block is not None
    unsigned: Any = replace(later.proposal, round=0, signature=b"")
    wrong: Any = bench.network.sign(bench.key(later.proposal.validator), unsigned)
    bench.take(ProposalMessage(wrong, later.block))
    other = bench.node.validator.app
    body = other.decode(right.block.body)
    foreign = replace(body.block.header, gas_limit=1)
    stranger_body = replace(body, block=replace(body.block, header=foreign)).encode()
    bench.take(replace(right, block=Candidate(foreign.hash, stranger_body)))
    assert [reason.split(" of")[0] for _, reason in bench.wire.faults] == ["proposal", "proposal with the body"]
    with pytest.raises(DecodeError):
        bench.take(replace(right, block=Candidate(right.block.hash, tamper_facts(right.block.body))))
    assert bench.fed == [] and bench.wire.sent == []
    bench.take(right)
    assert bench.fed == [right]


def tamper_facts(body: bytes) -> bytes:
    """The same header with facts that it does not commit to."""
    return body[:-1] + bytes([body[-1] ^ 1])


async def test_a_clock_decides_whether_a_proposal_is_fresh(bench: Bench) -> None:
    now = bench.host.intake._clock()
    bench.host.intake._clock = lambda: now + 3_600
    bench.take(bench.proposal())
    (received,) = [happened for happened in bench.host._inbox if isinstance(happened, Received)]
    assert not received.is_timely


async def test_everybody_who_waits_for_room_in_the_inbox_gets_on(bench: Bench, autojump_clock: Any) -> None:
    host = bench.host
    host._inbox.extend([Received(bench.signed_vote(), None)] * MAX_INBOX)
    done: list[int] = []

    async def send(peer: int) -> None:
        await host.receive(peer, encode_message(bench.signed_vote(peer)))
        done.append(peer)

    async with trio.open_nursery() as nursery:
        for peer in range(1, 4):
            nursery.start_soon(send, peer)
        await trio.sleep(1)
        assert done == []
        with trio.move_on_after(5):
            await host.run()
        assert sorted(done) == [1, 2, 3]
        nursery.cancel_scope.cancel()


async def test_what_is_known_of_peers_that_are_gone_is_forgotten(bench: Bench) -> None:
    for peer in range(100, 200):
        bench.take(bench.signed_vote(height=2), peer)
        bench.take(replace(bench.signed_vote(), height=10**6), peer)
        bench.host.forget_peer(peer)
    assert not bench.host.intake._peers and not bench.host.intake.relay._quiet_until
