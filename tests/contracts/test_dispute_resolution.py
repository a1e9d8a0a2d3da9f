"""A dispute goes from phase to phase, by the right people at the right time, and always ends."""

from __future__ import annotations

import pytest

from tests.contracts.chain import ZERO, Reverted, reverts
from tests.contracts.dispute_world import (
    CLOSED,
    COMMITTING,
    CONSUMER,
    DATASET,
    DECIDED,
    DEPOSIT,
    EVIDENCE,
    EVIDENCE_PHASE,
    NO_RULING,
    PARAMETERS,
    PROVIDER,
    REVEALING,
    SALT,
    SUMMONED,
    TREASURY,
    VALIDATOR_STAKE,
    World,
)
from tests.contracts.drawing import draw_from_list, seal
from tools.contracts.compiler import compile_contract as load


@pytest.fixture(scope="module")
def world() -> World:
    return World()


# ---------------------------------------------------------------- opening


def test_payer_or_licensee_opens_with_the_exact_deposit(world: World) -> None:
    disputes = world.disputes
    purchase = world.buy(world.consumer, payer=world.second, escrow=4)
    assert disputes.openingDeposit() == DEPOSIT
    with reverts("NotAParty", purchase, world.stranger):
        disputes.open(purchase, EVIDENCE, sender=world.stranger, value=DEPOSIT)
    for value in (DEPOSIT - 1, DEPOSIT + 1):
        with reverts("WrongDeposit", value, DEPOSIT):
            disputes.open(purchase, EVIDENCE, sender=world.consumer, value=value)
    for evidence in (b"", b"\1" * 129):
        with reverts("InvalidEvidence", len(evidence), 128):
            disputes.open(purchase, evidence, sender=world.consumer, value=DEPOSIT)
    with reverts("UnknownPurchase", 99):
        disputes.open(99, EVIDENCE, sender=world.consumer, value=DEPOSIT)
    event = disputes.open(purchase, EVIDENCE, sender=world.second, value=DEPOSIT).event("DisputeOpened")
    assert (event.disputeId, event.datasetId, event.opener) == (1, DATASET, world.second)
    assert (event.provider, event.deposit, event.frozen) == (world.provider, DEPOSIT, 1_000)
    case = disputes.dispute(1)
    assert (case.payer, case.licensee, case.phase) == (world.second, world.consumer, EVIDENCE_PHASE)
    assert disputes.disputeOf(purchase) == 1 and world.escrow.isFrozen(4)
    assert world.stakes.position(DATASET, world.provider).locks == 1
    with reverts("AlreadyDisputed", purchase, 1):
        disputes.open(purchase, EVIDENCE, sender=world.consumer, value=DEPOSIT)
    world.assert_conserved()


def test_two_purchases_cannot_hold_the_same_prepaid_account(world: World) -> None:
    first = world.buy(world.consumer, escrow=1, prepaid=7)
    second = world.buy(world.consumer, prepaid=7)
    world.escrow.set(7, 50)
    number = world.open(first)
    assert world.escrow.isFrozen(1) and world.escrow.isFrozen(7)
    with reverts("AlreadyDisputed", second, number):
        world.open(second)
    world.decide(number, PROVIDER)
    world.execute(number)
    assert not world.escrow.isFrozen(7)
    world.open(second)


def test_free_licences_are_not_disputed_but_streams_are(world: World) -> None:
    purchase = world.buy(world.consumer, amount=0)
    with reverts("NothingPaid", purchase):
        world.open(purchase)
    world.sales.pay(DATASET, world.consumer, 5)
    world.chain.sleep(1)
    world.open(purchase)


def test_a_purchase_can_be_disputed_in_its_window_and_while_money_is_held(world: World) -> None:
    settled, held = world.buy(world.consumer), world.buy(world.second, escrow=3)
    world.chain.sleep(5_000)
    with reverts("TooLateToOpen", purchaseId=settled):
        world.open(settled)
    world.open(held, by=world.second)


def test_unknown_disputes_and_foreign_coin_are_refused(world: World) -> None:
    for number in (0, 1):
        with reverts("UnknownDispute", number):
            world.disputes.dispute(number)
    with reverts("NotAcceptingCoin", world.stranger):
        world.chain.send(world.disputes, sender=world.stranger, value=1)


# ---------------------------------------------------------------- evidence and jury


def test_parties_add_evidence_until_there_is_a_ruling(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer))
    event = disputes.addEvidence(number, EVIDENCE, sender=world.provider).event("EvidenceAdded")
    assert (event.party, event.evidenceCid) == (world.provider, EVIDENCE)
    with reverts("NotAParty", number, world.stranger):
        disputes.addEvidence(number, EVIDENCE, sender=world.stranger)
    with reverts("InvalidEvidence", 0, 128):
        disputes.addEvidence(number, b"", sender=world.consumer)
    world.draw(number)
    disputes.addEvidence(number, EVIDENCE, sender=world.consumer)
    world.vote(number, dict.fromkeys(world.jury(number), CONSUMER))
    with reverts("WrongPhase", number, DECIDED):
        disputes.addEvidence(number, EVIDENCE, sender=world.consumer)


def test_the_jury_is_drawn_by_stake_as_from_a_plain_list(world: World) -> None:
    chain = world.chain
    world.disputes.join(sender=world.jurors[2], value=200_000)
    number = world.open(world.buy(world.consumer))
    drawn = world.draw(number, randao=99).event("JuryDrawn").jurors
    weights = [(juror, 210_000 if juror == world.jurors[2] else 10_000) for juror in world.jurors]
    assert drawn == draw_from_list(weights, 99, world.disputes.address, number, 3, is_distinct=False)
    assert world.jurors[2] in drawn
    for juror, seats in world.jury(number).items():
        assert seats == drawn.count(juror)
        assert world.disputes.member(juror).locked == 1_000 * seats
    assert world.disputes.dispute(number).deadline == chain.timestamp + 100


def test_the_draw_waits_for_the_evidence_and_its_block(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    number = world.open(world.buy(world.consumer))
    deadline = disputes.dispute(number).deadline
    with reverts("PhaseNotOver", number, deadline):
        disputes.summon(number)
    with reverts("WrongPhase", number, EVIDENCE_PHASE):
        disputes.draw(number, b"")
    chain.timestamp = deadline
    at = chain.block_number
    event = disputes.summon(number).event("JurySummoned")
    assert (event.seats, event.drawBlock) == (3, at + 2)
    with reverts("WrongPhase", number, SUMMONED):
        disputes.summon(number)
    with reverts("TooEarlyToDraw", at + 1, at + 3):
        disputes.draw(number, b"")
    header = seal(chain, at + 2, 1)
    with reverts("WrongHeader", drawBlock=at + 2):
        disputes.draw(number, header + b"\0")
    chain.block_number += 9_000
    postponed = disputes.draw(number, header).event("DrawPostponed").drawBlock
    disputes.draw(number, seal(chain, postponed, 1))
    assert world.phase(number) == COMMITTING


def test_nobody_with_an_interest_is_a_juror(world: World) -> None:
    """Payer, licensee, provider, heir, and other buyers join with far more stake than the jurors, in vain."""
    heir, other_buyer = world.third, world.chain.accounts[14]
    purchase = world.buy(world.consumer, payer=world.second, escrow=1)
    world.buy(other_buyer)
    number = world.open(purchase)
    world.chain.registry.transferDataset(DATASET, heir, sender=world.provider)
    interested = [world.consumer, world.second, world.provider, heir, other_buyer]
    for who in interested:
        world.disputes.join(sender=who, value=10**9)
    drawn = world.draw(number).event("JuryDrawn").jurors
    assert len(drawn) == 3 and not set(drawn) & set(interested)
    assert all(world.disputes.member(who).locked == 0 for who in interested)


def test_without_jurors_a_dispute_waits_and_then_ends_as_if_it_had_not_been(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    for juror in world.jurors:
        disputes.requestLeave(sender=juror)
    purchase = world.buy(world.consumer, escrow=5)
    number = world.open(purchase)
    event = world.draw(number).event("JuryIncomplete")
    assert (event.found, event.needed) == (0, 3)
    assert world.phase(number) == EVIDENCE_PHASE
    chain.timestamp = disputes.dispute(number).summonEnds
    receipt = world.draw(number)
    assert receipt.event("DisputeExecuted").ruling == NO_RULING
    assert world.phase(number) == CLOSED
    assert world.owed(world.consumer) == DEPOSIT
    assert not world.escrow.isFrozen(5) and world.escrow.amounts(5) == 1_000
    assert world.stakes.position(DATASET, world.provider).locks == 0
    assert world.reputation.recordOf(world.provider).disputesWon == 0
    world.assert_conserved()
    # it may be tried again
    assert world.open(purchase) == number + 1


def test_a_jury_that_is_short_of_stake_is_given_back(world: World) -> None:
    disputes = world.disputes
    for juror in world.jurors[1:]:
        disputes.requestLeave(sender=juror)
    number = world.open(world.buy(world.consumer))
    # one juror can hold ten seats; nine are taken by three other disputes
    for _ in range(3):
        world.draw(world.open(world.buy(world.second), by=world.second))
    assert disputes.member(world.jurors[0]).locked == 9_000
    event = world.draw(number).event("JuryIncomplete")
    assert event.found == 1 and disputes.member(world.jurors[0]).locked == 9_000


def test_a_juror_who_leaves_serves_out_its_seats(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    number = world.open(world.buy(world.consumer))
    world.draw(number)
    jury = world.jury(number)
    juror = next(iter(jury))
    disputes.requestLeave(sender=juror)
    chain.sleep(1_000)
    with reverts("StakeLocked", juror, 1_000 * jury[juror]):
        disputes.withdrawStake(sender=juror)
    chain.sleep(200)
    disputes.tally(number)
    disputes.withdrawStake(sender=juror)
    # silent: 80 % of the seats' stake stayed here
    assert disputes.owed(TREASURY) == 800 * 3
    world.assert_conserved()


# ---------------------------------------------------------------- votes


def test_votes_are_committed_then_revealed(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    number = world.open(world.buy(world.consumer))
    with reverts("WrongPhase", number, EVIDENCE_PHASE):
        disputes.commitVote(number, SALT, sender=world.jurors[0])
    first, *others = world.draw_apart(number)
    with reverts("NotAJuror", number, world.stranger):
        disputes.commitVote(number, SALT, sender=world.stranger)
    with reverts("EmptyCommitment"):
        disputes.commitVote(number, bytes(32), sender=first)
    world.commit(number, {first: CONSUMER})
    with reverts("AlreadyVoted", number, first):
        disputes.commitVote(number, SALT, sender=first)
    with reverts("WrongPhase", number, COMMITTING):
        disputes.revealVote(number, CONSUMER, SALT, sender=first)
    with reverts("WrongPhase", number, COMMITTING):
        disputes.tally(number)
    world.commit(number, dict.fromkeys(others, CONSUMER))
    # all have committed: revealing begins at once, and lasts as long as ever
    assert world.phase(number) == REVEALING
    assert disputes.dispute(number).deadline == chain.timestamp + 100
    with reverts("WrongPhase", number, REVEALING):
        disputes.commitVote(number, SALT, sender=first)
    with reverts("InvalidVote", NO_RULING):
        disputes.revealVote(number, NO_RULING, SALT, sender=first)
    commitment = world.commitment(number, first, CONSUMER)
    with reverts("WrongReveal", number, world.commitment(number, first, PROVIDER), commitment):
        disputes.revealVote(number, PROVIDER, SALT, sender=first)
    world.reveal(number, {first: CONSUMER})
    with reverts("AlreadyVoted", number, first):
        disputes.revealVote(number, CONSUMER, SALT, sender=first)
    with reverts("PhaseNotOver", number, chain.timestamp + 100):
        disputes.tally(number)
    chain.sleep(100)
    with reverts("PhaseOver", number, chain.timestamp):
        disputes.revealVote(number, CONSUMER, SALT, sender=others[0])


def test_commitments_bind_dispute_round_and_juror(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer))
    first, second, _ = world.draw_apart(number)
    copied = world.commitment(number, first, CONSUMER)
    disputes.commitVote(number, copied, sender=first)
    disputes.commitVote(number, copied, sender=second)
    world.chain.timestamp = disputes.dispute(number).deadline
    world.reveal(number, {first: CONSUMER})
    with reverts("WrongReveal", number, world.commitment(number, second, CONSUMER), copied):
        disputes.revealVote(number, CONSUMER, SALT, sender=second)
    others = [
        disputes.commitmentFor(number + 1, 0, first, CONSUMER, SALT),
        disputes.commitmentFor(number, 1, first, CONSUMER, SALT),
    ]
    assert copied not in others


def test_a_vote_let_known_too_early_is_void_and_costs_its_juror(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer))
    talker, *others = world.draw_apart(number)
    world.commit(number, {talker: PROVIDER})
    with reverts("WrongReveal"):
        disputes.denounce(number, talker, CONSUMER, SALT, sender=world.stranger)
    with reverts("NotAJuror", number, world.stranger):
        disputes.denounce(number, world.stranger, CONSUMER, SALT, sender=world.stranger)
    event = disputes.denounce(number, talker, PROVIDER, SALT, sender=world.stranger).event("VoteDenounced")
    penalty = 800
    assert (event.penalty, event.reward) == (penalty, penalty // 2)
    assert world.owed(world.stranger) == world.owed(TREASURY) == penalty // 2
    assert disputes.member(talker).stake == 10_000 - penalty and disputes.member(talker).locked == 0
    with reverts("AlreadyVoted", number, talker):
        disputes.denounce(number, talker, PROVIDER, SALT, sender=world.stranger)
    world.commit(number, dict.fromkeys(others, CONSUMER))
    with reverts("AlreadyVoted", number, talker):
        disputes.revealVote(number, PROVIDER, SALT, sender=talker)
    with reverts("WrongPhase", number, REVEALING):
        disputes.denounce(number, others[0], CONSUMER, SALT, sender=world.stranger)
    world.reveal(number, dict.fromkeys(others, CONSUMER))
    disputes.tally(number)
    assert disputes.dispute(number).ruling == CONSUMER
    world.execute(number)
    # it is not punished a second time
    assert disputes.member(talker).stake == 10_000 - penalty
    world.assert_conserved()


def test_a_tie_or_too_few_votes_bring_another_jury_and_then_the_end(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer))
    for attempt in range(2):
        first, second, _ = world.draw_apart(number)
        receipt = world.vote(number, {first: CONSUMER, second: PROVIDER})
        assert receipt.event("RoundTallied").ruling == NO_RULING
        assert receipt.event("JurorsSettled").paid == 400
        assert world.phase(number) == (CLOSED if attempt else EVIDENCE_PHASE)
        world.assert_conserved()
    assert world.owed(world.consumer) == DEPOSIT
    assert world.disputes.disputeOf(1) == 0
    assert all(disputes.member(juror).locked == 0 for juror in world.jurors)


def test_one_vote_of_three_is_no_majority(world: World) -> None:
    number = world.open(world.buy(world.consumer))
    first, *_ = world.draw_apart(number)
    assert world.vote(number, {first: CONSUMER}).event("RoundTallied").ruling == NO_RULING
    assert world.phase(number) == EVIDENCE_PHASE
    # the one who did its duty gets what the others lost
    assert world.owed(first) == 2 * 800
    world.assert_conserved()


def test_a_silent_jury_pays_the_treasury(world: World) -> None:
    number = world.open(world.buy(world.consumer))
    for attempt in range(2):
        world.draw(number, randao=attempt)
        world.chain.timestamp = world.disputes.dispute(number).deadline
        world.disputes.tally(number)
    assert world.phase(number) == CLOSED
    assert world.owed(TREASURY) == 6 * 800 and world.owed(world.consumer) == DEPOSIT
    world.assert_conserved()


# ---------------------------------------------------------------- rulings


def test_a_ruling_is_carried_out_after_the_time_for_an_appeal(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer))
    with reverts("WrongPhase", number, EVIDENCE_PHASE):
        disputes.execute(number)
    world.decide(number, CONSUMER)
    with reverts("PhaseNotOver", number, world.chain.timestamp + 100):
        disputes.execute(number)
    world.execute(number)
    for step in (disputes.execute, disputes.tally, disputes.summon):
        with reverts("WrongPhase", number, CLOSED):
            step(number)
    with reverts("EscrowAlreadySettled", number):
        disputes.settleEscrow(number)


def test_only_the_loser_appeals_once_in_time_with_the_deposit(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    number = world.open(world.buy(world.consumer))
    deposit = disputes.appealDeposit(number)
    with reverts("WrongPhase", number, EVIDENCE_PHASE):
        disputes.appeal(number, EVIDENCE, sender=world.provider, value=deposit)
    world.decide(number, CONSUMER)
    with reverts("NotTheLoser", number, world.consumer, world.provider):
        disputes.appeal(number, EVIDENCE, sender=world.consumer, value=deposit)
    with reverts("WrongDeposit", deposit - 1, deposit):
        disputes.appeal(number, EVIDENCE, sender=world.provider, value=deposit - 1)
    mark = chain.snapshot()
    chain.sleep(100)
    with reverts("PhaseOver", number, chain.timestamp):
        disputes.appeal(number, EVIDENCE, sender=world.provider, value=deposit)
    chain.restore(mark)
    disputes.appeal(number, EVIDENCE, sender=world.provider, value=deposit)
    with reverts("WrongPhase", number, EVIDENCE_PHASE):
        disputes.concede(number, sender=world.provider)
    assert sum(seats for seats in world.decide(number, PROVIDER, randao=8).values()) == 7
    assert disputes.dispute(number).ruling == PROVIDER
    with reverts("AlreadyAppealed", number):
        disputes.appeal(number, EVIDENCE, sender=world.consumer, value=deposit)
    world.execute(number)
    world.assert_conserved()


def test_an_appeal_without_a_jury_leaves_the_ruling(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    number = world.open(world.buy(world.consumer))
    world.decide(number, CONSUMER)
    deposit = disputes.appealDeposit(number)
    disputes.appeal(number, EVIDENCE, sender=world.provider, value=deposit)
    for juror in world.jurors:
        disputes.requestLeave(sender=juror)
    chain.timestamp = disputes.dispute(number).summonEnds
    world.draw(number)
    assert world.phase(number) == DECIDED
    world.execute(number)
    assert disputes.dispute(number).ruling == CONSUMER and world.owed(world.provider) == deposit
    world.assert_conserved()


def test_a_provider_concedes_before_the_jury(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer, escrow=9))
    with reverts("NotAParty", number, world.stranger):
        disputes.concede(number, sender=world.stranger)
    event = disputes.concede(number, sender=world.provider).event("Conceded")
    # as long as evidence, votes and appeal would have taken
    assert event.executableFrom == world.chain.timestamp + 400
    with reverts("PhaseNotOver", number, event.executableFrom):
        disputes.execute(number)
    with reverts("WasConceded", number):
        disputes.appeal(number, EVIDENCE, sender=world.provider, value=disputes.appealDeposit(number))
    world.execute(number)
    assert world.owed(world.consumer) == DEPOSIT and world.escrow.amounts(9) == 0
    second = world.open(world.buy(world.second), by=world.second)
    world.draw(second)
    with reverts("WrongPhase", second, COMMITTING):
        disputes.concede(second, sender=world.provider)


def test_an_escrow_that_fails_is_settled_later(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer, escrow=2))
    world.decide(number, CONSUMER)
    world.escrow.setBroken(True)
    assert world.execute(number).event("EscrowFailed").disputeId == number
    assert not disputes.dispute(number).escrowSettled and world.escrow.amounts(2) == 1_000
    with reverts("Broken"):
        disputes.settleEscrow(number)
    with reverts("NotAParty", number, world.consumer):
        disputes.resolveEscrow(number, sender=world.consumer)
    world.escrow.setBroken(False)
    event = disputes.settleEscrow(number, sender=world.stranger).event("EscrowSettled")
    assert (event.escrowId, event.refunded) == (2, 1_000)


def test_calls_that_are_caught_cannot_be_starved_of_gas(world: World) -> None:
    disputes, chain = world.disputes, world.chain
    world.stake(100)
    number = world.open(world.buy(world.consumer, escrow=2))
    world.decide(number, CONSUMER)
    chain.timestamp = disputes.dispute(number).deadline
    for gas in range(100_000, 2_400_000, 50_000):
        try:
            disputes.call.execute(number, gas=gas)
        except Reverted:
            continue
        receipt = disputes.execute(number, gas=gas)
        break
    assert not receipt.all("EscrowFailed") and not receipt.all("ReputationFailed")
    assert world.validator_stake == VALIDATOR_STAKE - 700
    assert receipt.gas_used < 700_000


def test_a_provider_who_sold_the_listing_still_answers(world: World) -> None:
    disputes = world.disputes
    world.stake(5_000)
    number_before = world.buy(world.consumer)
    world.chain.registry.transferDataset(DATASET, world.third, sender=world.provider)
    world.stakes.stake(DATASET, sender=world.third, value=9_000)
    number = world.open(number_before)
    assert disputes.dispute(number).provider == world.provider
    world.decide(number, CONSUMER)
    world.execute(number)
    assert world.stakes.position(DATASET, world.provider).active < 5_000
    assert world.stakes.position(DATASET, world.third).active == 9_000
    world.assert_conserved()


def test_a_dispute_about_a_retired_data_set_ends_well(world: World) -> None:
    number = world.open(world.buy(world.consumer, escrow=2))
    world.chain.registry.retire(DATASET, sender=world.provider)
    world.escrow.set(2, 0)  # what refundVoid does
    world.decide(number, CONSUMER)
    world.execute(number)
    assert world.phase(number) == CLOSED and world.disputes.dispute(number).escrowSettled
    world.assert_conserved()


# ---------------------------------------------------------------- deployment


def test_parameters_are_kept_by_disputes_and_checked(world: World) -> None:
    disputes = world.disputes
    number = world.open(world.buy(world.consumer))
    disputes.setParameters(PARAMETERS | {"jurySize": 1, "bond": 5, "seatStake": 7, "minimumStake": 7})
    assert disputes.openingDeposit() == 105 and disputes.appealDeposit(number) == 20_700
    assert disputes.parameters().jurySize == 1 and disputes.parametersAt(1).jurySize == 3
    assert disputes.minimumStake() == 7
    world.decide(number, PROVIDER)
    world.execute(number)
    assert world.owed(world.provider) == 10_000
    for broken in (
        {"jurySize": 2},
        {"jurySize": 17},
        {"wrongBps": 10_001},
        {"silentBps": 10_001},
        {"seatStake": 0},
        {"minimumStake": 999},
        {"commitPeriod": 0},
        {"revealPeriod": 0},
        {"commitPeriod": 91 * 86_400},
        {"bond": 2**96},
        {"minimumSlash": 2**96},
        {"openWindow": 2**60},
    ):
        with reverts("InvalidParameters"):
            disputes.setParameters(PARAMETERS | broken)
    with reverts("AccessControlUnauthorizedAccount", world.stranger, bytes(32)):
        disputes.setParameters(PARAMETERS, sender=world.stranger)


def test_collaborators_are_named(world: World) -> None:
    chain, disputes = world.chain, world.disputes
    named = disputes.collaborators()
    assert (named.escrow, named.licenseManager) == (world.escrow.address, world.sales.address)
    good = {name: getattr(named, name) for name in ("licenseManager", "escrow", "providerStake", "reputation")}
    for name in good:
        with reverts("InvalidAddress", ZERO):
            chain.deploy("DisputeResolution", chain.admin, TREASURY, good | {name: ZERO}, PARAMETERS)


def test_both_halves_of_the_contract_see_the_same_storage() -> None:
    def layout(name: str) -> list[tuple[str, str, int]]:
        slots = load(name).output["storageLayout"]["storage"]
        return [(slot["label"], slot["slot"], slot["offset"]) for slot in slots]

    assert layout("DisputeResolution") == layout("DisputeSettlement")
