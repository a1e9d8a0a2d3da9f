"""What consensus decides about, where proposers write what they like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dmchain.chain.consensus.body import Body, Facts
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import compute_evidence_hash, make_double_vote
from dmchain.chain.consensus.messages import NO_ROUND, PREVOTE, Candidate, Vote
from dmchain.node.consensus.application import MAX_EXECUTED, peek_hash
from tests.node.consensus.validators import Network, open_network, some_hash


def build(network: Network, number: int = 0) -> Candidate:
    node = network.nodes[number]
    app = node.validator.app
    candidate = app.build(app.draft(None), node.producer.offer())
    assert candidate is not None
    return candidate


def with_evidence(network: Network, candidate: Candidate, height: int) -> Candidate:
    """The same block with evidence about a height, well-formed."""
    app = network.nodes[0].validator.app
    body = app.decode(candidate.body)
    votes = [Vote(PREVOTE, height, 0, NO_ROUND, some_hash(n), 0, bytes(65)) for n in range(2)]
    evidence = (make_double_vote(*votes),)
    record = replace(body.facts.record, evidence_hash=compute_evidence_hash(evidence))
    header = replace(body.block.header, parent_beacon_block_root=record.root())
    block = replace(body.block, header=header)
    return Body(block, Facts(record, body.facts.last_commit, evidence)).candidate()


async def test_evidence_about_heights_that_nobody_remembers_makes_a_block_invalid_and_stops_no_node() -> None:
    async with open_network(4) as network:
        candidate = build(network)
        app = network.nodes[1].validator.app
        for height in (0, 1, 2, 2**63):
            reason = app.validate(with_evidence(network, candidate, height))
            assert reason is not None and reason.startswith("evidence")


async def test_a_block_decided_many_candidates_later_is_executed_again() -> None:
    async with open_network(4) as network:
        app = network.nodes[0].validator.app
        first = build(network, 1)
        assert app.validate(first) is None
        for _ in range(MAX_EXECUTED + 1):
            app._clock = later(app._clock)
            build(network)
        assert first.hash not in app._executed
        executed = app.commit(first, make_commit(network, first))
        assert executed.block.hash == first.hash == app.chain.head.hash


def make_commit(network: Network, candidate: Candidate) -> Commit:
    return Commit(1, 0, candidate.hash, (bytes(65),) * len(network.nodes))


def later(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + 0.01


async def test_a_block_drafted_on_an_old_head_is_not_built() -> None:
    async with open_network(4) as network:
        node = network.nodes[0]
        app = node.validator.app
        draft, offer = app.draft(None), node.producer.offer()
        other = build(network, 1)
        assert app.validate(other) is None
        app.commit(other, make_commit(network, other))
        assert app.build(draft, offer) is None


async def test_the_name_of_a_body_is_read_off_its_header() -> None:
    async with open_network(1) as network:
        candidate = build(network)
        assert (
            peek_hash(candidate.body)
            == candidate.hash
            == network.nodes[0].validator.app.decode(candidate.body).block.hash
        )
