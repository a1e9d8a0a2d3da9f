"""web3.py's WebSocket provider: subscriptions, and requests over the same socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from web3 import AsyncWeb3, WebSocketProvider
from web3.exceptions import ContractCustomError

from tests.clients.nodes import Node
from tests.clients.toolchain import Contract

DEADLINE_S = 20
RECIPIENT = "0x" + "00" * 18 + "b0b0"


def over_websocket(node: Node, session: Callable[[AsyncWeb3], Awaitable[Any]]) -> Any:
    """Run one coroutine on a fresh connection, with a deadline for all of it."""

    async def run() -> Any:
        async with asyncio.timeout(DEADLINE_S):
            async with AsyncWeb3(WebSocketProvider(node.ws)) as w3:
                return await session(w3)

    return asyncio.run(run())


async def transact(w3: AsyncWeb3, account: LocalAccount, transaction: dict[str, Any]) -> dict[str, Any]:
    transaction.setdefault("nonce", await w3.eth.get_transaction_count(account.address))
    sent = await w3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    return dict(await w3.eth.wait_for_transaction_receipt(sent, timeout=20, poll_latency=0.02))


async def transfer(w3: AsyncWeb3, account: LocalAccount) -> dict[str, Any]:
    return await transact(
        w3,
        account,
        {"chainId": await w3.eth.chain_id, "to": RECIPIENT, "value": 1, "gas": 21000, "gasPrice": 10**10},
    )


async def notifications(w3: AsyncWeb3, subscription: str, wanted: Callable[[list[Any]], bool]) -> list[Any]:
    """Results of one subscription, until ``wanted`` says they are enough."""
    seen: list[Any] = []
    async for message in w3.socket.process_subscriptions():
        if message["subscription"] == subscription:
            seen.append(message["result"])
        if wanted(seen):
            return seen
    raise AssertionError("the socket was closed")


def test_requests_over_one_socket_are_answered_in_parallel(node: Node) -> None:
    async def session(w3: AsyncWeb3) -> None:
        numbers = await asyncio.gather(*(w3.eth.get_block(0) for _ in range(50)))
        assert {block["number"] for block in numbers} == {0}
        assert await w3.eth.chain_id == node.chain_id

    over_websocket(node, session)


def test_batch_over_the_socket_keeps_its_order(node: Node) -> None:
    async def session(w3: AsyncWeb3) -> None:
        async with w3.batch_requests() as batch:
            batch.add(w3.eth.get_block(0))
            batch.add(w3.eth.get_balance(node.accounts[1].address))
            block, balance = await batch.async_execute()
        assert block["number"] == 0
        assert balance > 0

    over_websocket(node, session)


def test_new_heads_arrive_with_every_header_field(node: Node, account: LocalAccount) -> None:
    async def session(w3: AsyncWeb3) -> None:
        subscription = await w3.eth.subscribe("newHeads")
        receipt = await transfer(w3, account)
        heads = await notifications(w3, subscription, lambda seen: any(h["hash"] == receipt["blockHash"] for h in seen))
        head = next(h for h in heads if h["hash"] == receipt["blockHash"])
        block = await w3.eth.get_block(receipt["blockHash"])
        for name in (
            "parentHash",
            "stateRoot",
            "transactionsRoot",
            "receiptsRoot",
            "timestamp",
            "baseFeePerGas",
        ):
            assert head[name] == block[name], name
        assert await w3.eth.unsubscribe(subscription) is True

    over_websocket(node, session)


def test_heads_are_told_once_each_and_in_order(node: Node, account: LocalAccount) -> None:
    async def session(w3: AsyncWeb3) -> None:
        subscription = await w3.eth.subscribe("newHeads")
        for _ in range(5):
            last = await transfer(w3, account)
        heads = await notifications(w3, subscription, lambda seen: any(h["hash"] == last["blockHash"] for h in seen))
        numbers = [h["number"] for h in heads]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        for parent, child in itertools.pairwise(heads):
            assert child["parentHash"] == parent["hash"]

    over_websocket(node, session)


def test_log_subscription_filters_by_address_and_topic(
    node: Node, account: LocalAccount, tokens: dict[str, Contract]
) -> None:
    async def session(w3: AsyncWeb3) -> None:
        recipient = w3.to_checksum_address(RECIPIENT)
        built = tokens["Coin"]
        factory = w3.eth.contract(abi=built.abi, bytecode=built.bytecode)
        coins = []
        for _ in range(2):
            receipt = await transact(
                w3, account, await factory.constructor(1000).build_transaction({"from": account.address})
            )
            coins.append(w3.eth.contract(receipt["contractAddress"], abi=built.abi))
        topic = w3.keccak(text="Transfer(address,address,uint256)")
        to_recipient = "0x" + bytes.fromhex(recipient[2:]).rjust(32, b"\0").hex()
        subscription = await w3.eth.subscribe(
            "logs", {"address": coins[0].address, "topics": [topic, None, to_recipient]}
        )
        for coin, to, amount in (
            (coins[1], recipient, 1),
            (coins[0], account.address, 2),
            (coins[0], recipient, 3),
            (coins[0], recipient, 4),
        ):
            await transact(
                w3,
                account,
                await coin.functions.transfer(to, amount).build_transaction({"from": account.address}),
            )
        seen = await notifications(w3, subscription, lambda logs: len(logs) == 2)
        amounts = [coins[0].events.Transfer().process_log(log)["args"]["value"] for log in seen]
        assert amounts == [3, 4]
        assert all(log["removed"] is False for log in seen)

    over_websocket(node, session)


@pytest.mark.parametrize("full", [False, True])
def test_pending_transactions_are_announced(node: Node, account: LocalAccount, full: bool) -> None:
    async def session(w3: AsyncWeb3) -> None:
        subscription = await w3.eth.subscribe("newPendingTransactions", *([True] if full else []))
        receipt = await transfer(w3, account)
        seen = await notifications(
            w3,
            subscription,
            lambda seen: any((t["hash"] if full else t) == receipt["transactionHash"] for t in seen),
        )
        if full:
            told = next(t for t in seen if t["hash"] == receipt["transactionHash"])
            assert told["from"] == account.address

    over_websocket(node, session)


def test_unsubscribed_stays_silent(node: Node, account: LocalAccount) -> None:
    async def session(w3: AsyncWeb3) -> None:
        silent = await w3.eth.subscribe("newHeads")
        assert await w3.eth.unsubscribe(silent) is True
        loud = await w3.eth.subscribe("newHeads")
        receipt = await transfer(w3, account)
        async for message in w3.socket.process_subscriptions():
            assert message["subscription"] == loud
            if message["result"]["hash"] == receipt["blockHash"]:
                return

    over_websocket(node, session)


def test_custom_error_crosses_the_socket(node: Node, tokens: dict[str, Contract], account: LocalAccount) -> None:
    async def session(w3: AsyncWeb3) -> None:
        built = tokens["Card"]
        factory = w3.eth.contract(abi=built.abi, bytecode=built.bytecode)
        receipt = await transact(w3, account, await factory.constructor().build_transaction({"from": account.address}))
        card = w3.eth.contract(receipt["contractAddress"], abi=built.abi)
        with pytest.raises(ContractCustomError, match="0x7e273289"):
            await card.functions.ownerOf(1).call()

    over_websocket(node, session)
