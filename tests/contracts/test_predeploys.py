"""The market of block 0: wired together, administered by the Timelock alone, and open for business."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, IMPLEMENTATIONS, TIMELOCK
from dmchain.marketplace_vm.market_genesis.build import build_market
from dmchain.marketplace_vm.market_genesis.parameters import COIN, DEVNET, USD
from dmchain.marketplace_vm.market_genesis.plan import MODULE_ROLE
from tests.contracts.chain import ACCOUNTS, ZERO, Chain, Contract, reverts
from tests.contracts.genesis_world import Market

DEFAULT_ADMIN_ROLE = bytes(32)
ONE_TIME = 1
HOLDERS = 10
RETIRED_BY_GOVERNANCE = 3
CID = bytes.fromhex("01551220") + hashlib.sha256(b"content").digest()
CONTENT = {"cid": CID, "metadataCid": b"", "parents": [], "sizeBytes": 7}
LISTING = {
    "spdx": "CC-BY-4.0",
    "format": "text/csv",
    "resaleRoyaltyBps": 500,
    "lineageRoyaltyBps": 100,
    "availableUntil": 0,
    "onRetirement": 1,
}


def offer(token: Any, price: int) -> dict[str, Any]:
    return {
        "kind": ONE_TIME,
        "token": token,
        "price": price,
        "period": 0,
        "maxQuantity": 0,
        "escrowPeriod": 0,
        "metric": bytes(32),
        "minScore": 0,
        "termsHash": bytes(32),
    }


@pytest.fixture(scope="module")
def market() -> Market:
    return Market()


def contracts_of(market: Market) -> list[Contract]:
    return [market[name] for name in ADDRESSES]


def hexed(address: bytes) -> str:
    return "0x" + address.hex()


def has(contract: Contract, function: str) -> bool:
    return any(item.get("name") == function for item in contract.abi)


def test_the_timelock_alone_administers_every_contract_with_roles(market: Market) -> None:
    with_roles = [contract for contract in contracts_of(market) if has(contract, "hasRole")]
    assert len(with_roles) >= 8
    others = [each for name, each in ADDRESSES.items() if name != "Timelock"] + list(market.chain.accounts) + [ZERO]
    for contract in with_roles:
        if contract.name != "Timelock":
            assert contract.hasRole(DEFAULT_ADMIN_ROLE, TIMELOCK), contract
        assert [each for each in others if contract.hasRole(DEFAULT_ADMIN_ROLE, each)] == [], contract


def test_the_timelock_takes_orders_from_the_governor_alone(market: Market) -> None:
    timelock = market["Timelock"]
    proposer, executor = timelock.PROPOSER_ROLE(), timelock.EXECUTOR_ROLE()
    everybody = [*ADDRESSES.values(), *market.chain.accounts]
    assert [each for each in everybody if timelock.hasRole(proposer, each)] == [ADDRESSES["DataGovernor"]]
    assert timelock.hasRole(executor, ZERO), "anybody executes what is due"
    assert timelock.hasRole(DEFAULT_ADMIN_ROLE, timelock)
    assert timelock.getMinDelay() == DEVNET.governance.timelock_delay


def test_modules_of_the_license_manager_are_the_five_that_act_for_users(market: Market) -> None:
    modules = {name for name, each in ADDRESSES.items() if market["LicenseManager"].hasRole(MODULE_ROLE, each)}
    assert modules == {"DataListing", "EscrowPayment", "PaymentStream", "ComputeMarket", "Datatoken"}


def test_nobody_can_initialize_proxies_or_implementations_again(market: Market) -> None:
    arguments = {
        "DataListing": (market.chain.admin,),
        "LicenseManager": (market.chain.admin, market.chain.admin, 0),
        "EscrowPayment": (market.chain.admin,) * 5,
    }
    for name, address in IMPLEMENTATIONS.items():
        for contract in (market[name], market[name].at(hexed(address))):
            with reverts("InvalidInitialization"):
                contract.initialize(*arguments[name])


def test_only_the_timelock_upgrades(market: Market) -> None:
    slot = int.from_bytes(keccak(b"eip1967.proxy.admin"), "big") - 1
    for name in IMPLEMENTATIONS:
        proxy = market[name]
        admin = market.chain.contract(market.chain.storage(proxy, slot).to_bytes(20, "big"), "ProxyAdmin")
        assert admin.owner() == hexed(TIMELOCK)
        with reverts("OwnableUnauthorizedAccount", market.chain.admin):
            admin.upgradeAndCall(proxy, market["TestUSD"], b"")


def test_the_governance_token_is_with_holders_and_treasury_and_votes(market: Market) -> None:
    token, accounts = market["PlatformToken"], market.chain.accounts
    each = DEVNET.token_supply // 2 // HOLDERS
    assert [token.balanceOf(account) for account in accounts[:HOLDERS]] == [each] * HOLDERS
    assert token.balanceOf(TIMELOCK) == DEVNET.token_supply // 2
    assert token.totalSupply() == DEVNET.token_supply == 100_000_000 * COIN
    assert token.getPastVotes(accounts[0], market.chain.timestamp - 1) == each
    assert market["TestUSD"].balanceOf(accounts[0]) == 1_000_000 * USD
    # one holder has more than the quorum, so that one person can try governance on a devnet
    assert each >= market["DataGovernor"].quorum(market.chain.timestamp - 1)


@pytest.mark.parametrize("chain_id", [1337, 4242])
def test_permits_are_for_this_chain(chain_id: int) -> None:
    holders = tuple([account.key.address for account in ACCOUNTS[:1]])
    chain = Chain(alloc=build_market(DEVNET.with_holders(holders), chain_id), chain_id=chain_id)
    for contract in [chain.contract(address, name) for name, address in ADDRESSES.items()]:
        if has(contract, "eip712Domain"):
            domain = contract.eip712Domain()
            assert (domain.chainId, domain.verifyingContract) == (chain_id, contract.address)
        if has(contract, "DOMAIN_SEPARATOR"):
            kind = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
            words = [kind, keccak(domain.name.encode()), keccak(domain.version.encode()), chain_id.to_bytes(32, "big")]
            words.append(bytes.fromhex(contract.address[2:]).rjust(32, b"\0"))
            assert contract.DOMAIN_SEPARATOR() == keccak(b"".join(words)), contract


def test_the_registry_is_governed_by_the_timelock(market: Market) -> None:
    chain = market.chain
    dataset = chain.registry.registerCid(CID, b"", [], 1, sender=chain.accounts[5]).value
    with reverts("NotAuthorized", caller=chain.admin):
        chain.registry.retire(dataset, sender=chain.admin)
    chain.registry.retire(dataset, sender=TIMELOCK)
    assert chain.registry.dataset(dataset).status == RETIRED_BY_GOVERNANCE


@pytest.mark.parametrize("token", ["native", "TestUSD"])
def test_a_sale_pays_provider_and_treasury_to_the_unit(market: Market, token: str) -> None:
    chain, manager = market.chain, market["LicenseManager"]
    provider, buyer = chain.accounts[1:3]
    paid_in = ZERO if token == "native" else market["TestUSD"]
    price, fee_bps = 1_000_003, DEVNET.platform_fee_bps
    market["DataListing"].publish(CONTENT, "ipfs://m", LISTING, [offer(paid_in, price)], sender=provider)
    if token != "native":
        market["TestUSD"].approve(manager, price, sender=buyer)
    manager.purchase(1, buyer, 1, price, sender=buyer, value=price if token == "native" else 0)
    assert chain.ledger.hasLicense(keccak(CID), buyer)
    assert market["LicenseNFT"].ownerOf(1) == buyer
    fee = price * fee_bps // 10_000
    assert manager.owed(paid_in, TIMELOCK) == fee
    assert manager.owed(paid_in, provider) == price - fee
    assert manager.held(paid_in) == price


def test_a_dispute_can_be_opened_on_a_sale(market: Market) -> None:
    chain, manager = market.chain, market["LicenseManager"]
    provider, buyer = chain.accounts[1:3]
    market["DataListing"].publish(CONTENT, "ipfs://m", LISTING, [offer(ZERO, 50)], sender=provider)
    purchase = manager.purchase(1, buyer, 1, 50, sender=buyer, value=50).value
    deposit = market["DisputeResolution"].openingDeposit()
    dispute = market["DisputeResolution"].open(purchase, CID, sender=buyer, value=deposit).value
    assert market["DisputeResolution"].dispute(dispute).provider == provider
