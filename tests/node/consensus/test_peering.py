"""A node among its peers: who announces what it does not have keeps nobody waiting, and who does not read is not served."""

from __future__ import annotations

import trio

from dmchain.chain.primitives.transaction import Transaction
from dmchain.node.consensus.peering import MAX_UNREAD_BYTES
from dmchain.node.network.messages import (
    Blocks,
    GetBlocks,
    GetTransactions,
    Refusal,
    Reply,
    Request,
    TransactionHashes,
    Transactions,
)
from tests.node.consensus.validators import Stranger, cut, open_network, signed_transfer, until


def announce(stranger: Stranger, transaction: Transaction) -> None:
    for peer in list(stranger.peers.values()):
        peer.send(TransactionHashes((transaction.hash,)))


async def test_whoever_announces_what_it_does_not_deliver_is_passed_over() -> None:
    async with open_network(1) as network:
        await network.start()
        node = network.nodes[0]
        tx = signed_transfer(0)

        async def deliver_nothing(request: Request) -> Reply:
            await trio.sleep(0.2)
            return Transactions(())

        async def deliver(request: Request) -> Reply:
            assert request == GetTransactions((tx.hash,))
            return Transactions((tx.raw,))

        async with (
            network.stranger(key=601, answer=deliver_nothing) as liar,
            network.stranger(key=602, answer=deliver) as friend,
        ):
            announce(liar, tx)
            await until(lambda: liar.requests == 1, 5, "asked")
            announce(friend, tx)
            await until(lambda: node.backend.transaction(tx.hash) is not None, 5, "it is there")
            assert not liar.is_cut and not friend.is_cut
            gossip = node.validator.peering.transactions
            await until(lambda: not gossip._asked and gossip._pulls == 0, 5, "nothing is left over")


async def test_transactions_nobody_asked_for_or_signed_ban_whoever_sends_them() -> None:
    async with open_network(1) as network:
        await network.start()
        wanted, other = signed_transfer(0), signed_transfer(1)
        broken = bytearray(wanted.raw)
        broken[-1] ^= 1

        for number, raw in enumerate((other.raw, b"\xff" * 50, Transaction.decode(bytes(broken)).raw)):

            async def deliver(request: Request, raw: bytes = raw) -> Reply:
                return Transactions((raw,))

            async with network.stranger(key=700 + number, answer=deliver) as stranger:
                for _ in range(2):
                    announce(stranger, wanted)
                    await trio.sleep(0.1)
                await cut(stranger)
        await network.decide()


class SlowReader:
    """A connected peer, as far as answering it goes."""

    number = 999
    queued_bytes = MAX_UNREAD_BYTES + 1


async def test_a_peer_that_does_not_read_gets_no_more_replies_made() -> None:
    async with open_network(1) as network:
        await network.start()
        await network.decide()
        peering, reader = network.nodes[0].validator.peering, SlowReader()
        request = GetBlocks(1, 10)
        assert isinstance(await peering.on_request(reader, request), Refusal)  # type: ignore[arg-type]  # not connected
        peering._turns[reader.number] = trio.Lock()
        replies: list[Reply] = []

        async def ask() -> None:
            replies.append(await peering.on_request(reader, request))  # type: ignore[arg-type]

        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask)
            await trio.sleep(0.2)
            assert not replies
            reader.queued_bytes = 0
        assert len(replies) == 4
        assert all(isinstance(reply, Blocks) and len(reply.blocks) == 1 for reply in replies)
