"""The SDK against a devnet process: the same operations blocking and on asyncio, money, signers, failures."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from dmchain.market import (
    Action,
    AsyncMarket,
    Market,
    Progress,
    errors,
    keystore,
    one_time,
    pay_per_compute,
    private_key,
    subscription,
    to_json,
    unlocked,
)
from dmchain.market.enums import LicenseKind, LicenseStatus
from tests.market.world import COIN, USD, World

SECRET = "0x" + "11" * 32


class Blocking:
    """A market whose operations are awaited though they block, so that one scenario drives both kinds."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return Blocking(found)

        async def call(*args: Any, **kwargs: Any) -> Any:
            return found(*args, **kwargs)

        return call


Scenario = Callable[[Any, Any, World], Awaitable[list[Any]]]


async def trade(provider: Any, consumer: Any, world: World) -> list[Any]:
    """Everything about one data set, once: what each step returned."""
    offers = [
        one_time("100 USD", escrow="3d", terms="for research"),
        subscription("10 USD", "30d"),
        pay_per_compute("0.05 USD"),
        one_time("0.5 DM", period="1d"),
    ]
    cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    found: list[Any] = [await provider.publish(cid, spdx="CC-BY-4.0", offers=offers, size_bytes=11)]
    listing = found[0]
    dataset, (once, periods, _, native) = listing.dataset_id, listing.offer_ids
    found += [await consumer.list(), await consumer.find(kind=LicenseKind.SUBSCRIPTION), await consumer.show(cid)]
    found += [await consumer.quote(once), await consumer.buy(once)]
    found += [await consumer.verify(dataset), await consumer.confirm(found[-1].purchase_id)]
    found += [await provider.payouts.owed(), await provider.payouts.withdraw()]
    found += [await provider.stake.add(dataset, "3 DM"), await provider.offers.close(periods)]
    found += [await provider.gift(dataset, world.stranger.address(), valid_for=0)]
    found += [await consumer.buy(native, licensee=world.second_consumer.address())]
    found += [await consumer.purchases(), await consumer.term(found[5].term_id)]
    with pytest.raises(errors.OfferIsClosed) as closed:
        await consumer.buy(periods)
    with pytest.raises(errors.LicenseHeld) as held:
        await consumer.buy(once)
    return [*found, closed.value.arguments, str(held.value)]


def settle(found: list[Any]) -> list[Any]:
    """Without what depends on the moment: times, hashes and gas prices."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            hidden = {"transactionHash", "fee", "gasUsed"}
            moments = ("At", "Until")
            return {k: plain(v) for k, v in value.items() if k not in hidden and not k.endswith(moments)}
        if isinstance(value, list):
            return [plain(each) for each in value]
        return value

    return [plain(to_json(each)) for each in found]


def test_blocking_and_awaited_operations_do_the_same(world: World) -> None:
    devnet = world.devnet
    snapshot = devnet.snapshot()
    blocking = asyncio.run(trade(Blocking(world.provider), Blocking(world.consumer), world))
    devnet.revert(snapshot)

    async def awaited() -> list[Any]:
        async with (
            AsyncMarket(devnet.url, world.signers[1]) as provider,
            AsyncMarket(devnet.url, world.signers[2]) as consumer,
        ):
            return await trade(provider, consumer, world)

    assert settle(asyncio.run(awaited())) == settle(blocking)


def test_everything_reads_the_same_both_ways(world: World) -> None:
    listing = world.publish([one_time("25 USD", escrow="3d"), subscription("10 USD", "30d"), one_time("1 DM")])
    dataset, (once, periods, native) = listing.dataset_id, listing.offer_ids
    bought = world.consumer.buy(once)
    stream = world.second_consumer.streams.start(periods, lasting="30d")
    tokens = world.provider.datatokens.issue(dataset, native, 10)
    sale = world.provider.datatokens.sell(tokens.class_id, 5, "2 USD")
    world.stranger.disputes.jurors.join("10 DM")
    check = world.consumer.quality.request(dataset, "completeness")
    proposal = world.provider.governance.propose([Action("LicenseManager", "setPlatformFee", (300,))], "text")
    case = world.consumer.disputes.open(bought.purchase_id, world.cid())

    async def read(market: Any) -> list[Any]:
        return [
            await market.list(),
            await market.show(dataset),
            await market.find(owner=world.provider.address()),
            await market.offers.of(dataset),
            await market.purchase(bought.purchase_id),
            await market.purchases(),
            await market.reputation(dataset=dataset),
            await market.escrow.of(bought.purchase_id),
            (await market.streams.get(stream.stream_id)).payer,
            (await market.streams.of(dataset, world.second_consumer.address())).stream_id,
            await market.disputes.get(case.dispute_id),
            await market.disputes.of(bought.purchase_id),
            await market.disputes.claimable(case.dispute_id),
            await market.disputes.jurors.member(world.stranger.address()),
            await market.quality.get(check.request_id),
            await market.quality.score(dataset, "completeness"),
            await market.stake.position(dataset),
            await market.payouts.owed(world.provider.address()),
            await market.tokens.balance("DMG"),
            await market.datatokens.sale(sale.order_id),
            await market.datatokens.quote(sale.order_id, 2),
            (await market.governance.get(proposal.proposal_id)).proposer,
            await market.governance.votes(),
            await market.governance.parameters(),
            await market.curation.standards(),
            await market.call("CidRegistry", "datasetCount"),
        ]

    async def awaited() -> list[Any]:
        async with AsyncMarket(world.devnet.url, world.signers[2]) as market:
            return await read(market)

    assert asyncio.run(awaited()) == asyncio.run(read(Blocking(world.consumer)))


def test_a_purchase_pays_by_permit_and_leaves_no_allowance(world: World) -> None:
    listing = world.publish([one_time("25 USD")])
    before = world.tokens(world.consumer)
    purchase = world.consumer.buy(listing.offer_ids[0])
    assert before - world.tokens(world.consumer) == purchase.amount == 25 * USD
    manager = world.consumer.contract_address("LicenseManager")
    assert world.consumer.call("TestUSD", "allowance", world.consumer.address(), manager) == 0
    assert world.consumer.call("TestUSD", "nonces", world.consumer.address()) == 1


def test_an_allowance_that_is_there_is_used(world: World) -> None:
    listing = world.publish([one_time("25 USD")])
    manager = world.consumer.contract_address("LicenseManager")
    world.consumer.transact("TestUSD", "approve", manager, 30 * USD)
    world.consumer.buy(listing.offer_ids[0])
    assert world.consumer.call("TestUSD", "allowance", world.consumer.address(), manager) == 5 * USD
    assert world.consumer.call("TestUSD", "nonces", world.consumer.address()) == 0


class CannotPermit:
    """A signer that signs transactions alone, as some wallets."""

    def __init__(self, inner: Any) -> None:
        self.resolve, self.submit = inner.resolve, inner.submit

    def sign_typed(self, document: Any) -> Any:
        raise NotImplementedError("no typed data")


def test_without_permits_exactly_the_price_is_approved(world: World) -> None:
    listing = world.publish([one_time("25 USD")])
    said: list[Progress] = []
    market = Market(world.devnet.url, CannotPermit(world.signers[2]), on_progress=said.append)  # type: ignore[arg-type]
    market.buy(listing.offer_ids[0])
    assert [each.action for each in said if each.stage == "mined"] == [
        "allow LicenseManager to take 25.00 tUSD",
        "purchase",
    ]
    manager = market.contract_address("LicenseManager")
    assert market.call("TestUSD", "allowance", market.address(), manager) == 0


def test_a_purchase_that_cannot_be_paid_says_what_is_missing(world: World) -> None:
    listing = world.publish([one_time("25 USD")])
    poor = world.market(25)
    with pytest.raises(errors.InsufficientFunds, match=r"got 0\.00 tUSD, needed 25\.00 tUSD") as caught:
        poor.buy(listing.offer_ids[0])
    assert "faucet" in str(caught.value.hint)


def test_a_limit_on_the_price_is_kept(world: World) -> None:
    listing = world.publish([one_time("25 USD")])
    with pytest.raises(errors.InvalidInput, match=r"costs 25\.00 tUSD, expected at most 24\.99 tUSD"):
        world.consumer.buy(listing.offer_ids[0], max_amount="24.99 USD")
    assert not world.consumer.purchases()


def test_many_threads_can_send_from_one_account(world: World) -> None:
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda _: world.market(25).tokens.faucet(1), range(24)))
    assert len({each.transaction_hash for each in receipts}) == 24
    assert world.tokens(world.market(25)) == 24


def test_several_programs_can_send_from_one_account(world: World) -> None:
    """Each market has its own lock, as processes have: the nonce is taken anew when another was faster."""
    markets = [Market(world.devnet.url, world.signers[25]) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda market: [market.tokens.faucet(1) for _ in range(4)], markets))
    assert len({each.transaction_hash for some in receipts for each in some}) == 16
    assert world.tokens(markets[0]) == 16


def test_awaited_operations_can_run_at_once(world: World) -> None:
    async def faucets() -> list[int]:
        async with AsyncMarket(world.devnet.url, world.signers[25]) as market:
            receipts = await asyncio.gather(*(market.tokens.faucet(1) for _ in range(12)))
            return [each.block_number for each in receipts]

    assert len(set(asyncio.run(faucets()))) == 12
    assert world.tokens(world.market(25)) == 12


def test_the_nodes_own_accounts_can_sign(world: World) -> None:
    listing = world.publish([one_time("25 USD"), one_time("1 DM")])
    market = Market(world.devnet.url, unlocked(2))
    assert market.address() == world.consumer.address()
    assert market.buy(listing.offer_ids[0]).payer == market.address()
    by_address = Market(world.devnet.url, unlocked(world.second_consumer.address()))
    assert by_address.buy(listing.offer_ids[1]).amount == COIN
    with pytest.raises(errors.InvalidInput, match="got account 99, expected one of the node's 30"):
        Market(world.devnet.url, unlocked(99)).address()


def test_a_keystore_file_signs(tmp_path: Path, world: World) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(Account.encrypt(SECRET, "secret", iterations=2)))
    market = Market(world.devnet.url, keystore(path, "secret"))
    assert market.address() == private_key(SECRET).address
    with pytest.raises(errors.InvalidInput, match="the password is wrong"):
        keystore(path, "guess")
    with pytest.raises(errors.InvalidInput, match="No such file"):
        keystore(tmp_path / "none.json", "")
    path.write_text("[]")
    with pytest.raises(errors.InvalidInput, match="not a keystore file"):
        keystore(path, "secret")


def test_a_key_is_never_shown() -> None:
    signer = private_key(SECRET)
    assert "11" * 32 not in repr(signer) + str(signer)
    with pytest.raises(errors.InvalidInput) as caught:
        private_key("0x" + "zz" * 32)
    assert "zz" not in str(caught.value)


def test_reads_need_no_signer_and_sending_says_that_it_does(world: World) -> None:
    listing = world.publish([one_time("25 USD")])
    reader = Market(world.devnet.url)
    assert reader.show(listing.dataset_id).offers[0].price == 25 * USD
    assert reader.verify(listing.dataset_id, world.consumer.address()).status is LicenseStatus.NONE
    with pytest.raises(errors.NoSigner):
        reader.buy(listing.offer_ids[0])


def test_a_market_can_be_left_as_a_file_is(world: World) -> None:
    with Market(world.devnet.url) as market:
        assert market.chain_id() == 1337 and market.list().total == 0
    assert market.list().total == 0  # opens again


def test_another_chain_is_refused(world: World) -> None:
    with pytest.raises(errors.WrongNetwork, match="got chain id 1337, expected 1") as caught:
        Market(world.devnet.url, world.signers[2], chain_id=1).list()
    assert caught.value.hint


def test_a_contract_that_is_not_there_is_told(world: World) -> None:
    nowhere = "0x" + "77" * 20
    market = Market(world.devnet.url, addresses={"LicenseManager": nowhere})
    with pytest.raises(errors.NotDeployed, match="no code at 0x7777"):
        market.quote(1)


def test_a_chain_without_test_dollars_pays_out_all_the_same(world: World) -> None:
    listing = world.publish([one_time("1 DM")])
    world.consumer.buy(listing.offer_ids[0])
    market = Market(world.devnet.url, world.signers[1], addresses={"TestUSD": "0x" + "77" * 20})
    assert [each.amount for each in market.payouts.owed()] == [COIN * 975 // 1000]
    with pytest.raises(errors.InvalidInput, match="this chain has no test dollars"):
        market.tokens.get("USD")


def test_a_node_that_does_not_answer_is_told() -> None:
    with pytest.raises(errors.ConnectionFailed, match="Connection refused") as caught:
        Market("http://127.0.0.1:1").chain_id()
    assert "dmchain devnet" in str(caught.value.hint)


def test_a_transaction_that_no_block_takes_times_out(world: World) -> None:
    world.devnet.call("evm_setAutomine", False)
    try:
        market = Market(world.devnet.url, world.signers[25], timeout=0.3)
        with pytest.raises(errors.TransactionTimeout, match=r"in no block after 0\.3 s") as caught:
            market.tokens.faucet(1)
        assert caught.value.transaction_hash in str(caught.value.hint)
    finally:
        world.devnet.call("anvil_dropAllTransactions")
        world.devnet.call("evm_setAutomine", True)


def test_a_transaction_that_fails_in_its_block_says_why(world: World) -> None:
    """The estimate passes; when the block is made the money is gone."""
    listing = world.publish([one_time("25 USD")])
    consumer = world.consumer
    token = consumer.contract_address("TestUSD")
    world.devnet.call("evm_setAutomine", False)
    try:
        with ThreadPoolExecutor(1) as pool:
            bought = pool.submit(consumer.buy, listing.offer_ids[0])
            while not int(world.devnet.call("txpool_status")["pending"], 16):
                assert not bought.done(), bought.result()
            world.devnet.call("anvil_setStorageAt", token, balance_slot(consumer.address()), "0x" + "00" * 32)
            world.devnet.call("evm_mine")
            with pytest.raises(errors.ERC20InsufficientBalance) as caught:
                bought.result(30)
        assert caught.value.transaction_hash
    finally:
        world.devnet.call("evm_setAutomine", True)


def balance_slot(account: str) -> str:
    """OpenZeppelin keeps ERC-20 balances in the mapping at slot 0."""
    from dmchain.chain.primitives.crypto import keccak

    return "0x" + keccak(bytes.fromhex(account[2:].rjust(64, "0")) + bytes(32)).hex()


def test_committing_first_registers_too(world: World) -> None:
    listing = world.publish([one_time("1 USD")], commit_first=True)
    details = world.consumer.show(listing.dataset_id)
    assert details.dataset.owner == world.provider.address()


def test_publishing_can_be_tried_again_after_its_commitment(world: World) -> None:
    """The commitment is found again: no second one is made, and the salt is the same."""
    cid, said = world.cid(), []
    market = Market(world.devnet.url, world.signers[1], on_progress=said.append)
    with pytest.raises(errors.InvalidText):
        market.publish(cid, spdx="", commit_first=True)
    listing = market.publish(cid, spdx="MIT", commit_first=True)
    assert [each.action for each in said if each.stage == "mined"] == ["commitCid", "publishCommitted"]
    assert world.consumer.show(listing.dataset_id).dataset.owner == market.address()


def test_a_registered_data_set_can_be_listed_again(world: World) -> None:
    listing = world.publish([one_time("1 USD")])
    world.provider.delist(listing.dataset_id)
    assert world.consumer.show(listing.dataset_id).listing is None
    again = world.provider.publish(listing.cid, spdx="MIT", offers=[one_time("2 USD")])
    assert again.dataset_id == listing.dataset_id
    with pytest.raises(errors.InvalidInput, match="registered as"):
        world.consumer.publish(listing.cid, spdx="MIT")


def test_results_cannot_be_changed_and_become_json(world: World) -> None:
    offer = world.provider.offers.get(world.publish([one_time("25 USD")]).offer_ids[0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        offer.price = 1  # type: ignore[misc,assignment]
    document = json.loads(json.dumps(to_json(offer)))
    assert document["price"] == "25000000" and document["kind"] == "one_time" and document["maxQuantity"] == 0
