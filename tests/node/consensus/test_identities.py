"""Who is which validator: from genesis, from records, over a real network; and who is dialled for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import trio

from dmchain.chain.consensus.validators import Validator, ValidatorSet
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.transaction import DYNAMIC_FEE, UnsignedTransaction, sign_transaction
from dmchain.chain.primitives.types import Address, Hash32
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.possession import prove_possession
from dmchain.marketplace_vm.precompiles.staking import CONTRACT
from dmchain.node.consensus.identities import MAX_KEPT, RENEWALS_SECONDS, Identities, OwnIdentity
from dmchain.node.network.addresses import Target
from dmchain.node.network.identity import ChainIdentity
from dmchain.node.network.messages import ValidatorRecord
from dmchain.node.network.transport import Endpoint
from dmchain.node.network.validator_records import LIFETIME_SECONDS, make_validator_record
from dmchain.node.testnet import plan_validators
from tests.node.consensus.validators import (
    ACCOUNT,
    CHAIN_ID,
    ETHER,
    GWEI,
    Network,
    build_validator,
    open_network,
    until,
)

CHAIN = ChainIdentity(1337, Hash32(b"\x11" * 32))
NOW = 1_750_000_000


def key(name: str) -> PrivateKey:
    return PrivateKey(keccak(name.encode()))


def address(name: str) -> Address:
    return key(name).address


def node(name: str) -> Address:
    return key(f"node {name}").address


def record(name: str, host: str = "10.0.0.1", *, at: str | None = None, now: int = NOW) -> ValidatorRecord:
    return make_validator_record(key(name), key(f"node {at or name}"), CHAIN, Endpoint(host, 30333), now)


@dataclass
class FakeEpochs:
    """A set, and candidates besides."""

    members: list[str]
    candidates: set[str] = field(default_factory=set)

    def at(self, height: int) -> Any:
        self.validators = ValidatorSet.from_unordered([Validator(address(name), 1) for name in self.members])
        return self

    def next_after(self, height: int) -> ValidatorSet:
        return ValidatorSet.from_unordered([Validator(address(name), 1) for name in self.members])

    def may_validate(self, consensus: Address) -> bool:
        return consensus in {address(name) for name in (*self.members, *self.candidates)}


class Setting:
    """The identities of node "me", and its clock."""

    def __init__(
        self, members: list[str], *, key_name: str | None = "me", endpoint: Endpoint | None = None, **options: Any
    ) -> None:
        self.now = float(NOW)
        self.epochs = FakeEpochs(members)
        own = OwnIdentity(key("node me"), None if key_name is None else key(key_name), lambda: endpoint)
        genesis = {node("old"): address("old")}
        self.identities = Identities(
            CHAIN, cast("Any", self.epochs), lambda: 7, genesis, own, clock=lambda: self.now,
            **{"allows_loopback": False, **options},
        )  # fmt: skip

    def take(self, *records: ValidatorRecord) -> tuple[ValidatorRecord, ...]:
        return self.identities.take(records)


def test_genesis_names_a_validators_node_until_the_validator_itself_does() -> None:
    setting = Setting(["old", "new"])
    who = setting.identities
    assert who.validator_of(node("old")) == address("old") and who.node_of(address("old")) == node("old")
    assert who.validator_of(node("new")) is None and who.node_of(address("new")) is None
    setting.take(record("old", at="moved"), record("new"))
    assert who.validator_of(node("old")) is None and who.node_of(address("old")) == node("moved")
    assert who.validator_of(node("moved")) == address("old")
    assert who.validator_of(node("new")) == address("new") and who.node_of(address("new")) == node("new")


def test_only_news_is_passed_on_and_nobody_tells_a_node_about_itself() -> None:
    setting = Setting(["me", "new"])
    new = record("new")
    assert setting.take(new, new, record("stranger"), record("me", at="thief")) == (new,)
    assert setting.take(new) == ()
    assert setting.identities.all_records() == [(new,)]


def test_a_node_speaks_of_itself_as_soon_as_the_chain_knows_its_key_and_then_ever_less_often() -> None:
    setting = Setting(["old"], endpoint=Endpoint("10.9.9.9", 1))
    who = setting.identities
    assert who.renew() is None
    setting.epochs.candidates.add("me")
    spoken = []
    for _ in range(3 * 3600):
        made = who.renew()
        if made is not None:
            spoken.append(made.sequence - NOW)
        setting.now += 1
    steps = [later - earlier for earlier, later in zip(spoken, spoken[1:], strict=False)]
    assert tuple(steps[: len(RENEWALS_SECONDS)]) == RENEWALS_SECONDS
    assert set(steps[len(RENEWALS_SECONDS) :]) <= {RENEWALS_SECONDS[-1]}
    assert who.validator_of(node("me")) == address("me")


def test_a_node_without_a_key_says_nothing() -> None:
    assert Setting(["old"], key_name=None).identities.renew() is None


def test_validators_are_stayed_connected_to_wherever_they_are_and_no_longer_than_they_are_validators() -> None:
    setting = Setting(["old", "new"])
    setting.epochs.candidates.add("waiting")
    setting.take(record("new"), record("waiting", "10.0.0.2"))
    here = Target(Endpoint("10.0.0.1", 30333), node("new"))
    assert setting.identities.retarget() == ([here], [])
    assert setting.identities.retarget() == ([], [])
    setting.now += 100
    setting.take(record("new", "10.0.0.3", now=NOW + 100))
    there = Target(Endpoint("10.0.0.3", 30333), node("new"))
    assert setting.identities.retarget() == ([there], [here])
    setting.epochs.members.remove("new")
    assert setting.identities.retarget() == ([], [there])


def test_addresses_that_expire_are_let_go() -> None:
    setting = Setting(["old", "new"])
    setting.take(record("new"))
    assert len(setting.identities.retarget()[0]) == 1
    setting.now += LIFETIME_SECONDS
    setting.identities.renew()
    assert len(setting.identities.retarget()[1]) == 1


def test_fixed_places_this_machine_and_places_that_are_none_are_not_dialled_for_a_record() -> None:
    fixed = Endpoint("10.0.0.1", 30333)
    setting = Setting(["a", "b", "c", "d"], fixed=[fixed])
    silent = make_validator_record(key("c"), key("node c"), CHAIN, None, NOW)
    setting.take(record("a"), record("b", "127.0.0.1"), silent, record("d", "224.0.0.1"))
    assert setting.identities.retarget() == ([], [])
    local = Setting(["b"], allows_loopback=True)
    local.take(record("b", "127.0.0.1"))
    assert len(local.identities.retarget()[0]) == 1


def test_of_a_large_set_each_node_picks_some_and_stays_with_them() -> None:
    names = [f"v{number}" for number in range(MAX_KEPT + 8)]
    setting = Setting(names)
    setting.take(*[record(name, f"10.0.1.{number}") for number, name in enumerate(names)])
    begin, end = setting.identities.retarget()
    assert len(begin) == MAX_KEPT and end == []
    assert setting.identities.retarget() == ([], [])


# ---------------------------------------------------------------- a real network


async def join(nursery: trio.Nursery, network: Network) -> Any:
    """A node that genesis does not name, and that dials validator 0 alone."""
    (planned,) = plan_validators(Path(), [ACCOUNT.address], first_p2p_port=0)
    newcomer = build_validator(planned, network.genesis)
    manager = newcomer.validator.manager
    manager._config = replace(manager._config, targets=(Target.parse(network.nodes[0].planned.dial),))
    await nursery.start(newcomer.validator.run)
    return newcomer


async def register(network: Network, newcomer: Any) -> None:
    """Send what `dmchain stake register` sends."""
    consensus = newcomer.planned.consensus_key
    (spec,) = [handler.spec for handler in CONTRACT.handlers if handler.spec.name == "register"]
    proof = prove_possession(consensus, CHAIN_ID, ACCOUNT.address)
    data = spec.encode_call(consensus.public_key, proof, 500, 100)
    unsigned = UnsignedTransaction(
        DYNAMIC_FEE, CHAIN_ID, network.next_nonce(), 500_000, 100 * GWEI, GWEI, STAKING, 100_000 * ETHER, data
    )
    network.nodes[1].backend.submit_transaction(sign_transaction(unsigned, ACCOUNT))


async def test_who_registers_on_a_running_network_is_dialled_by_those_who_never_heard_of_its_address() -> None:
    staking = {"epochSeconds": 1, "unbondingSeconds": 4_000}
    async with trio.open_nursery() as nursery, open_network(3, staking=staking) as network:
        await network.start()
        newcomer = await join(nursery, network)
        me, consensus = newcomer.planned.node_key.address, newcomer.planned.consensus_key.address
        await until(lambda: me in network.nodes[0].connected, 10, "the newcomer follows")
        assert all(me not in other.connected for other in network.nodes[1:])
        assert network.nodes[1].validator.identities.node_of(consensus) is None
        await register(network, newcomer)

        def is_chosen() -> bool:
            other = network.nodes[1]
            return other.validator.app.epochs.at(other.height + 1).validators.index_of(consensus) is not None

        while not is_chosen():  # epochs end with blocks
            await network.decide(seconds=20)
            await trio.sleep(0.2)
        await until(lambda: all(me in other.connected for other in network.nodes), 20, "everybody has dialled it")
        assert all(other.validator.manager.peers[me].is_outbound for other in network.nodes[1:])
        for other in network.nodes:
            (status,) = [each for each in other.validator.view.consensus().validators if each.address == consensus]
            assert status.is_connected is True
        await until(lambda: newcomer.validator.view.role == "validator", 20, "it signs")
        nursery.cancel_scope.cancel()
