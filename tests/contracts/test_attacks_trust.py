"""Attacks on what the market trusts: votes, juries, operators, ratings, curated standards, resale."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Reverted, reverts
from tests.contracts.drawing import seal
from tests.contracts.genesis_world import COIN, DAY, FEE_BPS, NATIVE, USD, Market, make_cid, net

METRIC = keccak(b"completeness")
SALT = b"\6" * 32
CID = make_cid("document")
CONSUMER, PROVIDER = 1, 2


@pytest.fixture(scope="module")
def market() -> Market:
    """Eight jurors and five operators have staked."""
    market = Market()
    for juror in market.accounts[10:18]:
        market["DisputeResolution"].join(sender=juror, value=10 * COIN)
    for operator in market.accounts[10:15]:
        market["QualityOracle"].join(sender=operator, value=10 * COIN)
    return market


def open_dispute(market: Market, buyer: Any, purchase: int) -> int:
    disputes = market["DisputeResolution"]
    market.chain.sleep(1)
    return int(disputes.open(purchase, CID, sender=buyer, value=disputes.openingDeposit()).value)


def draw_jury(market: Market, case: int, randao: int = 1) -> list[Any]:
    """On to the draw; returns the jurors."""
    disputes, chain = market["DisputeResolution"], market.chain
    chain.timestamp = max(chain.timestamp, disputes.dispute(case).deadline)
    disputes.summon(case)
    disputes.draw(case, seal(chain, disputes.dispute(case).drawBlock, randao))
    by_address = {account.lower(): account for account in market.accounts}
    return [by_address[each] for each in disputes.rounds(case)[-1].jurors]


def convict(market: Market, case: int) -> None:
    """All jurors find for the consumer, nobody appeals."""
    disputes, chain = market["DisputeResolution"], market.chain
    jury = draw_jury(market, case)
    for juror in jury:
        disputes.commitVote(case, disputes.commitmentFor(case, 0, juror, CONSUMER, SALT), sender=juror)
    for juror in jury:
        disputes.revealVote(case, CONSUMER, SALT, sender=juror)
    disputes.tally(case)
    chain.sleep(disputes.parameters().appealPeriod)
    disputes.execute(case)


# -- votes of token holders --------------------------------------------------------------------------------------------


def test_votes_cannot_be_lent_for_a_proposal_that_has_begun(market: Market) -> None:
    """Two accounts pass the same DMG to each other: it votes once, where it was at the snapshot."""
    token, governor, (whale, other) = market["PlatformToken"], market["DataGovernor"], market.accounts[1:3]
    manager = market["LicenseManager"]
    calls = ([manager], [0], [manager.data("setPlatformFee", 1_000)], "ten per cent")
    proposal = governor.propose(*calls, sender=other).value
    market.chain.timestamp = governor.proposalSnapshot(proposal) + 1
    before = governor.proposalVotes(proposal)
    governor.castVote(proposal, 1, sender=whale)
    amount = token.balanceOf(whale)
    token.transfer(market.accounts[12], amount, sender=whale)
    token.delegate(market.accounts[12], sender=market.accounts[12])
    assert governor.castVote(proposal, 1, sender=market.accounts[12]).value == 0
    token.transfer(other, amount, sender=market.accounts[12])
    assert governor.castVote(proposal, 1, sender=other).value == amount  # his own alone
    assert governor.proposalVotes(proposal)[1] - before[1] == 2 * amount


def test_a_copied_proposal_can_be_kept_from_thieves(market: Market) -> None:
    """Who proposes first owns a proposal and may cancel it: `#proposer=` keeps others from being first."""
    governor, (honest, thief) = market["DataGovernor"], market.accounts[1:3]
    manager = market["LicenseManager"]
    calls = ([manager], [0], [manager.data("setPlatformFee", 100)])
    open_text, kept_text = "one per cent", f"one per cent #proposer={honest}"
    stolen = governor.propose(*calls, open_text, sender=thief).value
    with reverts("GovernorUnexpectedProposalState", proposalId=stolen):
        governor.propose(*calls, open_text, sender=honest)
    with reverts("GovernorRestrictedProposer", thief):
        governor.propose(*calls, kept_text, sender=thief)
    kept = governor.propose(*calls, kept_text, sender=honest).value
    with reverts("GovernorUnableToCancel", kept, thief):
        governor["cancel(uint256)"](kept, sender=thief)


def test_the_treasury_moves_by_proposal_alone(market: Market) -> None:
    token, thief = market["PlatformToken"], market.accounts[5]
    treasury = token.balanceOf(market.timelock)
    assert treasury == token.totalSupply() // 2
    with reverts("ERC20InsufficientAllowance"):
        token.transferFrom(market.timelock, thief, 1, sender=thief)
    timelock = market["Timelock"]
    data = token.data("transfer", thief, treasury)
    with reverts("AccessControlUnauthorizedAccount", account=thief):
        timelock.schedule(token, 0, data, bytes(32), bytes(32), 0, sender=thief)
    with reverts("TimelockUnexpectedOperationState"):
        timelock.execute(token, 0, data, bytes(32), bytes(32), sender=thief)
    with reverts("GovernorOnlyExecutor", thief):
        market["DataGovernor"].relay(token, 0, data, sender=thief)


# -- juries ------------------------------------------------------------------------------------------------------------


def test_a_juror_cannot_copy_anothers_vote_or_show_it_early(market: Market) -> None:
    seller, buyer = market.accounts[1:3]
    _, (offer,) = market.publish(seller, market.offer(100 * USD))
    disputes = market["DisputeResolution"]
    case = open_dispute(market, buyer, market.buy(buyer, offer))
    jury = next(jury for randao in range(50) if len(jury := _try_jury(market, case, randao)) == 3)
    first, copier, third = jury
    commitment = disputes.commitmentFor(case, 0, first, CONSUMER, SALT)
    disputes.commitVote(case, commitment, sender=first)
    disputes.commitVote(case, commitment, sender=copier)
    with reverts("WrongPhase", disputeId=case):
        disputes.revealVote(case, CONSUMER, SALT, sender=first)
    with reverts("AlreadyVoted", case, first):
        disputes.commitVote(case, b"\1" * 32, sender=first)
    disputes.commitVote(case, disputes.commitmentFor(case, 0, third, PROVIDER, SALT), sender=third)
    with reverts("WrongReveal"):
        disputes.revealVote(case, CONSUMER, SALT, sender=copier)
    disputes.revealVote(case, CONSUMER, SALT, sender=first)
    with reverts("AlreadyVoted", case, first):
        disputes.revealVote(case, CONSUMER, SALT, sender=first)


def test_a_juror_who_tells_its_vote_pays_whom_it_told(market: Market) -> None:
    seller, buyer, briber = market.accounts[1:4]
    _, (offer,) = market.publish(seller, market.offer(100 * USD))
    disputes = market["DisputeResolution"]
    case = open_dispute(market, buyer, market.buy(buyer, offer))
    juror = draw_jury(market, case)[0]
    disputes.commitVote(case, disputes.commitmentFor(case, 0, juror, PROVIDER, SALT), sender=juror)
    stake = disputes.member(juror).stake
    done = disputes.denounce(case, juror, PROVIDER, SALT, sender=briber).event("VoteDenounced")
    assert done.penalty > 0
    assert disputes.member(juror).stake == stake - done.penalty
    assert disputes.owed(briber) == done.reward == done.penalty // 2
    with pytest.raises(Reverted):
        disputes.revealVote(case, PROVIDER, SALT, sender=juror)
    market.check_books()


def _try_jury(market: Market, case: int, randao: int) -> list[Any]:
    """Draw with this prevRandao; put back unless three different jurors sit."""
    mark = market.chain.snapshot()
    jury = draw_jury(market, case, randao)
    if len(jury) < 3:
        market.chain.restore(mark)
    return jury


def test_a_draw_cannot_be_tried_until_it_pleases(market: Market) -> None:
    """The block that decides is fixed: whoever draws, whenever, with whatever header, gets the same jury or none."""
    seller, buyer = market.accounts[1:3]
    _, (offer,) = market.publish(seller, market.offer(100 * USD))
    disputes, chain = market["DisputeResolution"], market.chain
    case = open_dispute(market, buyer, market.buy(buyer, offer))
    chain.timestamp = disputes.dispute(case).deadline
    disputes.summon(case)
    decisive = disputes.dispute(case).drawBlock
    with pytest.raises(Reverted):  # not yet
        disputes.draw(case, b"")
    header = seal(chain, decisive, 7)
    for forged in (seal_other(7), seal_other(8), header[:-1], b""):
        with reverts("WrongHeader"):
            disputes.draw(case, forged)
    juries = []
    for sender, wait in ((seller, 0), (buyer, 0), (market.accounts[9], 50)):
        mark = chain.snapshot()
        chain.block_number += wait
        disputes.draw(case, header, sender=sender)
        juries.append(disputes.rounds(case)[0].jurors)
        chain.restore(mark)
    assert juries[0] == juries[1] == juries[2]


def seal_other(randao: int) -> bytes:
    """A header that is not the chain's."""
    from dmchain.chain.primitives.codec import encode

    fields = [b"\1"] * 21
    fields[13] = randao.to_bytes(32, "big")
    return encode(fields)


def test_a_pot_is_never_paid_out_twice_or_beyond_what_was_slashed(market: Market) -> None:
    seller, buyer, *others = market.accounts[1:6]
    dataset, (offer,) = market.publish(seller, market.offer(COIN, token=NATIVE))
    disputes, stake = market["DisputeResolution"], market["ProviderStake"]
    stake.stake(dataset, sender=seller, value=2 * COIN)
    purchases = [market.buy(each, offer) for each in (buyer, *others)]
    case = open_dispute(market, buyer, purchases[0])
    convict(market, case)
    slashed = 2 * COIN - stake.position(dataset, seller).active
    pot = disputes.dispute(case).pot
    assert pot <= slashed <= 2 * COIN
    paid = 0
    for each in (buyer, *others):
        paid += disputes.claim(case, each).value
        with reverts("AlreadyClaimed", case, each):
            disputes.claim(case, each)
    with reverts("NothingToClaim", case, seller):
        disputes.claim(case, seller)
    assert pot - len(purchases) < paid <= pot
    # a second conviction does not pay for the same purchases again
    again = open_dispute(market, others[0], purchases[1])
    convict(market, again)
    with pytest.raises(Reverted):
        disputes.claim(again, buyer)
    market.check_books()


def test_wash_trading_gains_at_most_the_share_of_the_pot_that_its_fees_bought(market: Market) -> None:
    """A known limit, see docs/market/security.md: who buys from himself shares a pot that is too small for all."""
    seller, honest, sybil = market.accounts[1:4]
    dataset, (offer, wash) = market.publish(
        seller, market.offer(COIN, token=NATIVE), market.offer(9 * COIN, token=NATIVE)
    )
    market["ProviderStake"].stake(dataset, sender=seller, value=5 * COIN)
    purchase = market.buy(honest, offer)
    market.buy(sybil, wash)
    case = open_dispute(market, honest, purchase)
    convict(market, case)
    disputes = market["DisputeResolution"]
    pot = disputes.dispute(case).pot
    assert disputes.claimable(case, honest) == pot // 10
    assert disputes.claimable(case, sybil) == pot * 9 // 10
    assert market["LicenseManager"].owed(NATIVE, market.timelock) == 10 * COIN * FEE_BPS // 10_000


def test_a_dispute_without_a_loss_and_one_by_a_stranger_are_not_opened(market: Market) -> None:
    seller, buyer, stranger = market.accounts[1:4]
    dataset, (offer,) = market.publish(seller, market.offer(100 * USD))
    disputes = market["DisputeResolution"]
    purchase, deposit = market.buy(buyer, offer), disputes.openingDeposit()
    with reverts("NotAParty", purchase, stranger):
        disputes.open(purchase, CID, sender=stranger, value=deposit)
    with reverts("WrongDeposit", deposit - 1, deposit):
        disputes.open(purchase, CID, sender=buyer, value=deposit - 1)
    given = market["LicenseManager"].gift(dataset, stranger, 1, 0, 0, bytes(32), sender=seller).value
    with reverts("NothingPaid", given):
        disputes.open(given, CID, sender=stranger, value=deposit)
    disputes.open(purchase, CID, sender=buyer, value=deposit)
    with pytest.raises(Reverted):
        disputes.open(purchase, CID, sender=buyer, value=deposit)


# -- operators and ratings ---------------------------------------------------------------------------------------------


def test_a_score_from_before_the_purchase_releases_nothing(market: Market) -> None:
    """The seller has a good score, sells worse data under it, and points at the old score."""
    seller, buyer = market.accounts[1:3]
    terms = market.offer(100 * USD, escrowPeriod=DAY, metric=METRIC, minScore=8_000)
    dataset, (offer,) = market.publish(seller, terms)
    _measure(market, dataset, 9_500)
    market.chain.sleep(1)
    market.buy(buyer, offer)
    escrow = market["EscrowPayment"]
    number = escrow.escrowCount()
    with reverts("ScoreMissing", escrowId=number):
        escrow.settleByOracle(number)
    market.chain.sleep(2 * DAY)
    with reverts("ConditionOpen", escrowId=number):
        escrow.release(number, sender=seller)
    escrow.refundUnanswered(number, sender=buyer)
    assert escrow.owed(market.usd, buyer) == 100 * USD


def _measure(market: Market, dataset: bytes, score: int) -> None:
    oracle, asker = market["QualityOracle"], market.accounts[9]
    job = {"metric": METRIC, "job": "completeness", "jobCid": b""}
    fee = oracle.parameters().minimumFee
    request = oracle.requestQualityCheck(int.from_bytes(dataset, "big"), job, sender=asker, value=fee).value
    oracle.drawPanel(request, seal(market.chain, oracle.request(request).drawBlock, 1))
    for operator in market.accounts[10:15]:
        commitment = oracle.commitmentFor(request, operator, score, SALT)
        oracle.commitAnswer(request, commitment, sender=operator)
    for operator in market.accounts[10:15]:
        oracle.revealAnswer(request, score, SALT, sender=operator)
    oracle.fulfillQualityCheck(request)


def test_operators_cannot_copy_an_answer_or_leave_while_they_answer(market: Market) -> None:
    oracle, seller = market["QualityOracle"], market.accounts[1]
    dataset, _ = market.publish(seller)
    job = {"metric": METRIC, "job": "completeness", "jobCid": b""}
    fee = oracle.parameters().minimumFee
    token = int.from_bytes(dataset, "big")
    request = oracle.requestQualityCheck(token, job, sender=market.accounts[9], value=fee).value
    oracle.drawPanel(request, seal(market.chain, oracle.request(request).drawBlock, 1))
    honest, copier = market.accounts[10:12]
    commitment = oracle.commitmentFor(request, honest, 9_000, SALT)
    for operator in (honest, copier):
        oracle.commitAnswer(request, commitment, sender=operator)
    oracle.requestLeave(sender=copier)
    market.chain.sleep(oracle.parameters().commitPeriod)
    with reverts("WrongReveal"):
        oracle.revealAnswer(request, 9_000, SALT, sender=copier)
    market.chain.sleep(oracle.parameters().leaveDelay)
    with reverts("StakeLocked", account=copier):
        oracle.withdrawStake(sender=copier)


def test_a_seller_cannot_rate_itself_nor_a_stranger_anybody(market: Market) -> None:
    seller, buyer, stranger = market.accounts[1:4]
    dataset, (offer, free) = market.publish(seller, market.offer(100 * USD), market.offer(0))
    market.buy(seller, offer)
    market.buy(stranger, free)
    market.chain.sleep(1)
    reputation = market["Reputation"]
    with reverts("OwnDataset", dataset, seller):
        reputation.rate(dataset, 5, CID, sender=seller)
    with reverts("NotAPayingLicensee", dataset, stranger):
        reputation.rate(dataset, 1, CID, sender=stranger)
    market["DataListing"].transferFrom(seller, buyer, int.from_bytes(dataset, "big"), sender=seller)
    with reverts("OwnDataset", dataset, seller):  # sold meanwhile: it was its own when it sold
        reputation.rate(dataset, 5, CID, sender=seller)


# -- resale ------------------------------------------------------------------------------------------------------------


def test_a_restricted_token_moves_through_the_book_alone(market: Market) -> None:
    seller, holder, friend = market.accounts[1:4]
    tokens = market["Datatoken"]
    dataset, (offer,) = market.publish(seller, market.offer(100 * USD))
    made = tokens.issue(dataset, offer, 10, 1_000, True, sender=seller).value
    market.usd.approve(tokens, 10**12, sender=holder)
    order = tokens.sell(made, 2, market.usd, 50 * USD, sender=seller).value
    tokens.buy(order, 2, 100 * USD, sender=holder)
    tokens.setApprovalForAll(friend, True, sender=holder)
    for sender in (holder, friend):
        with reverts("TransfersRestricted", made):
            tokens.safeTransferFrom(holder, friend, made, 1, b"", sender=sender)
    with reverts("NotSeller"):
        tokens.cancelSale(order, sender=holder)
    with reverts("PriceTooHigh"):
        tokens.buy(tokens.sell(made, 1, market.usd, 60 * USD, sender=holder).value, 1, 59 * USD, sender=friend)


def test_a_resale_pays_the_royalty_to_the_unit(market: Market) -> None:
    seller, holder, buyer = market.accounts[1:4]
    tokens, manager = market["Datatoken"], market["LicenseManager"]
    dataset, (offer,) = market.publish(seller, market.offer(100 * USD))
    made = tokens.issue(dataset, offer, 10, 777, True, sender=seller).value
    for who in (holder, buyer):
        market.usd.approve(tokens, 10**12, sender=who)
    tokens.buy(tokens.sell(made, 1, market.usd, 50 * USD, sender=seller).value, 1, 50 * USD, sender=holder)
    people = (seller, holder, market.timelock)
    before = [manager.owed(market.usd, who) for who in people]
    price = 61_234_567
    tokens.buy(tokens.sell(made, 1, market.usd, price, sender=holder).value, 1, price, sender=buyer)
    gains = [manager.owed(market.usd, who) - old for who, old in zip(people, before, strict=True)]
    royalty = price * 777 // 10_000
    assert gains == [royalty, net(price) - royalty, price - net(price)]
    tokens.redeem(made, 1, sender=buyer)
    assert market.has_license(dataset, buyer)
    with pytest.raises(Reverted):
        tokens.redeem(made, 1, sender=buyer)
    market.check_books()
