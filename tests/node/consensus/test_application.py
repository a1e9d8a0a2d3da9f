"""What consensus decides about, where proposers write what they like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dmchain.chain.consensus.body import Body, Facts
from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import compute_evidence_hash, make_double_vote
from dmchain.chain.consensus.messages import NO_ROUND, PRECOMMIT, PREVOTE, Candidate, Vote
from dmchain.chain.consensus.record import compute_mix
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import ZERO_HASH, Hash32
from dmchain.node.consensus.application import MAX_EXECUTED, peek_hash
from dmchain.node.randao import RandaoSeed
from tests.node.consensus.validators import Network, open_network, some_hash


def build(network: Network, number: int = 0) -> Candidate:
    node = network.nodes[number]
    app = node.validator.app
    draft = app.draft(None)
    assert draft is not None
    candidate = app.build(draft, node.producer.offer())
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


def with_reveal(network: Network, candidate: Candidate, reveal: Hash32) -> Candidate:
    """The same block with another randao reveal, and everything that follows from it but the state root."""
    app = network.nodes[0].validator.app
    body = app.decode(candidate.body)
    record = replace(body.facts.record, randao_reveal=reveal)
    mix = compute_mix(app.chain.head.prev_randao, reveal)
    header = replace(body.block.header, parent_beacon_block_root=record.root(), prev_randao=mix)
    return Body(replace(body.block, header=header), replace(body.facts, record=record)).candidate()


async def test_a_block_reveals_the_next_layer_of_its_proposers_onion_and_nothing_else() -> None:
    async with open_network(4) as network:
        candidate = build(network)
        app = network.nodes[1].validator.app
        reveal = app.record_of(candidate).randao_reveal
        onions = app.epochs.onions(network.nodes[0].planned.consensus_key.address)
        assert keccak(reveal) == onions.anchor
        for wrong in (ZERO_HASH, some_hash(1), onions.anchor):
            reason = app.validate(with_reveal(network, candidate, wrong))
            assert reason is not None and reason.startswith("randao reveal: got 0x" + wrong.hex())
        assert app.validate(with_reveal(network, candidate, reveal)) is None


def sign_commit(network: Network, candidate: Candidate) -> Commit:
    """Everybody's precommits for a block on the head."""
    app = network.nodes[0].validator.app
    height = app.chain.head.number + 1
    keys = {node.planned.consensus_key.address: node.planned.consensus_key for node in network.nodes}
    signatures = []
    for index, validator in enumerate(app.epochs.at(height).validators.validators):
        vote = Vote(PRECOMMIT, height, 0, NO_ROUND, candidate.hash, index)
        signatures.append(network.sign(keys[validator.address], vote).signature)
    return Commit(height, 0, candidate.hash, tuple(signatures))


async def test_each_block_brings_another_prev_randao_whoever_proposes_it() -> None:
    async with open_network(4) as network:
        seen = {network.nodes[0].chain.head.prev_randao}
        commit = None
        for number in (0, 0, 1, 0):
            apps = [node.validator.app for node in network.nodes]
            draft = apps[number].draft(None if commit is None else commit.to_certificate())
            assert draft is not None
            candidate = apps[number].build(draft, network.nodes[number].producer.offer())
            assert candidate is not None
            commit = sign_commit(network, candidate)
            for app in apps:
                assert app.validate(candidate) is None
                app.commit(candidate, commit)
            seen.add(apps[0].chain.head.prev_randao)
        assert len(seen) == 5


async def test_a_validator_that_has_lost_its_randao_seed_proposes_nothing() -> None:
    async with open_network(4) as network:
        app = network.nodes[0].validator.app
        app._reveals = RandaoSeed(some_hash(1))
        assert app.draft(None) is None
        app._reveals = None
        assert app.draft(None) is None


def make_commit(network: Network, candidate: Candidate) -> Commit:
    return Commit(1, 0, candidate.hash, (bytes(65),) * len(network.nodes))


def later(clock: Callable[[], float]) -> Callable[[], float]:
    return lambda: clock() + 0.01


async def test_a_block_drafted_on_an_old_head_is_not_built() -> None:
    async with open_network(4) as network:
        node = network.nodes[0]
        app = node.validator.app
        draft, offer = app.draft(None), node.producer.offer()
        assert draft is not None
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
