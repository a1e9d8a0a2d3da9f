"""A provider that validates: a lost dispute takes what it has bonded. On a network of validators, in real time, so long."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import pytest
from eth_abi.packed import encode_packed

from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.market import Market, cids, one_time, private_key
from dmchain.market.enums import Ruling
from dmchain.market.models import Dispute
from dmchain.testing import Devnet, open_devnet
from tests.market.validating import STAKING, validator_stake
from tests.market.world import COIN

pytestmark = pytest.mark.skipif(os.environ.get("MARKET") != "full", reason="takes a minute: MARKET=full")

BONDED = 1_000 * COIN
FEES = 3 * COIN // 10
WAIT_SECONDS = 90.0


def register(provider: Market, chain_id: int) -> None:
    """Become a validator with `BONDED`. Its key signs no block: the next epoch begins after the test."""
    key = PrivateKey(b"\x41" * 32)
    domain = keccak(b"dmchain proof of possession v1")
    types = ["bytes32", "uint256", "address", "address"]
    y_parity, r, s = key.sign(keccak(encode_packed(types, [domain, chain_id, STAKING, provider.address()])))
    proof = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([y_parity])
    provider.transact("Staking", "register", key.public_key, proof, 0, 0, value=BONDED)


def wait(devnet: Devnet, market: Market, until: Callable[[Dispute, int, int], bool]) -> None:
    """Until dispute 1 is as wanted: `until(dispute, number, time)` of the latest block. Without transactions an idle
    network makes few blocks, so there is one a second."""
    give_up = time.monotonic() + WAIT_SECONDS
    while True:
        block = devnet.call("eth_getBlockByNumber", "latest", False)
        found = market.disputes.get(1)
        if until(found, int(block["number"], 16), int(block["timestamp"], 16)):
            return
        assert time.monotonic() < give_up, found
        time.sleep(1)
        market.tokens.transfer(market.address(), 1, "DM")


def test_bonded_stake_of_a_provider_pays_its_buyers() -> None:
    with open_devnet("--validators", "2") as devnet:
        people = [Market(devnet.url, private_key(each["privateKey"])) for each in devnet.accounts[:5]]
        keeper, provider, consumer, other, juror = people
        register(provider, devnet.chain_id)
        listed = provider.publish(
            cids.of_content(b"bad"), spdx="CC-BY-4.0", format="text/csv", offers=[one_time("40 USD")]
        )
        purchase = consumer.buy(listed.offer_ids[0])
        other.buy(listed.offer_ids[0])
        juror.disputes.jurors.join("10 DM")

        consumer.disputes.open(purchase.purchase_id, cids.of_content(b"evidence"))
        wait(devnet, keeper, lambda case, number, now: now >= case.deadline)
        keeper.disputes.summon(1)
        wait(devnet, keeper, lambda case, number, now: number >= case.draw_block)
        keeper.disputes.draw(1)
        juror.disputes.commit(1, "consumer")
        juror.disputes.reveal(1, "consumer")
        assert keeper.disputes.tally(1).ruling is Ruling.CONSUMER
        wait(devnet, keeper, lambda case, number, now: now >= case.deadline)
        assert keeper.disputes.execute(1).pot == 80 * COIN

        # nothing stands behind the listing: all of it comes out of the validator's own stake
        assert validator_stake(provider) == BONDED - 80 * COIN - FEES
        for buyer in (consumer, other):
            before = balance(devnet, buyer)
            keeper.disputes.claim(1, buyer.address())
            assert balance(devnet, buyer) == before + 40 * COIN
        held = keeper.call("DisputeResolution", "held")
        assert held == 10 * COIN + COIN + 2 * FEES
        assert int(devnet.call("eth_getBalance", keeper.contract_address("DisputeResolution"), "latest"), 16) == held


def balance(devnet: Devnet, account: Market) -> int:
    """In wei."""
    return int(devnet.call("eth_getBalance", account.address(), "latest"), 16)
