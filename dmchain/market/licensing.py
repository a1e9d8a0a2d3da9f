"""Buying licences, and what follows: verifying, renewing, cancelling, confirming, refunding, rating."""

from __future__ import annotations

from typing import Any, Final

from dmchain.market import cids
from dmchain.market.chain import deadline_after
from dmchain.market.context import Context, call
from dmchain.market.enums import LicenseKind
from dmchain.market.errors import InvalidInput, MarketError, NotFound, Reverted
from dmchain.market.inputs import DatasetLike, DurationLike, hashed, kind_of, resolve_dataset
from dmchain.market.listings import read_offer
from dmchain.market.models import Escrow, License, Offer, Purchase, Quote, Rating, Reputation, Term
from dmchain.market.money import NATIVE
from dmchain.market.payments import check_balance, purchase
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import Amount, build
from dmchain.market.transactions import Receipt, transact

MAX_PAGE: Final = 100


def read_purchase(context: Context, purchase_id: int, transaction_hash: str = "") -> Steps[Purchase]:
    struct = yield from context.read("LicenseManager", "purchaseOf", purchase_id)
    return build(Purchase, struct, purchase_id=purchase_id, transaction_hash=transaction_hash)


def read_term(context: Context, term_id: int) -> Steps[Term]:
    struct, is_intact, periods = yield from context.try_all(
        [call("LicenseManager", name, term_id) for name in ("term", "isIntact", "periodsOf")]
    )
    for answer in (struct, is_intact):
        if isinstance(answer, MarketError):
            raise answer
    if isinstance(periods, Reverted):  # not a subscription
        periods = (0, 0)
    elif isinstance(periods, MarketError):
        raise periods
    token = NATIVE
    if struct["offerId"]:  # a gift has none
        token = (yield from read_offer(context, struct["offerId"])).token
    return build(
        Term,
        struct,
        term_id=term_id,
        token=token,
        is_intact=is_intact,
        collectable_periods=periods[0],
        refundable_periods=periods[1],
    )


def read_escrow(context: Context, escrow_id: int) -> Steps[Escrow]:
    return build(Escrow, (yield from context.read("EscrowPayment", "escrow", escrow_id)), escrow_id=escrow_id)


def escrow_of(context: Context, purchase_id: int) -> Steps[int]:
    """The escrow in which a purchase's price waits. Raises NotFound."""
    bought = yield from read_purchase(context, purchase_id)
    if not bought.escrow_id:
        raise NotFound(
            f"purchase {purchase_id} has no escrow: it was settled at once",
            hint="offers with an escrow period let the buyer confirm or dispute first",
        )
    return bought.escrow_id


class Licensing(Group[M]):
    """Operations of `Market` about licences."""

    @operation
    def quote(self, offer_id: int, quantity: int = 1) -> Steps[Quote]:
        """What a quantity costs, and how that is divided."""
        return (yield from _quote(self._context, offer_id, quantity))

    @operation
    def buy(
        self, offer_id: int, quantity: int = 1, *, licensee: str | None = None, max_amount: int | str | None = None
    ) -> Steps[Purchase]:
        """Buy from an offer: a licence, periods of a subscription, or units.

        `licensee` gets the licence instead of the signer, as a gift. The price is paid with the transaction: native
        coin, or an ERC-20 by a permit, or after an approval of exactly the price. `max_amount` is the price of the
        moment unless given. Raises InsufficientFunds, errors.LicenseHeld, errors.SoldOut, errors.OfferIsClosed, …
        """
        return (yield from _buy(self._context, offer_id, quantity, licensee, max_amount))

    @operation
    def renew(self, dataset: DatasetLike, quantity: int = 1, *, licensee: str | None = None) -> Steps[Purchase]:
        """Buy more of what the account has: more periods or units, by the offer of its current term."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        account = yield from context.account(licensee)
        term_id = yield from context.read("LicenseManager", "termOf", raw, account)
        if not term_id:
            raise NotFound(f"{account} has bought no licence of 0x{raw.hex()}")
        term = yield from context.read("LicenseManager", "term", term_id)
        return (yield from _buy(context, term["offerId"], quantity, account, None))

    @operation
    def subscribe(
        self, dataset: DatasetLike, periods: int = 1, *, offer_id: int | None = None, licensee: str | None = None
    ) -> Steps[Purchase]:
        """Buy periods of a subscription: of the cheapest offer of one, unless an offer is named."""
        context = self._context
        if offer_id is None:
            raw = yield from resolve_dataset(context, dataset)
            offer = yield from _cheapest(context, raw, LicenseKind.SUBSCRIPTION)
            offer_id = offer.offer_id
        return (yield from _buy(context, offer_id, periods, licensee, None))

    @operation
    def cancel(self, term_id: int) -> Steps[Receipt]:
        """Stop a subscription: what has not begun is refunded (see `payouts`), the licence ends with this period.

        `term_id` is the purchase that began it. Prepaid units are given back by `refund_units`.
        """
        return (yield from transact(self._context, "LicenseManager", "cancel", term_id))

    @operation
    def collect(self, term_id: int) -> Steps[Receipt]:
        """Pay out the periods of a subscription that have begun, to the provider's side. Anyone may."""
        return (yield from transact(self._context, "LicenseManager", "collect", term_id))

    @operation
    def consume(self, dataset: DatasetLike, units: int) -> Steps[int]:
        """Use up prepaid units of the signer's; returns how many are left."""
        raw = yield from resolve_dataset(self._context, dataset)
        receipt = yield from transact(self._context, "LicenseManager", "consume", raw, units)
        return int(receipt.event("UnitsUsed").arguments["left"])

    @operation
    def refund_units(self, term_id: int) -> Steps[Receipt]:
        """Get the price of unused units back; the licence ends."""
        return (yield from transact(self._context, "LicenseManager", "refundUnits", term_id))

    @operation
    def renounce(self, dataset: DatasetLike) -> Steps[Receipt]:
        """Give up the signer's licence."""
        raw = yield from resolve_dataset(self._context, dataset)
        return (yield from transact(self._context, "LicenseManager", "renounce", raw))

    @operation
    def gift(
        self,
        dataset: DatasetLike,
        licensee: str,
        *,
        kind: LicenseKind | str = LicenseKind.ONE_TIME,
        valid_for: DurationLike = 0,
        units: int = 0,
        terms: str | bytes | None = None,
    ) -> Steps[Purchase]:
        """Give a licence of the signer's own data set for nothing."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        to = yield from context.account(licensee)
        until = yield from deadline_after(valid_for)
        receipt = yield from transact(
            context, "LicenseManager", "gift", raw, to, int(kind_of(kind)), until, units, hashed(terms)
        )
        purchase_id = receipt.event("Granted").arguments["purchaseId"]
        return (yield from read_purchase(context, purchase_id, receipt.transaction_hash))

    @operation
    def verify(self, dataset: DatasetLike, account: str | None = None) -> Steps[License]:
        """The licence an account holds now: `.is_valid` says whether it may use the data. One call of the ledger."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        who = yield from context.account(account)
        struct = yield from context.read("LicenseLedger", "licenseOf", raw, who)
        return build(License, struct, dataset_id="0x" + raw.hex(), licensee=who)

    @operation
    def purchase(self, purchase_id: int) -> Steps[Purchase]:
        """One purchase. Raises errors.UnknownPurchase."""
        return (yield from read_purchase(self._context, purchase_id))

    @operation
    def purchases(
        self, account: str | None = None, *, offset: int = 0, limit: int = 100
    ) -> Steps[tuple[Purchase, ...]]:
        """What an account bought or was given, oldest first."""
        context = self._context
        who = yield from context.account(account)
        ids = yield from context.read("LicenseManager", "purchasesOf", who, offset, min(limit, MAX_PAGE))
        structs = yield from context.read_all([call("LicenseManager", "purchaseOf", each) for each in ids])
        return tuple(build(Purchase, each, purchase_id=at) for at, each in zip(ids, structs, strict=True))

    @operation
    def term(self, term_id: int) -> Steps[Term]:
        """The term that a purchase began: periods or units that are left, and what could be refunded."""
        return (yield from read_term(self._context, term_id))

    @operation
    def confirm(self, purchase_id: int) -> Steps[Receipt]:
        """Say that the data was delivered as promised: the provider is paid at once."""
        escrow_id = yield from escrow_of(self._context, purchase_id)
        return (yield from transact(self._context, "EscrowPayment", "confirm", escrow_id))

    @operation
    def refund(self, purchase_id: int, amount: int | str | None = None) -> Steps[Receipt]:
        """Give money of a purchase back, as the data set's owner: a part, or all (which ends the licence)."""
        context = self._context
        escrow_id = yield from escrow_of(context, purchase_id)
        held = yield from read_escrow(context, escrow_id)
        wanted: int = held.amount
        if amount is not None:
            wanted, _ = yield from context.amount(amount, held.token)
        return (yield from transact(context, "EscrowPayment", "refund", escrow_id, wanted))

    @operation
    def rate(self, dataset: DatasetLike, stars: int, comment: str | bytes | None = None) -> Steps[Rating]:
        """Rate a data set with 1 to 5 stars, as a licensee who paid; `comment` is the CID of a text."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        sender = yield from context.sender()
        if not 1 <= stars <= 5:
            raise InvalidInput(f"stars: got {stars}, expected 1 to 5")
        yield from transact(context, "Reputation", "rate", raw, stars, cids.to_optional_bytes(comment))
        struct = yield from context.read("Reputation", "ratingOf", raw, sender)
        return build(Rating, struct, dataset_id="0x" + raw.hex(), licensee=sender)

    @operation
    def reputation(self, provider: str | None = None, *, dataset: DatasetLike | None = None) -> Steps[Reputation]:
        """Score and record of a provider, or of a data set."""
        context = self._context
        if dataset is not None:
            subject: Any = yield from resolve_dataset(context, dataset)
            names = ("datasetRecord", "datasetScore")
        else:
            subject = yield from context.account(provider)
            names = ("recordOf", "scoreOf")
        record, score = yield from context.read_all([call("Reputation", name, subject) for name in names])
        return build(Reputation, record, score=score)


class Escrows(Group[M]):
    """Money that waits for the buyer's word, a date, a score or a jury: `market.escrow`."""

    @operation
    def get(self, escrow_id: int) -> Steps[Escrow]:
        """One escrow. Raises errors.UnknownEscrow."""
        return (yield from read_escrow(self._context, escrow_id))

    @operation
    def of(self, purchase_id: int) -> Steps[Escrow]:
        """The escrow of a purchase. Raises NotFound when it was settled at once."""
        return (yield from read_escrow(self._context, (yield from escrow_of(self._context, purchase_id))))

    @operation
    def release(self, escrow_id: int) -> Steps[Receipt]:
        """Pay the provider after the deadline passed in silence. Anyone may."""
        return (yield from transact(self._context, "EscrowPayment", "release", escrow_id))

    @operation
    def settle_by_oracle(self, escrow_id: int) -> Steps[Receipt]:
        """Apply the oracle's score: enough pays the provider, too little pays the buyer back. Anyone may."""
        return (yield from transact(self._context, "EscrowPayment", "settleByOracle", escrow_id))

    @operation
    def refund_unanswered(self, escrow_id: int) -> Steps[Receipt]:
        """Take the money back when the oracle has not answered in time."""
        return (yield from transact(self._context, "EscrowPayment", "refundUnanswered", escrow_id))

    @operation
    def refund_void(self, escrow_id: int) -> Steps[Receipt]:
        """Pay all back because the data set was retired or taken over. Anyone may."""
        return (yield from transact(self._context, "EscrowPayment", "refundVoid", escrow_id))


def _quote(context: Context, offer_id: int, quantity: int) -> Steps[Quote]:
    struct, parts = yield from context.read_all(
        [call("LicenseManager", "offer", offer_id), call("LicenseManager", "quote", offer_id, quantity)]
    )
    token = yield from context.token(struct["token"])
    return Quote(offer_id, quantity, token, *(Amount(each) for each in parts))


def _buy(
    context: Context, offer_id: int, quantity: int, licensee: str | None, max_amount: int | str | None
) -> Steps[Purchase]:
    sender = yield from context.sender()
    to = sender if licensee is None else (yield from context.account(licensee))
    quoted = yield from _quote(context, offer_id, quantity)
    if max_amount is not None:
        most, _ = yield from context.amount(max_amount, quoted.token)
        if quoted.amount > most:
            raise InvalidInput(
                f"offer {offer_id}: costs {quoted.token.format(quoted.amount)}, expected at most "
                f"{quoted.token.format(most)}"
            )
    yield from check_balance(context, quoted.token, sender, quoted.amount)
    receipt = yield from purchase(context, offer_id, to, quantity, quoted.amount, quoted.token)
    purchase_id = receipt.event("Purchased").arguments["purchaseId"]
    return (yield from read_purchase(context, purchase_id, receipt.transaction_hash))


def _cheapest(context: Context, raw: bytes, kind: LicenseKind) -> Steps[Offer]:
    ids = yield from context.read("LicenseManager", "offersOf", raw, 0, MAX_PAGE)
    found = []
    for each in ids:
        offer = yield from read_offer(context, each)
        if offer.kind is kind and offer.is_sellable:
            found.append(offer)
    if not found:
        shown = kind.name.lower().replace("_", "-")
        raise NotFound(
            f"0x{raw.hex()} has no {shown} offer that is open", hint="`dmchain market show` lists its offers"
        )
    tokens = {each.token.address for each in found}
    if len(tokens) > 1:
        ids_shown = ", ".join(str(each.offer_id) for each in found)
        raise InvalidInput(f"0x{raw.hex()} has offers in several tokens ({ids_shown}): name one of them")
    return min(found, key=lambda each: each.price)
