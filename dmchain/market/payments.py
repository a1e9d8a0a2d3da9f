"""How an operation pays: native coin with the call, ERC-20 by permit or by an allowance of exactly the amount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from dmchain.market.answers import quantity
from dmchain.market.chain import chain_time
from dmchain.market.context import Context, call, token_call
from dmchain.market.erc20 import permit_document
from dmchain.market.errors import InsufficientFunds, MarketError, Reverted, RpcFailure
from dmchain.market.money import Token, format_amount
from dmchain.market.steps import Request, Steps
from dmchain.market.transactions import Receipt, send

PERMIT_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Permit:
    """A signed ERC-2612 permit."""

    deadline: int
    v: int
    r: bytes
    s: bytes


def check_balance(context: Context, token: Token, account: str, amount: int) -> Steps[None]:
    """Raises InsufficientFunds that says what there is and what is needed."""
    if token.is_native:
        balance = quantity((yield Request("eth_getBalance", (account, "latest"))), "eth_getBalance")
    else:
        (balance,) = yield from context.read_all([token_call(token.address, "balanceOf", account)])
    if balance < amount:
        raise InsufficientFunds(
            f"{account}: got {format_amount(balance, token)}, needed {format_amount(amount, token)}",
            hint="on a devnet `dmchain market faucet` gives test dollars" if not token.is_native else None,
        )


def ensure_allowance(context: Context, token: Token, spender_name: str, amount: int) -> Steps[Receipt | None]:
    """Let a contract of the market take `amount` of the sender's token, and no more; nothing if it already may."""
    if token.is_native or not amount:
        return None
    sender = yield from context.sender()
    spender = yield from context.address_of(spender_name)
    (allowed,) = yield from context.read_all([token_call(token.address, "allowance", sender, spender)])
    if allowed >= amount:
        return None
    shown = f"allow {spender_name} to take {format_amount(amount, token)}"
    approval = token_call(token.address, "approve", spender, amount)
    try:
        return (yield from send(context, approval, action=shown))
    except Reverted:
        if not allowed:
            raise
        # some tokens change an allowance only from or to zero
        yield from send(
            context, token_call(token.address, "approve", spender, 0), action=f"forbid {spender_name} the rest"
        )
        return (yield from send(context, approval, action=shown))


def sign_permit(context: Context, token: Token, spender_name: str, amount: int) -> Steps[Permit | None]:
    """A permit for exactly `amount`; None when the token has no ERC-2612 permit or the signer cannot sign one."""
    owner = yield from context.sender()
    spender = yield from context.address_of(spender_name)
    chain_id = yield from context.chain_id()
    nonce, domain, name = yield from context.try_all(
        [
            token_call(token.address, "nonces", owner),
            token_call(token.address, "eip712Domain"),
            token_call(token.address, "name"),
        ]
    )
    if isinstance(nonce, MarketError):
        return None
    version = "1"
    if not isinstance(domain, MarketError):
        name, version = domain[1], domain[2]
        if domain[3] != chain_id or domain[4].lower() != token.address.lower():
            return None  # a domain we would sign for somebody else
    if isinstance(name, MarketError):
        return None
    deadline = (yield from chain_time()) + PERMIT_SECONDS
    document = permit_document(
        name=name, version=version, chain_id=chain_id, token=token.address, owner=owner, spender=spender,
        value=amount, nonce=nonce, deadline=deadline,
    )  # fmt: skip
    try:
        signature = yield from context.require_signer().sign_typed(document)
    except (RpcFailure, NotImplementedError):
        return None
    v = signature[64] + 27 if signature[64] < 27 else signature[64]
    return Permit(deadline, v, signature[:32], signature[32:64])


def purchase(
    context: Context, offer_id: int, licensee: str, quantity: int, amount: int, token: Token
) -> Steps[Receipt]:
    """Buy and pay: with value, within an allowance that is there, by permit, or after an approval, in this order."""
    arguments: tuple[Any, ...] = (offer_id, licensee, quantity, amount)
    plain = call("LicenseManager", "purchase", *arguments)
    if token.is_native:
        return (yield from send(context, plain, value=amount))
    sender = yield from context.sender()
    spender = yield from context.address_of("LicenseManager")
    (allowed,) = yield from context.read_all([token_call(token.address, "allowance", sender, spender)])
    if allowed < amount:
        permit = yield from sign_permit(context, token, "LicenseManager", amount)
        if permit is not None:
            by_permit = call(
                "LicenseManager", "purchaseWithPermit", *arguments, permit.deadline, permit.v, permit.r, permit.s
            )
            try:
                return (yield from send(context, by_permit))
            except Reverted as error:
                if error.name != "ERC20InsufficientAllowance":  # the token took the permit for something else
                    raise
        yield from ensure_allowance(context, token, "LicenseManager", amount)
    return (yield from send(context, plain))
