"""Money that waits to be fetched: nothing of the market is ever pushed to an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dmchain.market.answers import quantity
from dmchain.market.context import Call, Context, call, token_call
from dmchain.market.models import Owed
from dmchain.market.money import NATIVE, Token
from dmchain.market.steps import Group, M, Request, Steps, operation
from dmchain.market.structs import Amount
from dmchain.market.transactions import Receipt, send

BY_TOKEN: Final = ("LicenseManager", "EscrowPayment", "PaymentStream", "ComputeMarket")
"""Contracts that owe any token: owed(token, account)."""
NATIVE_ONLY: Final = ("DisputeResolution", "QualityOracle")
"""Contracts that owe native coin: owed(account)."""
GOVERNANCE_TOKEN: Final = ("CurationRegistry",)
"""Contracts that owe DMG: owed(account)."""


class Payouts(Group[M]):
    """What the market owes an account, and fetching it: `market.payouts`."""

    @operation
    def owed(self, account: str | None = None, *, tokens: Sequence[str | Token] = ()) -> Steps[tuple[Owed, ...]]:
        """All that an account can withdraw, in native coin, test dollars and `tokens`; zeros are left out."""
        who = yield from self._context.account(account)
        return (yield from _owed(self._context, who, tokens))

    @operation
    def withdraw(
        self, account: str | None = None, *, tokens: Sequence[str | Token] = ()
    ) -> Steps[tuple[tuple[Owed, Receipt], ...]]:
        """Fetch all of it, a transaction for each contract and token. Anyone may, for anyone: the account gets it."""
        context = self._context
        who = yield from context.account(account)
        done = []
        for each in (yield from _owed(context, who, tokens)):
            arguments = (each.token.address, who) if each.contract in BY_TOKEN else (who,)
            shown = f"withdraw {each.token.format(each.amount)} from {each.contract}"
            receipt = yield from send(context, Call(each.contract, "withdrawFor", arguments), action=shown)
            done.append((each, receipt))
        return tuple(done)


class Tokens(Group[M]):
    """Tokens that prices are in: `market.tokens`."""

    @operation
    def get(self, which: str | Token) -> Steps[Token]:
        """Symbol and decimals of a token: DM, USD, DMG, or an address."""
        return (yield from self._context.token(which))

    @operation
    def parse(self, amount: str, token: str | Token | None = None) -> Steps[Amount]:
        """ "12.50 USD" as smallest units."""
        value, _ = yield from self._context.amount(amount, token)
        return Amount(value)

    @operation
    def balance(self, token: str | Token = NATIVE, account: str | None = None) -> Steps[Amount]:
        """What an account has of a token."""
        who = yield from self._context.account(account)
        found = yield from self._context.token(token)
        if found.is_native:
            return Amount(quantity((yield Request("eth_getBalance", (who, "latest"))), "eth_getBalance"))
        (balance,) = yield from self._context.read_all([token_call(found.address, "balanceOf", who)])
        return Amount(balance)

    @operation
    def faucet(self, amount: int | str = "10000 USD", account: str | None = None) -> Steps[Receipt]:
        """Test dollars from nothing, on a devnet: up to 10,000 USD."""
        who = yield from self._context.account(account)
        value, _ = yield from self._context.amount(amount, "USD")
        return (yield from send(self._context, call("TestUSD", "mint", who, value)))

    @operation
    def transfer(self, to: str, amount: int | str, token: str | Token | None = None) -> Steps[Receipt]:
        """Send ERC-20 tokens to an account."""
        who = yield from self._context.account(to)
        value, found = yield from self._context.amount(amount, token)
        return (yield from send(self._context, token_call(found.address, "transfer", who, value)))


def _owed(context: Context, who: str, tokens: Sequence[str | Token]) -> Steps[tuple[Owed, ...]]:
    asked = {NATIVE.address: NATIVE}
    usual = ["USD"] if (yield from context.has_test_dollars()) else []
    for each in (*usual, *tokens):
        token = yield from context.token(each)
        asked[token.address] = token
    governance = yield from context.token("DMG")
    wanted: list[tuple[str, Token, tuple[str, ...]]]
    wanted = [(contract, token, (token.address, who)) for contract in BY_TOKEN for token in asked.values()]
    wanted += [(contract, NATIVE, (who,)) for contract in NATIVE_ONLY]
    wanted += [(contract, governance, (who,)) for contract in GOVERNANCE_TOKEN]
    amounts = yield from context.read_all([Call(contract, "owed", arguments) for contract, _, arguments in wanted])
    return tuple(
        Owed(contract, token, amount) for (contract, token, _), amount in zip(wanted, amounts, strict=True) if amount
    )
