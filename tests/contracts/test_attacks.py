"""What dishonest users would try on the market as genesis deploys it: each test is an attempt, and what becomes of it.

Roles, front-running, sellers, rounding and dust; hostile tokens and contracts are in test_attacks_tokens.py, attacks on
votes, juries and scores in test_attacks_trust.py.
"""

from __future__ import annotations

import pytest

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Reverted, reverts
from tests.contracts.genesis_world import (
    COIN,
    DAY,
    FEE_BPS,
    NATIVE,
    ONE_TIME,
    PAY_PER_COMPUTE,
    SUBSCRIPTION,
    USD,
    Market,
    net,
)
from tests.contracts.signing import permit_digest


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


# -- roles -------------------------------------------------------------------------------------------------------------


def test_functions_of_modules_and_governance_are_closed_to_others(market: Market) -> None:
    manager, escrow, nft = market["LicenseManager"], market["EscrowPayment"], market["LicenseNFT"]
    me, dataset = market.accounts[5], bytes(32)
    unauthorized = [
        lambda: manager.purchaseFor(market.accounts[2], 1, me, 1, 2**256 - 1, sender=me),
        lambda: manager.distribute(1, me, NATIVE, 0, sender=me),
        lambda: manager.distributeResale(1, me, NATIVE, 0, 0, me, sender=me),
        lambda: manager.grantFor(1, me, me, 0, 0, sender=me),
        lambda: manager.endFor(dataset, me, bytes(32), sender=me),
        lambda: manager.reserveFor(dataset, me, 1, sender=me),
        lambda: manager.unreserveFor(1, 1, sender=me),
        lambda: manager.consumeFor(1, 1, sender=me),
        lambda: manager.onRefund(1, 1, True, sender=me),
        lambda: manager.setPlatformFee(0, sender=me),
        lambda: manager.setTreasury(me, sender=me),
        lambda: manager.setReferenceRate(market.usd, 1, sender=me),
        lambda: manager.grantRole(manager.MODULE_ROLE(), me, sender=me),
        lambda: escrow.setDisputeResolution(me, sender=me),
        lambda: market["DataListing"].setSuspended(dataset, True, sender=me),
        lambda: market["ProviderStake"].slash(dataset, me, 1, me, sender=me),
        lambda: market["ProviderStake"].lock(dataset, me, sender=me),
        lambda: market["Reputation"].recordSale(me, dataset, 1, sender=me),
        lambda: market["Reputation"].recordDispute(me, dataset, False, sender=me),
        lambda: market["QualityOracle"].setTreasury(me, sender=me),
        lambda: market["DisputeResolution"].setTreasury(me, sender=me),
    ]
    for attempt in unauthorized:
        with reverts("AccessControlUnauthorizedAccount", account=me):
            attempt()
    with reverts("NotLicenseManager"):
        escrow.releasePart(1, 1, sender=me)
    with reverts("NotLicenseManager"):
        escrow.refundPart(1, 1, sender=me)
    with reverts("NotDisputeResolution"):
        escrow.freeze(1, sender=me)
    with reverts("NotDisputeResolution"):
        escrow.resolve(1, 0, sender=me)
    with reverts("NotMinter"):
        nft.mint(me, dataset, 1, sender=me)


def test_nobody_but_the_timelock_has_a_role(market: Market) -> None:
    """Whoever deployed the market in genesis kept nothing."""
    for name in ("LicenseManager", "DataListing", "EscrowPayment", "ProviderStake", "Reputation", "CurationRegistry"):
        contract = market[name]
        assert contract.hasRole(bytes(32), market.timelock), name
        for account in market.accounts:
            assert not contract.hasRole(bytes(32), account), name


def test_the_halves_of_a_contract_do_nothing_when_called_directly(market: Market) -> None:
    """LicenseManager's implementation, called without its proxy, knows no offer and no admin."""
    chain, me = market.chain, market.accounts[5]
    slot = int.from_bytes(keccak(b"eip1967.proxy.implementation"), "big") - 1
    manager = market["LicenseManager"]
    naked = manager.at(chain.storage(manager, slot).to_bytes(20, "big"))
    assert naked.treasury() == NATIVE
    with reverts("UnknownOffer", 1):
        naked.purchase(1, me, 1, 1, sender=me)
    with reverts("AccessControlUnauthorizedAccount", account=me):
        naked.setPlatformFee(0, sender=me)


# -- front-running -----------------------------------------------------------------------------------------------------


def test_a_price_cannot_be_raised_under_a_buyer(market: Market) -> None:
    """The seller closes the offer and makes a dearer one: the buyer's transaction fails and costs nothing."""
    seller, buyer = market.accounts[1:3]
    manager = market["LicenseManager"]
    dataset, (offer,) = market.publish(seller, market.offer(100 * USD))
    market.usd.approve(manager, 10**12, sender=buyer)
    manager.closeOffer(offer, sender=seller)
    dearer = manager.createOffer(dataset, market.offer(900 * USD), sender=seller).value
    for access in (
        lambda: manager.purchase(offer, buyer, 1, 100 * USD, sender=buyer),
        lambda: market["DataListing"].purchaseAccess(int.from_bytes(dataset, "big"), offer, sender=buyer),
    ):
        with reverts("OfferIsClosed", offer):
            access()
    with reverts("PriceTooHigh", 900 * USD, 100 * USD):
        manager.purchase(dearer, buyer, 1, 100 * USD, sender=buyer)


def test_a_permit_that_somebody_used_before_its_owner_does_no_harm(market: Market) -> None:
    seller, buyer, thief = market.accounts[1:4]
    manager = market["LicenseManager"]
    dataset, (offer,) = market.publish(seller, market.offer(100 * USD))
    deadline = market.chain.timestamp + 60
    signature = buyer.sign(permit_digest(market.usd, buyer, manager, 100 * USD, deadline))
    market.usd.permit(buyer, manager, 100 * USD, deadline, *signature, sender=thief)
    with reverts("ERC20InsufficientAllowance"):  # the allowance is the manager's, for who gave it
        manager.purchase(offer, thief, 1, 100 * USD, sender=market.accounts[12])
    manager.purchaseWithPermit(offer, buyer, 1, 100 * USD, deadline, *signature, sender=buyer)
    assert market.has_license(dataset, buyer)


def test_a_commitment_seen_in_the_pool_is_of_no_use_to_others(market: Market) -> None:
    """Who copies the transaction that opens a commitment finds that it was made for another publisher."""
    listing, (publisher, thief) = market["DataListing"], market.accounts[1:3]
    cid, salt = b"\x01\x55\x12\x20" + keccak(b"secret")[:32], b"\5" * 32
    market.chain.registry.commitCid(listing.commitmentFor(cid, publisher, salt), sender=publisher)
    content = {"cid": cid, "metadataCid": b"", "parents": [], "sizeBytes": 1}
    terms = {"spdx": "MIT", "format": "", "resaleRoyaltyBps": 0, "lineageRoyaltyBps": 0, "availableUntil": 0}
    terms["onRetirement"] = 0
    with reverts("UnknownCommitment"):
        listing.publishCommitted(content, "ipfs://x", terms, [], salt, sender=thief)
    # he registers the plain content first: the commitment, which is older, takes it back, and his buyers are refunded
    stolen = listing.publish(content, "ipfs://x", terms, [market.offer(100 * USD, escrowPeriod=DAY)], sender=thief)
    buyer = market.accounts[3]
    market.buy(buyer, stolen.event("OfferCreated").offerId)
    listing.publishCommitted(content, "ipfs://x", terms, [], salt, sender=publisher)
    assert (
        market.chain.registry.ownerOf(keccak(cid)) == publisher == listing.ownerOf(int.from_bytes(keccak(cid), "big"))
    )
    escrow = market["EscrowPayment"]
    escrow.refundVoid(escrow.escrowCount())
    assert escrow.owed(market.usd, buyer) == 100 * USD
    market.check_books()


# -- sellers -----------------------------------------------------------------------------------------------------------


def test_a_seller_who_takes_a_licence_back_does_not_keep_what_is_unearned(market: Market) -> None:
    """It delists, makes itself controller and revokes: unbegun periods and unused units go back to who paid."""
    seller, buyer, other = market.accounts[1:4]
    manager, escrow = market["LicenseManager"], market["EscrowPayment"]
    dataset, (monthly, units) = market.publish(
        seller, market.offer(10 * USD, SUBSCRIPTION), market.offer(USD, PAY_PER_COMPUTE)
    )
    subscription = market.buy(buyer, monthly, 6)
    prepaid = market.buy(other, units, 100)
    market["DataListing"].delist(int.from_bytes(dataset, "big"), sender=seller)
    market.chain.sleep(1)
    market.chain.registry.setController(dataset, seller, sender=seller)
    for each in (buyer, other):
        market.chain.ledger.revoke(dataset, each, bytes(32), sender=seller)
    market.chain.sleep(365 * DAY)
    with reverts("TermBroken", subscription):
        manager.collect(subscription, sender=seller)
    manager.cancel(subscription, sender=market.accounts[9])
    manager.refundUnits(prepaid, sender=market.accounts[9])
    assert escrow.owed(market.usd, buyer) == 50 * USD
    assert escrow.owed(market.usd, other) == 100 * USD
    assert manager.owed(market.usd, seller) == net(10 * USD)
    market.check_books()


def test_a_seller_who_takes_a_streamed_licence_back_is_not_paid_on(market: Market) -> None:
    """It revokes after a day, and lets the stream flow for the rest of the month."""
    seller, payer = market.accounts[1:3]
    streams, manager = market["PaymentStream"], market["LicenseManager"]
    dataset, (offer,) = market.publish(seller, market.offer(30 * USD, SUBSCRIPTION))
    market.usd.approve(streams, 10**12, sender=payer)
    stream = streams.start(offer, payer, 30 * USD, sender=payer).value
    market.chain.sleep(DAY)
    streams.withdraw(stream, sender=seller)
    market["DataListing"].delist(int.from_bytes(dataset, "big"), sender=seller)
    market.chain.registry.setController(dataset, seller, sender=seller)
    market.chain.ledger.revoke(dataset, payer, bytes(32), sender=seller)
    market.chain.sleep(28 * DAY)
    with pytest.raises(Reverted):
        streams.withdraw(stream, sender=seller)
    streams.stopVoid(stream, sender=market.accounts[9])
    assert (streams.owed(market.usd, payer), manager.owed(market.usd, seller)) == (29 * USD, net(USD))
    market.check_books()


@pytest.mark.parametrize("kind", [ONE_TIME, SUBSCRIPTION])
def test_a_seller_who_takes_an_escrowed_licence_back_is_not_paid_for_silence(market: Market, kind: int) -> None:
    """The buyer does not look; nor does it help the seller to end the broken term first."""
    seller, buyer, anybody = market.accounts[1:4]
    escrow, manager = market["EscrowPayment"], market["LicenseManager"]
    dataset, (offer,) = market.publish(seller, market.offer(30 * USD, kind, escrowPeriod=5 * DAY))
    purchase = market.buy(buyer, offer, 1 if kind == ONE_TIME else 2)
    market.chain.sleep(10)
    market["DataListing"].delist(int.from_bytes(dataset, "big"), sender=seller)
    market.chain.registry.setController(dataset, seller, sender=seller)
    market.chain.ledger.revoke(dataset, buyer, bytes(32), sender=seller)
    market.chain.sleep(6 * DAY)
    if kind == SUBSCRIPTION:
        manager.cancel(purchase, sender=seller)  # gives back the period that has not begun
    number = manager.purchaseOf(purchase).escrowId
    with pytest.raises(Reverted):
        escrow.release(number, sender=seller)
    escrow.refundVoid(number, sender=anybody)
    assert escrow.owed(market.usd, buyer) == 30 * USD * (1 if kind == ONE_TIME else 2)
    assert manager.owed(market.usd, seller) == 0
    market.check_books()


def test_a_licensee_who_gives_a_streamed_licence_up_does_not_take_the_flow_back(market: Market) -> None:
    seller, payer = market.accounts[1:3]
    streams = market["PaymentStream"]
    dataset, (offer,) = market.publish(seller, market.offer(30 * USD, SUBSCRIPTION))
    market.usd.approve(streams, 10**12, sender=payer)
    stream = streams.start(offer, payer, 30 * USD, sender=payer).value
    market.chain.sleep(10 * DAY)
    market["LicenseManager"].renounce(dataset, sender=payer)
    with pytest.raises(Reverted):
        streams.stopVoid(stream, sender=payer)
    streams.cancel(stream, sender=payer)
    streams.withdraw(stream, sender=seller)
    assert streams.owed(market.usd, payer) == 20 * USD
    assert market["LicenseManager"].owed(market.usd, seller) == net(10 * USD)
    market.check_books()


def test_a_seller_who_retires_the_data_set_does_not_get_what_is_in_escrow(market: Market) -> None:
    seller, buyer, other = market.accounts[1:4]
    escrow = market["EscrowPayment"]
    dataset, (once, monthly) = market.publish(
        seller, market.offer(100 * USD, escrowPeriod=DAY), market.offer(10 * USD, SUBSCRIPTION)
    )
    market.buy(buyer, once)
    market.buy(other, monthly, 6)
    market.chain.registry.retire(dataset, sender=seller)
    market.chain.sleep(2 * DAY)
    with reverts("DatasetVoid", dataset):
        escrow.release(1)
    for number in range(1, escrow.escrowCount() + 1):
        escrow.refundVoid(number)
    assert (escrow.owed(market.usd, buyer), escrow.owed(market.usd, other)) == (100 * USD, 50 * USD)
    market.check_books()


def test_a_listing_sold_does_not_take_the_buyers_of_the_seller_along(market: Market) -> None:
    """A dispute is with who sold, not with who owns the listing now."""
    seller, buyer, new_owner = market.accounts[1:4]
    dataset, (offer,) = market.publish(seller, market.offer(100 * USD))
    stake, disputes = market["ProviderStake"], market["DisputeResolution"]
    stake.stake(dataset, sender=seller, value=10 * COIN)
    purchase = market.buy(buyer, offer)
    market["DataListing"].transferFrom(seller, new_owner, int.from_bytes(dataset, "big"), sender=seller)
    deposit = disputes.openingDeposit()
    opened = disputes.open(purchase, b"\1\x55\x12\x20" + bytes(32), sender=buyer, value=deposit).value
    assert disputes.dispute(opened).provider == seller
    stake.requestUnstake(dataset, 10 * COIN, sender=seller)
    market.chain.sleep(365 * DAY)
    with reverts("LockedByDispute"):
        stake.withdraw(dataset, sender=seller)


def test_a_seller_cannot_leave_with_its_stake_while_a_dispute_can_be_opened(market: Market) -> None:
    window = market["DisputeResolution"].parameters().openWindow
    assert window <= market["ProviderStake"].unstakeDelay()


# -- rounding, dust, growth --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("price", [1, 3, 39, 40, 41, 9_999, 10_001])
def test_rounding_makes_and_loses_nothing(market: Market, price: int) -> None:
    """Dust goes to the seller; fee, royalties and the rest are the price, to the unit."""
    manager = market["LicenseManager"]
    owners = market.accounts[1:4]
    grandparent, _ = market.publish(owners[0], lineageRoyaltyBps=1_999)
    parent, _ = market.publish(owners[1], parents=(grandparent,), lineageRoyaltyBps=777)
    _, (offer,) = market.publish(owners[2], market.offer(price), parents=(parent,))
    before = [manager.owed(market.usd, who) for who in (*owners, market.timelock)]
    market.buy(market.accounts[5], offer)
    after = [manager.owed(market.usd, who) for who in (*owners, market.timelock)]
    gains = [new - old for new, old in zip(after, before, strict=True)]
    assert sum(gains) == price
    fee = price * FEE_BPS // 10_000
    assert gains[3] == fee
    assert gains[1] == (price - fee) * 777 // 10_000
    assert gains[0] == (price - fee) * (777 * 1_999 // 10_000) // 10_000
    market.check_books()


def test_a_stream_cut_into_seconds_pays_as_one_withdrawal(market: Market) -> None:
    payer, recipient = market.accounts[1:3]
    streams = market["PaymentStream"]
    market.usd.approve(streams, 10**9, sender=payer)
    ids = [streams.startPlain(recipient, market.usd, 10, 7, 1_000, sender=payer).value for _ in range(2)]
    begin = market.usd.balanceOf(recipient)
    for _ in range(50):
        market.chain.sleep(1)
        try:
            streams.withdraw(ids[0])
        except Reverted as error:
            assert error.name == "NothingToWithdraw"
    in_parts = market.usd.balanceOf(recipient) - begin
    streams.withdraw(ids[1])
    assert in_parts == market.usd.balanceOf(recipient) - begin - in_parts == 50 * 10 // 7
    market.check_books()


def test_the_longest_lineage_can_be_offered_and_bought(market: Market) -> None:
    """Sixteen parents with sixteen parents each, all asking for royalties: sixteen are paid, and a block holds it."""
    owners = market.accounts[1:17]
    manager, seller, buyer = market["LicenseManager"], market.accounts[17], market.accounts[2]
    oldest = tuple([market.publish(owner, lineageRoyaltyBps=2_000)[0] for owner in owners])
    parents = tuple([market.publish(owner, parents=oldest, lineageRoyaltyBps=300)[0] for owner in owners])
    dataset, _ = market.publish(seller, parents=parents)
    made = manager.createOffer(dataset, market.offer(100 * USD), sender=seller)
    assert len(manager.royaltiesOf(made.value)) == 16
    market.usd.approve(manager, 100 * USD, sender=buyer)
    bought = manager.purchase(made.value, buyer, 1, 100 * USD, sender=buyer)
    assert made.gas_used < 6_000_000 and bought.gas_used < 2_000_000
    market.check_books()


def test_gifts_of_strangers_do_not_make_an_account_dearer_to_serve(market: Market) -> None:
    """Two hundred licences somebody else paid for: the next purchase costs what the first cost."""
    seller, spammer, victim = market.accounts[1:4]
    offers = [market.publish(seller, market.offer(1))[1][0] for _ in range(30)]
    manager = market["LicenseManager"]
    market.usd.approve(manager, 10**9, sender=spammer)
    costs = [manager.purchase(each, victim, 1, 1, sender=spammer).gas_used for each in offers]
    assert max(costs[2:]) - min(costs[2:]) < 5_000
    assert len(manager.purchasesOf(victim, 0, 1_000)) == 30


def test_a_licence_somebody_gave_does_not_lock_the_licensee_in(market: Market) -> None:
    """Given the cheapest licence to be in the way of a better one: he gives it up and buys."""
    seller, griefer, victim = market.accounts[1:4]
    dataset, (cheap, good) = market.publish(seller, market.offer(1), market.offer(100 * USD, SUBSCRIPTION))
    market.buy(griefer, cheap, licensee=victim)
    with reverts("LicenseHeld", datasetId=dataset, licensee=victim):
        market.buy(victim, good)
    market["LicenseManager"].renounce(dataset, sender=victim)
    market.buy(victim, good)
    assert market.has_license(dataset, victim)


@pytest.mark.parametrize("way", ["bought", "bought by another", "given", "streamed", "redeemed"])
@pytest.mark.parametrize("kind", [ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE])
def test_every_licence_can_be_given_up(market: Market, kind: int, way: str) -> None:
    """Whatever way an account came by it: a licence that is in the way of a better one must not be for ever."""
    seller, other, licensee = market.accounts[1:4]
    dataset, (offer, better) = market.publish(seller, market.offer(10 * USD, kind), market.offer(100 * USD))
    streams, tokens = market["PaymentStream"], market["Datatoken"]
    match way:
        case "bought":
            market.buy(licensee, offer)
        case "bought by another":
            market.buy(other, offer, licensee=licensee)
        case "given":
            end, units = (
                (market.chain.timestamp + DAY, 0) if kind == SUBSCRIPTION else (0, int(kind == PAY_PER_COMPUTE))
            )
            market["LicenseManager"].gift(dataset, licensee, kind, end, units, bytes(32), sender=seller)
        case "streamed":
            if kind != SUBSCRIPTION:
                pytest.skip("subscriptions alone are streamed")
            market.usd.approve(streams, 10 * USD, sender=other)
            streams.start(offer, licensee, 10 * USD, sender=other)
        case "redeemed":
            made = tokens.issue(dataset, offer, 1, 0, False, sender=seller).value
            tokens.safeTransferFrom(seller, licensee, made, 1, b"", sender=seller)
            tokens.redeem(made, 1, sender=licensee)
    assert market.has_license(dataset, licensee)
    market.chain.sleep(1)
    market["LicenseManager"].renounce(dataset, sender=licensee)
    assert not market.has_license(dataset, licensee)
    market.buy(licensee, better)
    assert market.has_license(dataset, licensee)
    market.check_books()


@pytest.mark.parametrize("kind", [ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE])
def test_a_licence_cannot_be_had_for_nothing(market: Market, kind: int) -> None:
    seller, thief = market.accounts[1], market.accounts[12]
    manager = market["LicenseManager"]
    dataset, (offer, native) = market.publish(
        seller, market.offer(100 * USD, kind), market.offer(COIN, kind, token=NATIVE)
    )
    with reverts("ERC20InsufficientAllowance"):
        manager.purchase(offer, thief, 1, 2**255, sender=thief)
    for value in (0, COIN - 1, COIN + 1):
        with reverts("UnexpectedAmount", NATIVE, COIN, value):
            manager.purchase(native, thief, 1, 2**255, sender=thief, value=value)
    for quantity in (0, 2**64 - 1):
        with pytest.raises(Reverted):
            manager.purchase(offer, thief, quantity, 2**255, sender=thief)
    with reverts("NotDatasetOwner", dataset, thief, seller):
        manager.gift(dataset, thief, 1, 0, 0, bytes(32), sender=thief)
    with pytest.raises(Reverted):
        market.chain.ledger.grant(dataset, thief, 1, 0, 0, bytes(32), sender=thief)
    with pytest.raises(Reverted):  # the owner too sells by the contract alone
        market.chain.ledger.grant(dataset, thief, 1, 0, 0, bytes(32), sender=seller)
    assert not market.has_license(dataset, thief)
    assert market["EscrowPayment"].held(NATIVE) == manager.held(NATIVE) == 0
