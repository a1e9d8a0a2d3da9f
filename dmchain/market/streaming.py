"""Subscriptions paid by the second."""

from __future__ import annotations

from typing import Final

from dmchain.market.context import Context, call
from dmchain.market.errors import InvalidInput
from dmchain.market.inputs import DatasetLike, DurationLike, duration, resolve_dataset
from dmchain.market.listings import read_offer
from dmchain.market.models import Stream
from dmchain.market.money import ZERO_ADDRESS, Token
from dmchain.market.payments import check_balance, ensure_allowance
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import build
from dmchain.market.transactions import Receipt, transact

NO_STREAMS: Final = 2**64 - 1
"""As a minimum."""


class Streams(Group[M]):
    """Money by the second: `market.streams`. What the payer gets back waits in `payouts`."""

    @operation
    def start(
        self,
        offer_id: int,
        *,
        deposit: int | str | None = None,
        lasting: DurationLike | None = None,
        licensee: str | None = None,
    ) -> Steps[Stream]:
        """Start a stream by an offer of a subscription, with a deposit, or for a time: `lasting="30d"`.

        The licence lasts as long as the deposit does.
        """
        context = self._context
        if (deposit is None) == (lasting is None):
            raise InvalidInput("stream: give either deposit or lasting")
        offer = yield from read_offer(context, offer_id)
        if deposit is None:
            seconds = duration(lasting or 0)
            amount = -(-offer.price * seconds // max(offer.period, 1))  # rounded up: no second short
        else:
            amount, _ = yield from context.amount(deposit, offer.token)
        to = yield from context.account(licensee)
        value = yield from _pay(context, offer.token, amount)
        receipt = yield from transact(context, "PaymentStream", "start", offer_id, to, amount, value=value)
        return (yield from _read(context, receipt.event("StreamStarted").arguments["streamId"]))

    @operation
    def set_minimum(self, offer_id: int, minimum: DurationLike | None) -> Steps[Receipt]:
        """As the provider, demand that streams by an offer pay for some time at least; None: no streams by it at all."""
        seconds = NO_STREAMS if minimum is None else duration(minimum)
        return (yield from transact(self._context, "PaymentStream", "setMinimum", offer_id, seconds))

    @operation
    def start_plain(
        self,
        recipient: str,
        rate: int | str,
        per: DurationLike,
        deposit: int | str,
        *,
        token: str | Token | None = None,
    ) -> Steps[Stream]:
        """Pay an account `rate` every `per`, without a licence."""
        context = self._context
        to = yield from context.account(recipient)
        price, of = yield from context.amount(rate, token)
        amount, _ = yield from context.amount(deposit, of)
        value = yield from _pay(context, of, amount)
        receipt = yield from transact(
            context, "PaymentStream", "startPlain", to, of.address, price, duration(per), amount, value=value
        )
        return (yield from _read(context, receipt.event("StreamStarted").arguments["streamId"]))

    @operation
    def top_up(self, stream_id: int, amount: int | str) -> Steps[Stream]:
        """Add to the deposit: the licence lasts longer."""
        context = self._context
        stream = yield from _read(context, stream_id)
        token = yield from context.token(stream.token)
        added, _ = yield from context.amount(amount, token)
        value = yield from _pay(context, token, added)
        yield from transact(context, "PaymentStream", "topUp", stream_id, added, value=value)
        return (yield from _read(context, stream_id))

    @operation
    def cancel(self, stream_id: int) -> Steps[Stream]:
        """Stop now: the licence ends, what has not flowed can be withdrawn by the payer."""
        yield from transact(self._context, "PaymentStream", "cancel", stream_id)
        return (yield from _read(self._context, stream_id))

    @operation
    def withdraw(self, stream_id: int) -> Steps[Receipt]:
        """Pay out what has flowed, to those it belongs to. Anyone may."""
        return (yield from transact(self._context, "PaymentStream", "withdraw", stream_id))

    @operation
    def close(self, stream_id: int) -> Steps[Stream]:
        """Close a stream that ran dry. Anyone may."""
        yield from transact(self._context, "PaymentStream", "close", stream_id)
        return (yield from _read(self._context, stream_id))

    @operation
    def stop_void(self, stream_id: int) -> Steps[Stream]:
        """Stop a stream whose data set was retired or taken over: all that is left goes back. Anyone may."""
        yield from transact(self._context, "PaymentStream", "stopVoid", stream_id)
        return (yield from _read(self._context, stream_id))

    @operation
    def get(self, stream_id: int) -> Steps[Stream]:
        """One stream with what each side may claim now. Raises errors.UnknownStream."""
        return (yield from _read(self._context, stream_id))

    @operation
    def of(self, dataset: DatasetLike, licensee: str | None = None) -> Steps[Stream | None]:
        """The stream that pays for an account's licence; None if there is none."""
        raw = yield from resolve_dataset(self._context, dataset)
        who = yield from self._context.account(licensee)
        stream_id = yield from self._context.read("PaymentStream", "streamOf", raw, who)
        return (yield from _read(self._context, stream_id)) if stream_id else None


def _pay(context: Context, token: Token, amount: int) -> Steps[int]:
    """Make an amount ready to be taken by the streams' contract; returns the native coin to send along."""
    sender = yield from context.sender()
    yield from check_balance(context, token, sender, amount)
    yield from ensure_allowance(context, token, "PaymentStream", amount)
    return amount if token.address == ZERO_ADDRESS else 0


def _read(context: Context, stream_id: int) -> Steps[Stream]:
    struct, claims = yield from context.read_all(
        [call("PaymentStream", "stream", stream_id), call("PaymentStream", "claims", stream_id)]
    )
    claimable, refundable = claims
    return build(Stream, struct, stream_id=stream_id, claimable=claimable, refundable=refundable)
