"""From a proposal to its execution: votes, quorum, delays, and every way a proposal can end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import START_TIME, ZERO, Chain, Contract, reverts
from tests.contracts.signing import BALLOT, typed_digest

VOTING_DELAY, VOTING_PERIOD, TIMELOCK_DELAY = 100, 1000, 500
THRESHOLD = 10**18
AGAINST, FOR, ABSTAIN = range(3)
PENDING, ACTIVE, CANCELED, DEFEATED, SUCCEEDED, QUEUED, EXPIRED, EXECUTED = range(8)
GOVERNOR, TIMELOCK = 0xDA1C, 0xDA1D


@dataclass(frozen=True)
class World:
    """Alice has 60 votes of 1000, bob 45, carol 5, a sleeper the rest; the timelock administers the curation registry."""

    chain: Chain
    token: Contract
    governor: Contract
    timelock: Contract
    target: Contract

    def propose(self, *calls: tuple[Any, int, bytes], text: str = "proposal", sender: Any = None) -> int:
        targets, values, datas = zip(*calls, strict=True)
        done = self.governor.propose(targets, values, datas, text, sender=sender or self.chain.accounts[1])
        return int(done.value)

    def begin(self, proposal: int) -> None:
        self.chain.timestamp = self.governor.proposalSnapshot(proposal) + 1

    def end(self, proposal: int) -> None:
        self.chain.timestamp = self.governor.proposalDeadline(proposal) + 1

    def decide(self, proposal: int) -> None:
        """Alice and bob are for it."""
        self.begin(proposal)
        for voter in self.chain.accounts[1:3]:
            self.governor.castVote(proposal, FOR, sender=voter)
        self.end(proposal)

    @property
    def call(self) -> tuple[Any, int, bytes]:
        """Change the parameters of curation."""
        return self.target, 0, self.target.data("setParameters", (11, 22, 33, 44))


@pytest.fixture(scope="module")
def world() -> World:
    chain = Chain()
    holders = [*chain.accounts[1:4], chain.accounts[9]]
    token = chain.deploy("PlatformToken", holders, [60 * 10**18, 45 * 10**18, 5 * 10**18, 890 * 10**18])
    timelock = chain.deploy("Timelock", TIMELOCK_DELAY, [f"0x{GOVERNOR:040x}"], [ZERO], ZERO, at=TIMELOCK)
    governor = chain.deploy("DataGovernor", token, timelock, VOTING_DELAY, VOTING_PERIOD, THRESHOLD, 10, at=GOVERNOR)
    target = chain.deploy("CurationRegistry", token, timelock, (60, 60, 500, 5000))
    chain.sleep(1)
    return World(chain, token, governor, timelock, target)


def test_it_tells_its_rules(world: World) -> None:
    governor = world.governor
    assert governor["name"]() == "DataGovernor"
    assert governor.COUNTING_MODE() == "support=bravo&quorum=for,abstain"
    assert governor.CLOCK_MODE() == "mode=timestamp"
    assert (governor.votingDelay(), governor.votingPeriod()) == (VOTING_DELAY, VOTING_PERIOD)
    assert governor.proposalThreshold() == THRESHOLD
    assert governor.quorum(START_TIME) == 100 * 10**18
    assert governor.timelock() == world.timelock.address


def test_a_proposal_becomes_a_change(world: World) -> None:
    governor, chain = world.governor, world.chain
    proposal = world.propose(world.call)
    assert governor.state(proposal) == PENDING
    world.begin(proposal)
    assert governor.state(proposal) == ACTIVE
    governor.castVote(proposal, FOR, sender=chain.accounts[1])
    governor.castVoteWithReason(proposal, ABSTAIN, "why not", sender=chain.accounts[2])
    governor.castVote(proposal, AGAINST, sender=chain.accounts[3])
    assert tuple(governor.proposalVotes(proposal)) == (5 * 10**18, 60 * 10**18, 45 * 10**18)
    world.end(proposal)
    assert governor.state(proposal) == SUCCEEDED
    governor["queue(uint256)"](proposal, sender=chain.accounts[8])
    assert governor.state(proposal) == QUEUED
    assert governor.proposalEta(proposal) == chain.timestamp + TIMELOCK_DELAY
    chain.sleep(TIMELOCK_DELAY)
    governor["execute(uint256)"](proposal, sender=chain.accounts[8])
    assert governor.state(proposal) == EXECUTED
    assert tuple(world.target.parameters()) == (11, 22, 33, 44)


def test_nothing_is_executed_before_its_delay_is_over(world: World) -> None:
    proposal = world.propose(world.call)
    world.decide(proposal)
    with reverts("GovernorUnexpectedProposalState", proposalId=proposal):  # not queued
        world.governor["execute(uint256)"](proposal)
    world.governor["queue(uint256)"](proposal)
    world.chain.sleep(TIMELOCK_DELAY - 1)
    with reverts("TimelockUnexpectedOperationState"):
        world.governor["execute(uint256)"](proposal)
    world.chain.sleep(1)
    world.governor["execute(uint256)"](proposal)
    with reverts("GovernorUnexpectedProposalState", proposalId=proposal):
        world.governor["execute(uint256)"](proposal)


def test_more_against_than_for_defeats(world: World) -> None:
    proposal = world.propose(world.call)
    world.begin(proposal)
    world.governor.castVote(proposal, FOR, sender=world.chain.accounts[1])
    world.governor.castVote(proposal, AGAINST, sender=world.chain.accounts[9])
    world.end(proposal)
    assert world.governor.state(proposal) == DEFEATED
    with reverts("GovernorUnexpectedProposalState", proposalId=proposal):
        world.governor["queue(uint256)"](proposal)


@pytest.mark.parametrize(("support", "expected"), [(FOR, DEFEATED), (ABSTAIN, SUCCEEDED)])
def test_a_majority_without_the_quorum_is_no_decision(world: World, support: int, expected: int) -> None:
    """60 for are short of 100; 45 that abstain count towards it, 5 against do not."""
    proposal = world.propose(world.call)
    world.begin(proposal)
    world.governor.castVote(proposal, FOR, sender=world.chain.accounts[1])
    world.governor.castVote(proposal, AGAINST, sender=world.chain.accounts[3])
    if support == ABSTAIN:
        world.governor.castVote(proposal, ABSTAIN, sender=world.chain.accounts[2])
    world.end(proposal)
    assert world.governor.state(proposal) == expected


def test_votes_count_as_they_stood_at_the_snapshot(world: World) -> None:
    governor, token, (alice, _, carol) = world.governor, world.token, world.chain.accounts[1:4]
    proposal = world.propose(world.call)
    world.begin(proposal)
    token.transfer(carol, 60 * 10**18, sender=alice)
    governor.castVote(proposal, FOR, sender=alice)
    governor.castVote(proposal, AGAINST, sender=carol)
    assert tuple(governor.proposalVotes(proposal)) == (5 * 10**18, 60 * 10**18, 0)
    with reverts("GovernorAlreadyCastVote", alice):
        governor.castVote(proposal, FOR, sender=alice)


def test_nobody_votes_before_the_snapshot_or_after_the_deadline(world: World) -> None:
    proposal = world.propose(world.call)
    with reverts("GovernorUnexpectedProposalState", proposalId=proposal):
        world.governor.castVote(proposal, FOR, sender=world.chain.accounts[1])
    world.end(proposal)
    with reverts("GovernorUnexpectedProposalState", proposalId=proposal):
        world.governor.castVote(proposal, FOR, sender=world.chain.accounts[1])


def test_a_vote_can_be_signed(world: World) -> None:
    governor, alice = world.governor, world.chain.accounts[1]
    proposal = world.propose(world.call)
    world.begin(proposal)
    types = ["bytes32", "uint256", "uint8", "address", "uint256"]
    struct = keccak(encode(types, [BALLOT, proposal, FOR, str(alice), 0]))
    v, r, s = alice.sign(typed_digest(governor, "DataGovernor", struct))
    signature = r + s + bytes([v])
    governor.castVoteBySig(proposal, FOR, alice, signature, sender=world.chain.accounts[8])
    assert governor.hasVoted(proposal, alice)
    with reverts("GovernorInvalidSignature", alice):
        governor.castVoteBySig(proposal, FOR, alice, signature)


def test_a_proposer_needs_the_threshold_and_may_cancel_before_the_vote(world: World) -> None:
    poor, carol = world.chain.accounts[7], world.chain.accounts[3]
    with reverts("GovernorInsufficientProposerVotes", poor, 0, THRESHOLD):
        world.propose(world.call, sender=poor)
    proposal = world.propose(world.call, sender=carol)
    with reverts("GovernorUnableToCancel", proposal, poor):
        world.governor["cancel(uint256)"](proposal, sender=poor)
    world.governor["cancel(uint256)"](proposal, sender=carol)
    assert world.governor.state(proposal) == CANCELED
    late = world.propose(world.call, sender=carol, text="again")
    world.begin(late)
    with reverts("GovernorUnableToCancel", late, carol):
        world.governor["cancel(uint256)"](late, sender=carol)


def test_a_description_can_reserve_the_proposal_for_its_proposer(world: World) -> None:
    alice, bob = world.chain.accounts[1:3]
    text = f"raise the fee #proposer={alice}"
    with reverts("GovernorRestrictedProposer", bob):
        world.propose(world.call, text=text, sender=bob)
    world.propose(world.call, text=text, sender=alice)


def test_calls_of_a_proposal_are_all_or_none(world: World) -> None:
    stranger = world.chain.accounts[12]
    proposal = world.propose(world.call, (stranger, 1, b""))  # the timelock has no coin to send
    world.decide(proposal)
    world.governor["queue(uint256)"](proposal)
    world.chain.sleep(TIMELOCK_DELAY)
    with reverts("FailedCall"):
        world.governor["execute(uint256)"](proposal)
    assert world.target.parameters().reviewPeriod == 60
    world.chain.send(world.timelock, value=1)
    world.governor["execute(uint256)"](proposal)
    assert world.target.parameters().reviewPeriod == 11


def test_governance_changes_itself_and_nobody_else_does(world: World) -> None:
    governor, timelock = world.governor, world.timelock
    with reverts("GovernorOnlyExecutor", world.chain.admin):
        governor.setVotingPeriod(5)
    with reverts("TimelockUnauthorizedCaller", world.chain.admin):
        timelock.updateDelay(5)
    proposal = world.propose(
        (governor, 0, governor.data("setVotingPeriod", 77)),
        (governor, 0, governor.data("updateQuorumNumerator", 20)),
        (timelock, 0, timelock.data("updateDelay", 5)),
    )
    world.decide(proposal)
    governor["queue(uint256)"](proposal)
    world.chain.sleep(TIMELOCK_DELAY)
    governor["execute(uint256)"](proposal)
    assert (governor.votingPeriod(), governor["quorumNumerator()"](), timelock.getMinDelay()) == (77, 20, 5)


def test_the_timelock_takes_orders_from_the_governor_alone(world: World) -> None:
    timelock, (alice,) = world.timelock, world.chain.accounts[1:2]
    target, value, data = world.call
    with reverts("AccessControlUnauthorizedAccount", alice, timelock.PROPOSER_ROLE()):
        timelock.schedule(target, value, data, bytes(32), bytes(32), TIMELOCK_DELAY, sender=alice)
    with reverts("AccessControlUnauthorizedAccount", alice, bytes(32)):
        timelock.grantRole(timelock.PROPOSER_ROLE(), alice, sender=alice)
    with reverts("AccessControlUnauthorizedAccount", alice, bytes(32)):
        world.target.setParameters((1, 1, 1, 1), sender=alice)
    assert timelock.hasRole(timelock.CANCELLER_ROLE(), world.governor)
    assert not timelock.hasRole(bytes(32), world.chain.admin)


def test_proposals_are_kept_on_chain(world: World) -> None:
    proposal = world.propose(world.call, text="one")
    target, value, data = world.call
    assert world.governor.proposalCount() == 1
    kept = world.governor.proposalDetails(proposal)
    assert (kept[0], kept[1], kept[2]) == ([target.address], [value], [data])
    assert kept[3] == keccak(b"one")
    assert world.governor.proposalDetailsAt(0)[0] == proposal
    assert world.governor.proposalProposer(proposal) == world.chain.accounts[1]
