"""Governance through JSON-RPC: a fee changes by proposal, vote and timelock; the LicenseManager gets a new pricing model."""

from __future__ import annotations

from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from dmchain.market import Action, Market, errors, one_time, pay_per_compute, subscription
from dmchain.market.enums import ProposalState
from tests.contracts.chain import load
from tests.market.governing import TIMELOCK_DELAY, VOTING_DELAY, VOTING_PERIOD, pass_proposal
from tests.market.world import USD, World
from tools.npm import ToolchainUnavailable

OLD_FEE_BPS, NEW_FEE_BPS = 250, 400
ADMIN_SLOT = int.from_bytes(keccak(b"eip1967.proxy.admin"), "big") - 1
IMPLEMENTATION_SLOT = int.from_bytes(keccak(b"eip1967.proxy.implementation"), "big") - 1


def voters(world: World) -> list[Market]:
    """Five million DMG each, of a hundred million: one more than the quorum of 4 % needs."""
    return [world.market(8), world.market(9)]


def set_fee(bps: int) -> Action:
    return Action("LicenseManager", "setPlatformFee", (bps,))


def address_in(world: World, slot: int) -> str:
    """The address in a storage slot of LicenseManager's proxy."""
    proxy = world.provider.contract_address("LicenseManager")
    word = bytes.fromhex(world.devnet.call("eth_getStorageAt", proxy, hex(slot), "latest")[2:])
    return str(world.devnet.web3.to_checksum_address(word[12:]))


def test_the_fee_changes_by_proposal_vote_and_timelock(world: World) -> None:
    treasury = world.provider.contract_address("Timelock")
    assert world.stranger.governance.parameters().platform_fee_bps == OLD_FEE_BPS
    published = world.publish([one_time("100 USD")])
    world.consumer.buy(published.offer_ids[0])
    assert world.owed(treasury) == 100 * USD * OLD_FEE_BPS // 10_000

    identifier = pass_proposal(world, voters(world), [set_fee(NEW_FEE_BPS)], "Raise the fee to 4 %")
    assert world.stranger.governance.parameters().platform_fee_bps == NEW_FEE_BPS
    world.second_consumer.buy(published.offer_ids[0])
    fees = 100 * USD * (OLD_FEE_BPS + NEW_FEE_BPS) // 10_000
    assert world.owed(treasury) == fees
    assert world.owed(world.provider) == 200 * USD - fees
    assert world.contract_balance("LicenseManager") == 200 * USD
    assert [each.proposal_id for each in world.provider.governance.list()] == [str(identifier)]

    # what the treasury is owed anybody sends it, and governance spends it
    world.stranger.payouts.withdraw(treasury)
    assert (world.tokens(treasury), world.owed(treasury)) == (fees, 0)
    grant = Action("TestUSD", "transfer", (world.creator.address(), fees))
    before = world.tokens(world.creator)
    pass_proposal(world, voters(world), [grant], "A grant for the creator")
    assert (world.tokens(treasury), world.tokens(world.creator)) == (0, before + fees)


def test_a_proposal_without_a_majority_changes_nothing(world: World) -> None:
    big, small = voters(world)
    small.tokens.transfer(world.stranger.address(), 1, "DMG")  # now small has a unit less
    proposal = small.governance.propose([set_fee(1_000)], "The highest fee there may be")
    identifier = int(proposal.proposal_id)
    world.sleep(VOTING_DELAY + 1)
    small.governance.vote(identifier, "for")
    big.governance.vote(identifier, "against", reason="too much")
    with pytest.raises(errors.GovernorAlreadyCastVote):
        small.governance.vote(identifier, "for")
    world.sleep(VOTING_PERIOD + 1)
    proposal = small.governance.get(identifier)
    assert proposal.state == ProposalState.DEFEATED
    assert proposal.votes_against - proposal.votes_for == 1
    with pytest.raises(errors.GovernorUnexpectedProposalState):
        small.governance.queue(identifier)
    assert world.stranger.governance.parameters().platform_fee_bps == OLD_FEE_BPS


def test_nobody_goes_round_the_timelock(world: World) -> None:
    with pytest.raises(errors.AccessControlUnauthorizedAccount):
        world.market(9).transact("LicenseManager", "setPlatformFee", 0)
    proposer, other = voters(world)
    identifier = int(proposer.governance.propose([set_fee(300)], "A fee of 3 %").proposal_id)
    world.sleep(VOTING_DELAY + 1)
    proposer.governance.vote(identifier, "for")
    other.governance.vote(identifier, "for")
    with pytest.raises(errors.GovernorUnexpectedProposalState):
        other.governance.execute(identifier)
    world.sleep(VOTING_PERIOD + 1)
    queued = proposer.governance.queue(identifier)
    assert queued.eta == world.now() + TIMELOCK_DELAY
    with pytest.raises(errors.TimelockUnexpectedOperationState):
        other.governance.execute(identifier)


def test_an_upgrade_adds_a_pricing_model_and_keeps_all_licences(world: World) -> None:
    once = world.publish([one_time("100 USD", escrow="3d")])
    monthly = world.publish([subscription("10 USD", "30d")])
    metered = world.publish([pay_per_compute("2 USD")])
    purchases = [
        world.consumer.buy(once.offer_ids[0]),
        world.consumer.buy(monthly.offer_ids[0], 3),
        world.second_consumer.buy(metered.offer_ids[0], 50),
    ]
    buyers = [world.consumer, world.consumer, world.second_consumer]
    datasets = [each.dataset_id for each in (once, monthly, metered)]

    def everything() -> list[Any]:
        seen: list[Any] = [market.verify(dataset) for market, dataset in zip(buyers, datasets, strict=True)]
        seen += [world.stranger.purchase(each.purchase_id) for each in purchases]
        seen += [world.stranger.call("LicenseManager", "term", each.term_id) for each in purchases]
        seen += [world.stranger.offers.of(each) for each in datasets]
        seen += [world.owed(who) for who in (world.provider, world.provider.contract_address("Timelock"))]
        seen += [world.contract_balance(name) for name in ("LicenseManager", "EscrowPayment")]
        return seen

    before = everything()
    assert all(each.is_valid for each in before[:3])
    new = deploy_next(world)
    upgrade_by_governance(world, new.address)
    assert address_in(world, IMPLEMENTATION_SLOT) == new.address
    assert everything() == before

    # all that was begun goes on
    world.consumer.confirm(purchases[0].purchase_id)
    world.second_consumer.consume(metered.dataset_id, 20)
    world.consumer.cancel(purchases[1].term_id)
    fee = OLD_FEE_BPS
    assert world.owed(world.provider) == (100 + 10 + 2 * 20) * USD * (10_000 - fee) // 10_000
    assert world.owed(world.consumer) == 20 * USD

    # and there is something new: a lower price for many units
    bulk = create_bulk_offer(world, new, metered.dataset_id, price=1 * USD, least=100)
    with pytest.raises(errors.Reverted):
        world.third_consumer.buy(bulk, 99)
    world.third_consumer.buy(bulk, 100)
    assert world.third_consumer.verify(metered.dataset_id).units == 100


def deploy_next(world: World) -> Any:
    """The next implementation, deployed by anybody: it is nothing until governance says so."""
    try:
        compiled = load("LicenseManagerV2")
    except ToolchainUnavailable as error:
        pytest.skip(str(error))
    web3 = world.devnet.web3
    names = ("dataListing", "licenseNft", "escrowPayment", "reputation")
    collaborators = [world.stranger.call("LicenseManager", name) for name in names]
    factory = web3.eth.contract(abi=compiled.abi, bytecode=compiled.bytecode)
    made = factory.constructor(address_in(world, IMPLEMENTATION_SLOT), *collaborators)
    receipt = web3.eth.wait_for_transaction_receipt(made.transact({"from": world.stranger.address()}))
    assert receipt["status"] == 1
    return web3.eth.contract(receipt["contractAddress"], abi=compiled.abi)


def upgrade_by_governance(world: World, implementation: str) -> None:
    """A proposal whose one call is ProxyAdmin.upgradeAndCall, which only the Timelock may make."""
    web3, proposer = world.devnet.web3, voters(world)[0]
    admin = web3.eth.contract(address_in(world, ADMIN_SLOT), abi=load("ProxyAdmin").abi)
    assert admin.functions.owner().call() == proposer.contract_address("Timelock")
    proxy = proposer.contract_address("LicenseManager")
    data = bytes.fromhex(admin.encode_abi("upgradeAndCall", [proxy, implementation, b""])[2:])
    receipt = proposer.transact("DataGovernor", "propose", [admin.address], [0], [data], "Sell in bulk")
    identifier = receipt.event("ProposalCreated").arguments["proposalId"]
    world.sleep(VOTING_DELAY + 1)
    for voter in voters(world):
        voter.governance.vote(identifier, "for")
    world.sleep(VOTING_PERIOD + 1)
    proposer.governance.queue(identifier)
    assert address_in(world, IMPLEMENTATION_SLOT) != implementation
    world.sleep(TIMELOCK_DELAY)
    proposer.governance.execute(identifier)


def create_bulk_offer(world: World, new: Any, dataset: str, *, price: int, least: int) -> int:
    """By the new function, which the SDK does not know."""
    web3, proxy = world.devnet.web3, world.provider.contract_address("LicenseManager")
    contract = web3.eth.contract(proxy, abi=new.abi)
    terms = (3, world.provider.tokens.get("USD").address, price, 0, 0, 0, bytes(32), 0, bytes(32))
    transaction = contract.functions.createBulkOffer(dataset, terms, least).transact({"from": world.provider.address()})
    receipt = web3.eth.wait_for_transaction_receipt(transaction)
    assert receipt["status"] == 1
    return int(world.stranger.call("LicenseManager", "offerCount"))
