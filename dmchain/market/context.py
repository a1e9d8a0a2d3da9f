"""What the operations of one market share: the chain it is on, its contracts, its signer, and how long to wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dmchain.market import addresses, answers
from dmchain.market.abi import Entry, Interface, load_interface
from dmchain.market.erc20 import ERC20
from dmchain.market.errors import (
    InvalidInput,
    MarketError,
    NoSigner,
    NotDeployed,
    RpcFailure,
    WrongNetwork,
    decode_revert,
)
from dmchain.market.money import NATIVE, ZERO_ADDRESS, Token, parse_amount, split_amount
from dmchain.market.signers import Signer
from dmchain.market.steps import Batch, Request, Steps

EXECUTION_REVERTED = 3
BATCH_SIZE = 250
"""Calls in one round trip; a node takes 500."""
MAX_SYMBOL = 32


@dataclass(frozen=True, slots=True)
class Progress:
    """What an operation is doing: `action` is for people ("purchase"), `stage` one of sending, sent, mined."""

    action: str
    stage: str
    transaction_hash: str | None = None
    block_number: int | None = None


@dataclass(frozen=True, slots=True)
class Fees:
    """EIP-1559 fees in wei per gas; None: the node's suggestion, and twice the base fee on top of it."""

    tip: int | None = None
    max_fee: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a contract of the market, or of an ERC-20 token if `address` is given."""

    contract: str
    function: str
    arguments: tuple[Any, ...] = ()
    address: str | None = None

    @property
    def interface(self) -> Interface:
        return ERC20 if self.contract == ERC20.name else load_interface(self.contract)

    @property
    def entry(self) -> Entry:
        return self.interface.function(self.function, len(self.arguments))


def call(contract: str, function: str, *arguments: Any) -> Call:
    """Shorthand: `call("LicenseManager", "offer", 7)`."""
    return Call(contract, function, arguments)


def token_call(token: str, function: str, *arguments: Any) -> Call:
    """A call of an ERC-20 token."""
    return Call(ERC20.name, function, arguments, token)


@dataclass(slots=True)
class Context:
    """Mutable only in what it has learnt from the node."""

    where: str
    signer: Signer | None = None
    expected_chain_id: int | None = None
    given_addresses: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: float = 60.0
    fees: Fees = Fees()
    on_progress: Callable[[Progress], None] | None = None
    _chain_id: int | None = None
    _addresses: dict[str, str] = field(default_factory=dict)
    _deployed: set[str] = field(default_factory=set)
    _tokens: dict[str, Token] = field(default_factory=lambda: {ZERO_ADDRESS: NATIVE})

    # ------------------------------------------------------------ the chain

    def chain_id(self) -> Steps[int]:
        """The chain's id, asked once. Raises WrongNetwork when it is not the expected one."""
        if self._chain_id is None:
            chain, info = yield Batch((Request("eth_chainId"), Request("dm_nodeInfo")))
            if isinstance(chain, RpcFailure):
                raise chain
            found = answers.quantity(chain, "eth_chainId")
            if self.expected_chain_id not in (None, found):
                raise WrongNetwork(
                    f"{self.where}: got chain id {found}, expected {self.expected_chain_id}",
                    hint="check the URL of the node: it belongs to another network",
                )
            told = info.get("contracts") if isinstance(info, dict) else None
            self._addresses = addresses.merge(told if isinstance(told, dict) else {}, self.given_addresses)
            self._chain_id = found
        return self._chain_id

    def address_of(self, contract: str) -> Steps[str]:
        """A contract's address. Raises NotDeployed when this chain has no code there."""
        chain_id = yield from self.chain_id()
        if contract not in self._addresses:
            raise InvalidInput(f"contract: got {contract!r}, expected one of {', '.join(sorted(self._addresses))}")
        address = self._addresses[contract]
        if address not in self._deployed:
            code = yield Request("eth_getCode", (address, "latest"))
            if code in ("0x", None):
                raise NotDeployed(
                    f"{contract}: no code at {address} on chain {chain_id} ({self.where})",
                    hint="is it a dmchain network with the market in its genesis? `dmchain devnet` makes one",
                )
            self._deployed.add(address)
        return address

    def names(self) -> dict[str, str]:
        """Contracts' names by address, for messages."""
        return {address: name for name, address in self._addresses.items()}

    def require_signer(self) -> Signer:
        if self.signer is None:
            raise NoSigner("this operation needs a signer")
        return self.signer

    def sender(self) -> Steps[str]:
        """The signer's address. Raises NoSigner."""
        return (yield from self.require_signer().resolve())

    def account(self, address: str | None) -> Steps[str]:
        """The address given, else the signer's. Raises InvalidInput."""
        if address is None:
            if self.signer is None:
                raise NoSigner("no account was named", hint="name an account, or give a key that it is the account of")
            return (yield from self.sender())
        return parse_address(address)

    # ------------------------------------------------------------ reads

    def message(self, wanted: Call) -> Steps[dict[str, str]]:
        """The fields `to` and `data` of a call."""
        to = wanted.address or (yield from self.address_of(wanted.contract))
        return {"to": to, "data": "0x" + wanted.entry.encode(wanted.arguments).hex()}

    def read(self, contract: str, function: str, *arguments: Any) -> Steps[Any]:
        """The result of a view. Raises Reverted."""
        (result,) = yield from self.read_all([call(contract, function, *arguments)])
        return result

    def read_all(self, calls: Sequence[Call]) -> Steps[list[Any]]:
        """The results of several views, in as few round trips as possible. Raises the first failure."""
        results = yield from self.try_all(calls)
        for result in results:
            if isinstance(result, MarketError):
                raise result
        return results

    def try_all(self, calls: Sequence[Call]) -> Steps[list[Any]]:
        """As `read_all`; what failed is in the list as its exception."""
        requests = []
        for each in calls:
            message = yield from self.message(each)
            requests.append(Request("eth_call", (message, "latest")))
        results: list[Any] = []
        for at in range(0, len(requests), BATCH_SIZE):
            found = yield Batch(tuple(requests[at : at + BATCH_SIZE]))
            for wanted, answer in zip(calls[at : at + BATCH_SIZE], found, strict=True):
                results.append(self._decode(wanted, answer))
        return results

    def _decode(self, wanted: Call, answer: Any) -> Any:
        if isinstance(answer, RpcFailure):
            return self.explain(answer)
        try:
            data = answers.data(answer, "eth_call")
        except answers.BadAnswer as error:
            return error
        if not data and wanted.entry.outputs:
            where = wanted.address or wanted.contract
            return NotDeployed(f"{where}: nothing answers to {wanted.function}: it is no such contract")
        try:
            return wanted.entry.decode_output(data)
        except MarketError as error:
            return error

    def explain(self, failure: RpcFailure) -> MarketError:
        """A node's refusal as what the contract meant by it, if a contract was the reason."""
        if failure.data is not None and (failure.code == EXECUTION_REVERTED or "revert" in failure.reason):
            return decode_revert(failure.data, names=self.names())
        if failure.code == EXECUTION_REVERTED or failure.reason.startswith("execution reverted"):
            return decode_revert(b"", names=self.names())
        return failure

    # ------------------------------------------------------------ money

    def token(self, which: str | Token) -> Steps[Token]:
        """A token by symbol (`DM`, `USD`, `DMG`) or address, with its decimals from the chain. Raises InvalidInput."""
        if isinstance(which, Token):
            return which
        yield from self.chain_id()
        address = self._token_address(which)
        if address == self._addresses["TestUSD"] and not (yield from self.has_test_dollars()):
            raise InvalidInput(
                f"token: got {which!r}, and this chain has no test dollars", hint="name the token's address"
            )
        if address not in self._tokens:
            symbol, decimals, name = yield from self.try_all(
                [token_call(address, each) for each in ("symbol", "decimals", "name")]
            )
            if isinstance(decimals, MarketError) or not 0 <= decimals <= 77:
                raise InvalidInput(f"token: {address} is no ERC-20 token with decimals")
            shown = symbol if isinstance(symbol, str) and symbol.isprintable() else ""
            self._tokens[address] = Token(address, shown[:MAX_SYMBOL] or "?", decimals, _printable(name))
        return self._tokens[address]

    def has_test_dollars(self) -> Steps[bool]:
        """Whether this is a development network, which has a TestUSD."""
        try:
            yield from self.address_of("TestUSD")
        except NotDeployed:
            return False
        return True

    def _token_address(self, which: str) -> str:
        known = {"dm": ZERO_ADDRESS, "native": ZERO_ADDRESS, "eth": ZERO_ADDRESS, "ether": ZERO_ADDRESS}
        aliases = {"usd": "TestUSD", "tusd": "TestUSD", "testusd": "TestUSD", "dmg": "PlatformToken"}
        lower = which.lower()
        if lower in known:
            return known[lower]
        if lower in aliases:
            return self._addresses[aliases[lower]]
        for token in self._tokens.values():
            if token.symbol.lower() == lower:
                return token.address
        if lower.startswith("0x"):
            return parse_address(which)
        raise InvalidInput(f"token: got {which!r}, expected DM, USD, DMG or the address of an ERC-20")

    def amount(self, value: int | str, token: str | Token | None = None) -> Steps[tuple[int, Token]]:
        """An amount and its token: `(5, "USD")` is five smallest units, `"12.50 USD"` needs no `token`.

        A text without a symbol is in `token`, the native coin unless given. Raises InvalidInput.
        """
        if isinstance(value, int):
            if value < 0:
                raise InvalidInput(f"amount: got {value}, expected 0 or more")
            found = yield from self.token(token or NATIVE)
            return value, found
        symbol = split_amount(value)[1]
        if token is None:
            found = yield from self.token(symbol or NATIVE)
            return parse_amount(value.replace(symbol, "") if symbol else value, found), found
        found = yield from self.token(token)
        if symbol:
            named = yield from self.token(symbol)
            if named.address != found.address:
                raise InvalidInput(f"amount: got {value!r}, expected an amount of {found.symbol}")
        return parse_amount(value.replace(symbol, "") if symbol else value, found), found

    def tell(self, action: str, stage: str, transaction_hash: str | None = None, block: int | None = None) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(action, stage, transaction_hash, block))


def _printable(text: Any) -> str:
    return text[:64] if isinstance(text, str) and text.isprintable() else ""


def parse_address(text: str) -> str:
    """A checksummed address. Mixed case must be the right checksum. Raises InvalidInput."""
    from eth_utils.address import is_address, is_checksum_address, to_checksum_address

    if not isinstance(text, str) or not is_address(text):
        raise InvalidInput(f"address: got {text!r}, expected 0x and 40 hex digits")
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and not is_checksum_address(text):
        raise InvalidInput(f"address: got {text}, expected {to_checksum_address(text)}: the checksum does not hold")
    return str(to_checksum_address(text))
