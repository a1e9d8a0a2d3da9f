"""A data set published, bought, used and paid for, twice: blocking, and on asyncio with two consumers at once.

dmchain devnet &
python examples/market_sdk.py [http://127.0.0.1:8545]
"""

from __future__ import annotations

import asyncio
import os
import sys

from dmchain.market import AsyncMarket, Market, cids, errors, one_time, pay_per_compute, subscription, unlocked


def blocking(url: str) -> None:
    """A provider sells, a consumer buys and confirms, the provider fetches its money."""
    provider = Market(url, signer=unlocked(1))
    consumer = Market(url, signer=unlocked(2), on_progress=lambda each: print(f"  {each.action}: {each.stage}"))

    content = b"ten thousand labelled pictures of cats " + os.urandom(8)
    listing = provider.publish(
        cids.of_content(content),
        spdx="CC-BY-4.0",
        format="image/png",
        size_bytes=len(content),
        offers=[one_time("25 USD", escrow="3d"), subscription("10 USD", "30d"), pay_per_compute("0.05 USD")],
    )
    print("listed", listing.dataset_id)

    quote = consumer.quote(listing.offer_ids[0])
    print("costs", quote.token.format(quote.amount), "of which the platform gets", quote.token.format(quote.fee))
    purchase = consumer.buy(listing.offer_ids[0])
    print("licensed:", consumer.verify(listing.dataset_id).is_valid)

    consumer.confirm(purchase.purchase_id)
    for owed, receipt in provider.payouts.withdraw():
        print("fetched", owed.token.format(owed.amount), "in block", receipt.block_number)

    try:
        consumer.buy(listing.offer_ids[0])
    except errors.LicenseHeld as error:
        print(error, "-", error.hint)


async def awaited(url: str) -> None:
    """The same operations, awaited: two consumers subscribe at once."""
    async with AsyncMarket(url, signer=unlocked(1)) as provider:
        content = os.urandom(32)
        listing = await provider.publish(
            cids.of_content(content), spdx="CC-BY-4.0", offers=[subscription("10 USD", "30d")]
        )
        consumers = [provider.connected_as(unlocked(index)) for index in (2, 3)]
        bought = await asyncio.gather(*(each.subscribe(listing.dataset_id, 3) for each in consumers))
        print("subscribed:", [each.purchase_id for each in bought])
        await consumers[0].cancel(bought[0].term_id)
        for owed in await consumers[0].payouts.owed():
            print("to fetch after cancelling:", owed.token.format(owed.amount))


if __name__ == "__main__":
    node = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8545"
    blocking(node)
    asyncio.run(awaited(node))
