"""Strangers that attack running validators over real sockets: they are cut, and the validators go on deciding."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from random import Random

import pytest
import trio

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.encoding import decode_message
from dmchain.chain.consensus.messages import (
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    BlockReply,
    Candidate,
    CommitCertificate,
    Decision,
    Polka,
    ProposalMessage,
    RoundStatus,
    Step,
    Vote,
    VoteBundle,
)
from dmchain.chain.primitives.codec import encode
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.node.consensus.application import peek_hash
from dmchain.node.consensus.host import MAX_INBOX
from dmchain.node.consensus.intake import DECISIONS_AT_ONCE
from dmchain.node.network.messages import Blocks, BlockWithCommit, GetBlocks, Reply, Request, Status
from dmchain.node.network.reputation import node_subject
from tests.node.consensus.validators import Network, cut, open_network, some_hash, until

NOBODY = PrivateKey(b"\x42" * 32)
MIB = 1 << 20


async def go_on(network: Network, blocks: int = 2) -> None:
    """The validators decide in round 0, and have not lost each other."""
    for number in range(blocks):
        await network.decide(number % len(network.nodes))
        stored = network.nodes[number % len(network.nodes)].validator.app.seen_commit(network.nodes[0].height)
        assert stored is None or stored.round == 0
    await network.until_connected()
    for node in network.nodes:
        for other in network.nodes:
            subject = node_subject(other.planned.node_key.address)
            assert node.validator.manager.reputation.score(subject, trio.current_time()) == 0


async def test_payloads_that_are_no_messages_cut_whoever_sends_them() -> None:
    rng = Random(1)
    async with open_network(4) as network:
        await network.start()
        await network.decide()
        payloads = [bytes([tag]) + rng.randbytes(rng.choice([0, 1, 50, 300, 5_000])) for tag in range(12)]
        for number, payload in enumerate(payloads):
            async with network.stranger(number % 4, key=1000 + number) as stranger:
                stranger.say(payload, payload)
                await cut(stranger)
        await go_on(network)


async def test_votes_nobody_signed_ban_whoever_sends_them() -> None:
    async with open_network(4) as network:
        await network.start()
        await network.decide()
        height = network.nodes[0].height
        for number, at in enumerate((height, height + 1, height + 2)):
            async with network.stranger(key=2000 + number) as stranger:
                kind = PRECOMMIT if at == height else PREVOTE
                votes = [Vote(kind, at, 0, NO_ROUND, some_hash(n), n) for n in range(4)]
                stranger.say(*[network.sign(NOBODY, vote) for vote in votes])
                await cut(stranger)
                assert "banned" in stranger.gone[0]
        await go_on(network)


async def test_a_forged_late_precommit_does_not_get_into_a_block() -> None:
    """The block after would be invalid for everybody, whoever builds it."""
    async with open_network(4) as network:
        await network.start(0, 1, 2)
        await network.decide()
        seen = network.nodes[0].validator.app.seen_commit(1)
        assert seen is not None
        (absent,) = [index for index, signature in enumerate(seen.signatures) if signature is None]
        forged = network.sign(NOBODY, Vote(PRECOMMIT, 1, seen.round, NO_ROUND, seen.block_hash, absent))
        for victim in range(3):
            async with network.stranger(victim, key=3000 + victim) as stranger:
                stranger.say(forged, forged)
                await cut(stranger)
        await network.decide()


async def test_a_flood_of_far_votes_costs_neither_memory_nor_blocks() -> None:
    async with open_network(4) as network:
        await network.start()
        await network.decide()
        tracemalloc.start()
        try:
            async with network.stranger() as stranger:
                numbers = itertools.count()
                before = tracemalloc.get_traced_memory()[0]
                for _ in range(8):
                    for number in itertools.islice(numbers, 400):
                        far = 10**6 + number if number % 2 else network.nodes[0].height + 1
                        stranger.say(Vote(PREVOTE, far, 2**30 + number, NO_ROUND, some_hash(number), 1, bytes(65)))
                    await network.decide(1)
                host = network.nodes[0].validator.host
                assert len(host._inbox) <= MAX_INBOX
                assert host.core.early_messages <= 12
                assert tracemalloc.get_traced_memory()[0] - before < 30 * MIB
        finally:
            tracemalloc.stop()
        await go_on(network)


async def test_honest_proposals_that_a_stranger_garbles_harm_nobody_honest() -> None:
    """It adds a polka that proves nothing, or another body, to what a validator has signed."""
    async with open_network(4) as network:
        await network.start()
        async with network.stranger() as stranger:
            await network.decide()
            proposals = [payload for payload in stranger.heard if payload[0] == 2]
            assert proposals
            await network.decide()
            for payload in [payload for payload in stranger.heard if payload[0] == 2]:
                message = decode_message(payload, peek_hash)
                assert isinstance(message, ProposalMessage)
                height = message.proposal.height
                vote = Vote(PREVOTE, height, 0, NO_ROUND, some_hash(1), 0, bytes(65))
                stranger.say(replace(message, polka=Polka(height, 0, NO_ROUND, some_hash(1), (vote,))))
                stranger.say(
                    replace(message, block=Candidate(some_hash(1), message.block.body[:-1] if message.block else b""))
                )
        await go_on(network)


async def test_large_bodies_that_nobody_asked_for_are_not_even_read() -> None:
    async with open_network(4) as network:
        await network.start()
        await network.decide()
        app = network.nodes[0].validator.app
        looked_at: list[bytes] = []
        decode = app.decode
        app.decode = lambda raw: (looked_at.append(raw), decode(raw))[1]  # type: ignore[method-assign,func-returns-value]
        height = network.nodes[0].height + 1
        junk = encode([encode([[b""] * 21, [b"\x02"] * 400_000]), b""])
        async with network.stranger() as stranger:
            certificate = CommitCertificate(height, 0, some_hash(3), ())
            for _ in range(3):
                stranger.say(BlockReply(height, Candidate(some_hash(1), junk)))
                for ahead in range(1, 9):
                    future = replace(certificate, height=height + ahead)
                    stranger.say(Decision(Candidate(some_hash(1), junk), future))
                await trio.sleep(0.1)
            assert len(network.nodes[0].validator.host.intake._future) <= DECISIONS_AT_ONCE
            await go_on(network)
            assert not [raw for raw in looked_at if raw == junk]
            stranger.say(
                *[Decision(Candidate(some_hash(1), junk), replace(certificate, height=network.nodes[0].height + 1))] * 2
            )
            await cut(stranger)


async def test_questions_are_answered_no_faster_than_they_may_be_asked() -> None:
    async with open_network(4) as network:
        await network.start()
        for _ in range(3):
            await network.decide()
        async with network.stranger() as stranger:
            began = trio.current_time()
            behind = RoundStatus(1, 0, Step.PROPOSE, NO_ROUND, False, False, 0, 0)
            for _ in range(500):
                stranger.say(behind)
            await trio.sleep(1)
            decisions = [payload for payload in stranger.heard if payload[0] == 6]
            assert len(decisions) <= 4 * (1 + (trio.current_time() - began) / 0.2)
            many = tuple([Vote(PREVOTE, network.nodes[0].height + 1, 0, NO_ROUND, None, 0, bytes(65))] * 1000)
            await trio.sleep(1)
            stranger.say(VoteBundle(network.nodes[0].height + 1, many))
            stranger.say(VoteBundle(network.nodes[0].height + 1, many))
            await cut(stranger)
        await go_on(network)


JUNK = encode([encode([[b""] * 21, [b"\x02"] * 300_000]), b""])
LIES = ("nothing", "garbage", "unsigned", "other heights")


def tell_lie(lie: str, request: Request) -> Reply:
    """What is sent in place of blocks."""
    assert isinstance(request, GetBlocks)
    forged = Commit(request.start, 0, peek_hash(JUNK), (bytes(65),) * 4)
    match lie:
        case "nothing":
            return Blocks(())
        case "garbage":
            return Blocks((BlockWithCommit(b"\xff" * 1000, b"\xff" * 100),))
        case "unsigned":
            return Blocks((BlockWithCommit(JUNK, forged.encode()),))
        case _:
            wires = [BlockWithCommit(JUNK, replace(forged, height=10**6 + n).encode()) for n in range(3)]
            return Blocks(tuple(wires))


@pytest.mark.parametrize("lie", LIES)
async def test_whoever_lies_about_its_height_does_not_keep_others_from_syncing(lie: str) -> None:
    async with open_network(4) as network:
        await network.start(0, 1, 2)
        for _ in range(4):
            await network.decide()
        genesis_hash = network.nodes[0].chain.genesis_header.hash

        async def answer(request: Request) -> Reply:
            return tell_lie(lie, request)

        late = network.nodes[3]
        await network.start_unconnected(3)
        async with network.stranger(3, status=Status(10**9, genesis_hash, 0), answer=answer) as stranger:
            await until(lambda: late.height >= network.nodes[0].height, 10, "the late one has caught up")
            await until(lambda: not late.validator.sync.is_syncing, 10, "consensus has begun")
            requests = stranger.requests
            assert requests < 100
            for _ in range(3):
                for peer in list(stranger.peers.values()):
                    peer.send(Status(10**9, genesis_hash, 0))
                await network.decide(3)
            assert stranger.requests == requests  # whoever is where the validators are asks nobody
        await network.until_connected()


@pytest.mark.parametrize("lie", LIES[1:])
async def test_what_is_no_block_bans_whoever_sends_it(lie: str) -> None:
    """The stranger is all that a late node knows; when it is gone, validators come."""
    async with open_network(4) as network:
        await network.start_unconnected(3)
        genesis_hash = network.nodes[0].chain.genesis_header.hash

        async def answer(request: Request) -> Reply:
            return tell_lie(lie, request)

        async with network.stranger(3, status=Status(10**9, genesis_hash, 0), answer=answer) as stranger:
            await cut(stranger)
            assert "banned" in stranger.gone[0]
        await network.start(0, 1, 2)
        await network.decide(3)
