"""eth_subscribe: who is told what, in which order, and what happens when too much happens."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.primitives.block import Log
from dmchain.chain.primitives.crypto import keccak
from dmchain.rpc.backend import SyncStatus
from dmchain.rpc.config import MethodLimits
from dmchain.rpc.jsonrpc import Call
from dmchain.rpc.subscriptions import MAX_WAITING_EVENTS, Hub, Session, SessionRequest, matches_topics
from tests.rpc.asking import Asker, Refused
from tests.rpc.fake import BOB, EMITTER, FakeChain, transfer

A, B = keccak(b"a"), keccak(b"b")
EMITTER_HEX = "0x" + EMITTER.hex()


class Client:
    """One connection: its session and what it was sent."""

    def __init__(self, hub: Hub, ask: Asker) -> None:
        self.ask = ask
        self.sent: list[Any] = []
        self.ended: list[str] = []
        self.session = Session(hub, lambda message: self.sent.append(orjson.loads(message)), self.ended.append)

    def call(self, request: SessionRequest, method: str, *params: Any) -> Any:
        context = self.ask.context()
        context.session = request
        answer = self.ask.dispatcher.start(Call(b"1", method, list(params)), context)
        assert isinstance(answer, bytes)
        parsed = orjson.loads(answer)
        if "error" in parsed:
            raise Refused(parsed["error"])
        return parsed["result"]

    def subscribe(self, *params: Any) -> str:
        request = self.session.begin()
        subscription: str = self.call(request, "eth_subscribe", *params)
        request.activate()
        return subscription

    def results(self) -> list[Any]:
        return [message["params"]["result"] for message in self.sent]


@pytest.fixture
def hub(chain: FakeChain) -> Hub:
    ids = iter(range(1, 10**6))
    limits = MethodLimits(max_subscriptions=50, max_subscriptions_per_connection=20, max_filter_terms=100)
    hub = Hub(limits, lambda: hex(next(ids)), lambda: None)
    chain.observe(hub)
    return hub


@pytest.fixture
def client(hub: Hub, ask: Asker) -> Client:
    return Client(hub, ask)


def drain(hub: Hub) -> int:
    return sum(1 for _ in hub.distribute())


def test_new_heads(client: Client, hub: Hub, chain: FakeChain) -> None:
    subscription = client.subscribe("newHeads")
    header = chain.mine([transfer()])
    drain(hub)
    (message,) = client.sent
    assert message["method"] == "eth_subscription"
    assert message["params"]["subscription"] == subscription
    assert message["params"]["result"]["hash"] == "0x" + header.hash.hex()
    assert "transactions" not in message["params"]["result"]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (None, [0, 1, 2]),
        ({}, [0, 1, 2]),
        ({"address": EMITTER_HEX}, [0, 1]),
        ({"address": [EMITTER_HEX, "0x" + BOB.hex()], "topics": [["0x" + A.hex()]]}, [0, 2]),
        ({"topics": [None, "0x" + A.hex()]}, [1]),
        ({"fromBlock": "earliest", "toBlock": "latest", "topics": []}, [0, 1, 2]),
        ({"fromBlock": "0x2"}, []),
    ],
)
def test_logs(client: Client, hub: Hub, chain: FakeChain, criteria: Any, expected: list[int]) -> None:
    client.subscribe("logs", criteria)
    chain.mine([transfer()], {0: [Log(EMITTER, (A,), b""), Log(EMITTER, (B, A), b""), Log(BOB, (A,), b"")]})
    drain(hub)
    assert [int(result["logIndex"], 16) for result in client.results()] == expected


def test_pending_transactions_as_hashes_or_in_full(client: Client, hub: Hub, chain: FakeChain) -> None:
    client.subscribe("newPendingTransactions")
    client.subscribe("newPendingTransactions", False)
    client.subscribe("newPendingTransactions", True)
    tx = transfer()
    chain.add_waiting(tx)
    drain(hub)
    hashes, full = client.results()[:2], client.results()[2]
    assert hashes == ["0x" + tx.hash.hex()] * 2
    assert full["hash"] == "0x" + tx.hash.hex() and full["blockHash"] is None


def test_syncing(client: Client, hub: Hub) -> None:
    client.subscribe("syncing")
    hub.sync_changed(SyncStatus(0, 1, 2))
    hub.sync_changed(None)
    drain(hub)
    assert [result if result is False else result["syncing"] for result in client.results()] == [True, False]


def test_the_id_comes_before_the_first_notification(client: Client, hub: Hub, chain: FakeChain) -> None:
    request = client.session.begin()
    client.call(request, "eth_subscribe", "newHeads")
    chain.mine([])
    drain(hub)
    assert client.sent == []
    request.activate()
    assert len(client.sent) == 1
    chain.mine([])
    drain(hub)
    assert len(client.sent) == 2


def test_unsubscribing_ends_it(client: Client, hub: Hub, chain: FakeChain) -> None:
    subscription = client.subscribe("logs", {"address": EMITTER_HEX})
    other = Client(hub, client.ask)
    assert other.call(other.session.begin(), "eth_unsubscribe", subscription) is False
    assert client.call(client.session.begin(), "eth_unsubscribe", subscription) is True
    assert client.call(client.session.begin(), "eth_unsubscribe", subscription) is False
    chain.mine([transfer()], {0: [Log(EMITTER, (), b"")]})
    drain(hub)
    assert client.sent == [] and len(hub) == 0


def test_a_closed_session_leaves_nothing_behind(client: Client, hub: Hub) -> None:
    for argument in (None, {"address": EMITTER_HEX}, {"address": [EMITTER_HEX, "0x" + BOB.hex()]}):
        client.subscribe("logs", argument)
    client.subscribe("newHeads")
    client.session.close()
    assert len(hub) == 0
    assert not hub._by_address and not hub._any_address and not any(hub._by_kind.values())


def test_limits(client: Client, hub: Hub) -> None:
    for _ in range(20):
        client.subscribe("newHeads")
    with pytest.raises(Refused) as caught:
        client.subscribe("newHeads")
    assert caught.value.code == -32005 and "the limit per connection is 20" in caught.value.message
    for _ in range(2):
        other = Client(hub, client.ask)
        for _ in range(15):
            other.subscribe("newHeads")
    with pytest.raises(Refused) as caught:
        Client(hub, client.ask).subscribe("newHeads")
    assert "the limit of this server is 50" in caught.value.message


def test_addresses_and_topics_are_limited_in_sum(client: Client) -> None:
    criteria = {"topics": [["0x" + keccak(bytes([index])).hex() for index in range(60)]]}
    subscription = client.subscribe("logs", criteria)
    with pytest.raises(Refused) as caught:
        client.subscribe("logs", criteria)
    assert "too many addresses and topics" in caught.value.message
    client.call(client.session.begin(), "eth_unsubscribe", subscription)
    client.subscribe("logs", criteria)


def test_events_nobody_wants_are_not_kept(hub: Hub, chain: FakeChain) -> None:
    for _ in range(10):
        chain.mine([])
    assert drain(hub) == 0


def test_more_events_than_can_be_sent_disconnect_the_subscribers(client: Client, hub: Hub, chain: FakeChain) -> None:
    client.subscribe("newPendingTransactions")
    tx = transfer()
    for _ in range(MAX_WAITING_EVENTS + 10):
        hub.transaction_added(tx)
    drain(hub)
    assert client.ended == ["events come faster than they can be sent"]
    assert client.sent == [] and len(hub) == 0
    fresh = Client(hub, client.ask)
    fresh.subscribe("newPendingTransactions")
    hub.transaction_added(tx)
    drain(hub)
    assert len(fresh.sent) == 1


def test_a_block_for_many_subscribers_is_sent_in_small_steps(hub: Hub, ask: Asker, chain: FakeChain) -> None:
    clients = [Client(hub, ask) for _ in range(25)]
    for item in clients:
        item.subscribe("logs", {})
    chain.mine([transfer()], {0: [Log(EMITTER, (), b"")] * 4})
    assert drain(hub) == 100
    assert all(len(item.sent) == 4 for item in clients)


@pytest.mark.parametrize(
    ("params", "code", "text"),
    [
        (("blocks",), -32601, 'no "blocks" subscription in eth namespace'),
        (("logs", {"topics": 5}), -32602, "topics: expected an array"),
        (("logs", []), -32602, "expected an object"),
        (("newPendingTransactions", "yes"), -32602, "expected true or false"),
        ((), -32602, "missing value for required argument 0 (kind)"),
    ],
)
def test_bad_subscriptions(client: Client, params: Any, code: int, text: str) -> None:
    with pytest.raises(Refused) as caught:
        client.subscribe(*params)
    assert caught.value.code == code and text in caught.value.message


def test_http_has_no_subscriptions(ask: Asker) -> None:
    for method, argument in (("eth_subscribe", "newHeads"), ("eth_unsubscribe", "0x1")):
        with pytest.raises(Refused) as caught:
            ask(method, argument)
        assert caught.value.code == -32601 and "notifications not supported" in caught.value.message


topics = st.sampled_from([A, B, keccak(b"c")])


@given(st.lists(topics, max_size=4), st.lists(st.frozensets(topics, max_size=2), max_size=4))
def test_topic_matching_is_its_definition(log_topics: list[bytes], wanted: list[frozenset[bytes]]) -> None:
    slow = all(at < len(log_topics) and (not choices or log_topics[at] in choices) for at, choices in enumerate(wanted))
    assert matches_topics(Log(EMITTER, tuple(log_topics), b""), wanted) == slow
