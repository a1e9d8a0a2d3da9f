"""Hypothesis strategies for consensus messages: everything that the encodings can carry."""

from __future__ import annotations

from hypothesis import strategies as st

from dmchain.chain.consensus.certificates import by_validator
from dmchain.chain.consensus.messages import (
    MAX_ROUND,
    NO_ROUND,
    PRECOMMIT,
    PREVOTE,
    BlockReply,
    BlockRequest,
    Candidate,
    CommitCertificate,
    Decision,
    Polka,
    Proposal,
    ProposalMessage,
    RoundStatus,
    SignRecord,
    Step,
    Vote,
    VoteBundle,
)
from dmchain.chain.consensus.validators import MAX_VALIDATORS
from dmchain.chain.primitives.crypto import keccak
from dmchain.chain.primitives.types import Hash32

heights = st.integers(0, 2**64 - 1)
rounds = st.one_of(st.integers(0, 5), st.integers(0, MAX_ROUND))
hashes = st.binary(min_size=32, max_size=32).filter(any).map(Hash32)
signatures = st.binary(min_size=65, max_size=65)
validators = st.integers(0, MAX_VALIDATORS - 1)
bodies = st.binary(max_size=200)
candidates = bodies.map(lambda body: Candidate(keccak(body), body))


def below(round: int) -> st.SearchStrategy[int]:
    return st.integers(NO_ROUND, round - 1)


@st.composite
def votes(draw: st.DrawFn, height: int | None = None) -> Vote:
    kind = draw(st.sampled_from((PREVOTE, PRECOMMIT)))
    round, value = draw(rounds), draw(st.one_of(st.none(), hashes))
    valid_round = draw(below(round)) if kind == PREVOTE and value is not None else NO_ROUND
    at = draw(heights) if height is None else height
    return Vote(kind, at, round, valid_round, value, draw(validators), draw(signatures))


@st.composite
def polkas(draw: st.DrawFn) -> Polka:
    height, round, value = draw(heights), draw(rounds), draw(st.one_of(st.none(), hashes))
    valid_round = NO_ROUND if value is None else draw(below(round))
    voters = draw(st.sets(validators, max_size=5))
    cast = [Vote(PREVOTE, height, round, valid_round, value, voter, draw(signatures)) for voter in voters]
    return Polka(height, round, valid_round, value, by_validator(cast))


@st.composite
def commits(draw: st.DrawFn) -> CommitCertificate:
    height, round, value = draw(heights), draw(rounds), draw(hashes)
    voters = draw(st.sets(validators, max_size=5))
    cast = [Vote(PRECOMMIT, height, round, NO_ROUND, value, voter, draw(signatures)) for voter in voters]
    return CommitCertificate(height, round, value, by_validator(cast))


@st.composite
def proposals(draw: st.DrawFn, *, with_body: bool = True, height: int | None = None) -> ProposalMessage:
    round = draw(rounds)
    block = draw(st.one_of(st.none(), candidates)) if with_body else None
    value = draw(hashes) if block is None else block.hash
    at = draw(heights) if height is None else height
    statement = Proposal(at, round, draw(below(round)), value, draw(validators), draw(signatures))
    return ProposalMessage(statement, block, draw(st.one_of(st.none(), polkas())))


@st.composite
def bundles(draw: st.DrawFn) -> VoteBundle:
    height = draw(heights)
    return VoteBundle(height, tuple(draw(st.lists(votes(height), max_size=5))))


statuses = st.builds(
    RoundStatus,
    heights,
    st.integers(NO_ROUND, 100),
    st.sampled_from(Step),
    st.integers(NO_ROUND, 100),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**MAX_VALIDATORS - 1),
    st.integers(0, 2**20),
)
messages = st.one_of(
    votes(),
    proposals(),
    polkas(),
    commits(),
    bundles(),
    st.builds(Decision, candidates, commits()),
    statuses,
    st.builds(BlockRequest, heights, hashes),
    st.builds(BlockReply, heights, candidates),
)


@st.composite
def sign_records(draw: st.DrawFn) -> SignRecord:
    height, round = draw(heights), draw(rounds)
    blocks = draw(st.lists(candidates, max_size=3, unique_by=lambda block: block.hash))
    locked, valid = draw(st.one_of(st.none(), hashes)), draw(st.one_of(st.none(), hashes))
    own = draw(st.lists(st.one_of(votes(height), proposals(with_body=False, height=height)), max_size=4))
    return SignRecord(
        height,
        round,
        draw(st.sampled_from(Step)),
        draw(st.integers(0, 9)) if locked else NO_ROUND,
        locked,
        draw(st.integers(0, 9)) if valid else NO_ROUND,
        valid,
        draw(st.one_of(st.none(), polkas())),
        tuple(draw(st.lists(votes(height), max_size=4))),
        tuple(blocks),
        tuple(own),
    )
