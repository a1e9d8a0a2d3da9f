"""Transferable access: tokens that can be traded, and redeemed for a licence."""

from __future__ import annotations

from typing import Final

from dmchain.market.context import Context
from dmchain.market.inputs import DatasetLike, resolve_dataset
from dmchain.market.licensing import read_term
from dmchain.market.models import Sale, Term, TokenClass
from dmchain.market.money import Token
from dmchain.market.payments import check_balance, ensure_allowance
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import Amount, build
from dmchain.market.transactions import Receipt, transact

CONTRACT: Final = "Datatoken"


class Datatokens(Group[M]):
    """Datatokens: `market.datatokens`. A class belongs to an offer: one token is a licence, a period or a unit of it."""

    @operation
    def issue(
        self,
        dataset: DatasetLike,
        offer_id: int,
        supply: int,
        *,
        resale_royalty_bps: int = 0,
        is_restricted: bool = False,
    ) -> Steps[TokenClass]:
        """Make tokens on an offer of the signer's data set. Restricted ones are only traded in the book."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        arguments = (raw, offer_id, supply, resale_royalty_bps, is_restricted)
        receipt = yield from transact(context, CONTRACT, "issue", *arguments)
        return (yield from _read_class(context, receipt.event("ClassIssued").arguments["classId"]))

    @operation
    def sell(
        self, class_id: int, amount: int, unit_price: int | str, *, token: str | Token | None = None
    ) -> Steps[Sale]:
        """Offer tokens of the signer's at a price each."""
        context = self._context
        price, of = yield from context.amount(unit_price, token)
        receipt = yield from transact(context, CONTRACT, "sell", class_id, amount, of.address, price)
        return (yield from _read_sale(context, receipt.event("SaleOpened").arguments["orderId"]))

    @operation
    def cancel_sale(self, order_id: int) -> Steps[Receipt]:
        """Take back what is left of a sale."""
        return (yield from transact(self._context, CONTRACT, "cancelSale", order_id))

    @operation
    def buy(self, order_id: int, amount: int = 1) -> Steps[Receipt]:
        """Buy tokens of a sale at its price."""
        context = self._context
        sale = yield from _read_sale(context, order_id)
        price = sale.unit_price * amount
        sender = yield from context.sender()
        yield from check_balance(context, sale.token, sender, price)
        yield from ensure_allowance(context, sale.token, CONTRACT, price)
        value = price if sale.token.is_native else 0
        return (yield from transact(context, CONTRACT, "buy", order_id, amount, price, value=value))

    @operation
    def redeem(self, class_id: int, amount: int = 1) -> Steps[Term]:
        """Burn tokens for a licence, periods or units."""
        context = self._context
        receipt = yield from transact(context, CONTRACT, "redeem", class_id, amount)
        return (yield from read_term(context, receipt.event("Redeemed").arguments["termId"]))

    @operation
    def transfer(self, to: str, class_id: int, amount: int = 1) -> Steps[Receipt]:
        """Send tokens of a class that is not restricted."""
        sender = yield from self._context.sender()
        who = yield from self._context.account(to)
        return (yield from transact(self._context, CONTRACT, "safeTransferFrom", sender, who, class_id, amount, b""))

    @operation
    def get(self, class_id: int) -> Steps[TokenClass]:
        """One class. Raises errors.UnknownClass."""
        return (yield from _read_class(self._context, class_id))

    @operation
    def sale(self, order_id: int) -> Steps[Sale]:
        """One sale. Raises errors.UnknownSale."""
        return (yield from _read_sale(self._context, order_id))

    @operation
    def balance(self, class_id: int, account: str | None = None) -> Steps[int]:
        """Tokens of a class that an account has."""
        who = yield from self._context.account(account)
        return int((yield from self._context.read(CONTRACT, "balanceOf", who, class_id)))

    @operation
    def quote(self, order_id: int, amount: int = 1) -> Steps[tuple[Amount, Amount, Amount, Amount]]:
        """Price, platform fee, royalty and the seller's proceeds of a purchase, in the sale's token."""
        price, fee, royalty, proceeds = yield from self._context.read(CONTRACT, "quoteSale", order_id, amount)
        return Amount(price), Amount(fee), Amount(royalty), Amount(proceeds)


def _read_class(context: Context, class_id: int) -> Steps[TokenClass]:
    return build(TokenClass, (yield from context.read(CONTRACT, "class", class_id)), class_id=class_id)


def _read_sale(context: Context, order_id: int) -> Steps[Sale]:
    struct = yield from context.read(CONTRACT, "sale", order_id)
    token = yield from context.token(struct["token"])
    return build(Sale, struct, order_id=order_id, token=token)
