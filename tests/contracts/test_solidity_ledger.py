"""The ledger written in Solidity, which the native one's gas is compared with, does as the native one."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import ZERO, Chain, Contract, Reverted

CIDS = [bytes.fromhex("01551220") + hashlib.sha256(b"%d" % number).digest() for number in range(2)]
DATASETS = [keccak(cid) for cid in CIDS]
ONE_TIME, SUBSCRIPTION, PAY_PER_COMPUTE = 1, 2, 3


EXAMPLES = 60 if os.environ.get("MARKET") == "full" else 12
"""Random plays: more of them in `make market-test`."""


@pytest.fixture(scope="module")
def twin() -> Contract:
    chain = Chain()
    made = chain.deploy("SolidityLedger")
    for cid, dataset in zip(CIDS, DATASETS, strict=True):
        chain.registry.registerCid(cid, b"", [], 1)
        made.register(dataset)
    return made


ACTION = st.one_of(
    st.tuples(st.just("grant"), st.integers(0, 3), st.sampled_from([-1, 0, 1, 50]), st.integers(0, 3)),
    st.tuples(st.just("extend"), st.just(0), st.sampled_from([-1, 0, 1, 50, 90]), st.integers(0, 3)),
    st.tuples(st.just("consume"), st.just(0), st.just(0), st.integers(0, 4)),
    st.tuples(st.just("revoke"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.just(0), st.integers(1, 60)),
    st.tuples(st.just("retire"), st.just(0), st.just(0), st.just(0)),
)
STEPS = st.lists(st.tuples(ACTION, st.integers(0, 1), st.integers(1, 2), st.booleans()), max_size=14)


@settings(max_examples=EXAMPLES, deadline=None)
@given(steps=STEPS)
def test_it_does_as_the_native_ledger(twin: Contract, steps: list[Any]) -> None:
    chain = twin.chain
    with chain.reverted_after():
        for (kind, number, expiry, units), which, who, is_controller in steps:
            sender = chain.admin if is_controller else chain.accounts[5]
            person = chain.accounts[who] if units != 3 else (chain.accounts[who] if kind != "grant" else ZERO)
            outcomes = [
                _act(ledger, kind, DATASETS[which], person, number, expiry, units, sender) for ledger in _both(twin)
            ]
            assert outcomes[0] == outcomes[1], (kind, outcomes)
            if kind == "wait":
                chain.sleep(units)
            for dataset in DATASETS:
                for account in chain.accounts[1:3]:
                    native, solidity = [
                        (tuple(ledger.licenseOf(dataset, account)), ledger.hasLicense(dataset, account))
                        for ledger in _both(twin)
                    ]
                    assert native == solidity
            assert chain.ledger.hasLicenses(DATASETS, chain.accounts[1]) == twin.hasLicenses(
                DATASETS, chain.accounts[1]
            )


def _both(twin: Contract) -> tuple[Contract, Contract]:
    return twin.chain.ledger, twin


def _act(
    ledger: Contract, kind: str, dataset: bytes, person: Any, number: int, expiry: int, units: int, sender: Any
) -> Any:
    """The events, or the name of the error, of one action."""
    chain = ledger.chain
    until = chain.timestamp + expiry if expiry else 0
    try:
        match kind:
            case "grant":
                done = ledger.grant(dataset, person, number, until, units, bytes(32), sender=sender)
            case "extend":
                done = ledger.extend(dataset, person, until, units, sender=sender)
            case "consume":
                done = ledger.consume(dataset, person, units, sender=sender)
            case "revoke":
                done = ledger.revoke(dataset, person, b"why".ljust(32, b"\0"), sender=sender)
            case "retire":
                registry = chain.registry if ledger is chain.ledger else ledger
                registry.retire(dataset)
                return None
            case _:
                return None
    except Reverted as error:
        return "error" if kind == "retire" else error.name
    return [(event.name, event.arguments) for event in done.events], done.value
