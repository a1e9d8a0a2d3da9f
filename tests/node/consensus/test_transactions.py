"""Who hears of a transaction, when, and in which form; and what a peer may push."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from dmchain.chain.primitives.errors import DecodeError, InvalidTransaction, SignatureError
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Hash32
from dmchain.node.consensus import transactions
from dmchain.node.consensus.transactions import ANNOUNCE_SECONDS, PUSH_PEERS, RELAY_SECONDS, TransactionGossip
from dmchain.node.network.messages import (
    MAX_NEW_TRANSACTIONS,
    NewTransactions,
    Push,
    Reply,
    Request,
    TransactionHashes,
    Transactions,
)
from tests.node.consensus.validators import signed_transfer


@dataclass
class FakePeer:
    """Delivers nothing that is pulled."""

    number: int
    is_open: bool = True

    async def request(self, message: Request) -> Reply:
        return Transactions(())


@dataclass
class Rig:
    """A gossip over a pool that is a dictionary."""

    count: int
    pool: dict[Hash32, Transaction] = field(default_factory=dict)
    sent: list[tuple[float, int, Push]] = field(default_factory=list)
    refuse: Callable[[Transaction], Exception | None] = lambda tx: None

    def __post_init__(self) -> None:
        self.peers: list[Any] = [FakePeer(number) for number in range(self.count)]
        pool: Any = self.pool
        self.gossip = TransactionGossip(lambda: pool, self.submit, lambda: list(self.peers), self._send)
        self.began = trio.current_time()

    def submit(self, tx: Transaction) -> None:
        error = self.refuse(tx)
        if error is not None:
            raise error
        self.pool[tx.hash] = tx
        self.gossip.announce(tx)

    def _send(self, peers: list[Any], message: Push) -> None:
        self.sent += [(trio.current_time() - self.began, peer.number, message) for peer in peers]

    def told(self, kind: type) -> list[int]:
        return [number for _, number, message in self.sent if isinstance(message, kind)]


@asynccontextmanager
async def rig(count: int, **options: Any) -> AsyncIterator[Rig]:
    async with trio.open_nursery() as nursery:
        made = Rig(count, **options)
        nursery.start_soon(made.gossip.run)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        nursery.cancel_scope.cancel()


@pytest.fixture
def clock(autojump_clock: MockClock) -> MockClock:
    return autojump_clock


async def test_what_a_client_sends_is_pushed_at_once_to_everybody_in_a_small_network(clock: MockClock) -> None:
    async with rig(3) as made:
        tx = signed_transfer(0)
        made.submit(tx)
        await trio.sleep(0)
        await trio.testing.wait_all_tasks_blocked()
        assert made.sent == [(0.0, number, NewTransactions((tx.raw,))) for number in range(3)]
        await trio.sleep(1)
        assert len(made.sent) == 3


async def test_what_follows_at_once_goes_together(clock: MockClock) -> None:
    async with rig(1) as made:
        for nonce in range(5):
            made.submit(signed_transfer(nonce))
            await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(1)
        assert [len(message.raw) for _, _, message in made.sent] == [1, 4]  # type: ignore[union-attr]
        assert made.sent[1][0] == pytest.approx(ANNOUNCE_SECONDS)


async def test_more_than_a_message_holds_is_announced(clock: MockClock) -> None:
    async with rig(1) as made:
        sent = [signed_transfer(nonce) for nonce in range(MAX_NEW_TRANSACTIONS + 3)]
        for tx in sent:
            made.submit(tx)
        await trio.sleep(1)
        assert [message for _, _, message in made.sent] == [
            NewTransactions(tuple([tx.raw for tx in sent[:-3]])),
            TransactionHashes(tuple([tx.hash for tx in sent[-3:]])),
        ]


async def test_in_a_large_network_some_get_it_whole_others_each_time_and_the_rest_hears_of_it(clock: MockClock) -> None:
    async with rig(30) as made:
        pushed = []
        for nonce in range(2):
            made.sent.clear()
            made.submit(signed_transfer(nonce))
            await trio.sleep(1)
            pushed.append(set(made.told(NewTransactions)))
            assert len(pushed[-1]) == PUSH_PEERS
            assert sorted([*made.told(NewTransactions), *made.told(TransactionHashes)]) == list(range(30))
        assert pushed[0] != pushed[1]


async def test_what_a_peer_pushes_is_passed_on_later_to_those_who_have_not_told_of_it(clock: MockClock) -> None:
    async with rig(3) as made:
        tx = signed_transfer(0)
        await made.gossip.take_new(made.peers[0], (tx.raw,))
        made.gossip.hear(made.peers[1], [tx.hash])
        await trio.sleep(1)
        ((when, number, message),) = made.sent
        assert (number, message) == (2, TransactionHashes((tx.hash,)))
        assert when == pytest.approx(RELAY_SECONDS)


async def test_what_is_mined_by_then_is_not_passed_on(clock: MockClock) -> None:
    async with rig(3) as made:
        tx = signed_transfer(0)
        await made.gossip.take_new(made.peers[0], (tx.raw,))
        del made.pool[tx.hash]
        await trio.sleep(1)
        assert made.sent == []
        await made.gossip.take_new(made.peers[1], (tx.raw,))
        assert made.pool == {}, "it is not taken again"


async def test_a_refused_transaction_is_nobodys_fault_and_is_not_judged_twice(clock: MockClock) -> None:
    judged = []

    def refuse(tx: Transaction) -> Exception | None:
        judged.append(tx.hash)
        return InvalidTransaction("nonce too low")

    async with rig(2, refuse=refuse) as made:
        tx = signed_transfer(0)
        for peer in made.peers:
            await made.gossip.take_new(peer, (tx.raw,))
        assert judged == [tx.hash]


async def test_garbage_and_bad_signatures_are_the_peers_fault(clock: MockClock) -> None:
    async with rig(1, refuse=lambda tx: SignatureError("no")) as made:
        with pytest.raises(DecodeError):
            await made.gossip.take_new(made.peers[0], (b"\xff" * 40,))
        with pytest.raises(SignatureError):
            await made.gossip.take_new(made.peers[0], (signed_transfer(0).raw,))


async def test_memory_of_who_told_is_bounded(clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "MAX_TOLD", 10)
    async with rig(1) as made:
        for number in range(50):
            made.gossip.hear(made.peers[0], [Hash32(number.to_bytes(32, "big"))])
        assert len(made.gossip._told) == 10
