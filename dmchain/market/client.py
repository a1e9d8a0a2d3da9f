"""`Market` and `AsyncMarket`: all operations of the market on one chain, for one signer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from web3 import AsyncWeb3, Web3

from dmchain.market.abi import load_interface
from dmchain.market.computing import Compute
from dmchain.market.context import Call, Context, Fees, Progress
from dmchain.market.datatokens import Datatokens
from dmchain.market.disputes import Disputes, Jurors
from dmchain.market.drivers import AsyncDriver, SyncDriver, connect, connect_async
from dmchain.market.errors import InvalidInput
from dmchain.market.governance import Curation, Governance
from dmchain.market.licensing import Escrows, Licensing
from dmchain.market.listings import Listings, Offers
from dmchain.market.payouts import Payouts, Tokens
from dmchain.market.quality import Operators, Quality
from dmchain.market.signers import SignerLike, as_signer
from dmchain.market.stakes import Stakes
from dmchain.market.steps import Async, Driver, M, Steps, Sync, operation
from dmchain.market.streaming import Streams
from dmchain.market.transactions import Receipt, send

DEFAULT_URL = "http://127.0.0.1:8545"


class MarketDisputes(Disputes[M]):
    """Disputes with the jurors' pool: `market.disputes.jurors`."""

    def __init__(self, context: Context, driver: Driver) -> None:
        super().__init__(context, driver)
        self.jurors: Jurors[M] = Jurors(context, driver)


class MarketQuality(Quality[M]):
    """The quality oracle with its operators' pool: `market.quality.operators`."""

    def __init__(self, context: Context, driver: Driver) -> None:
        super().__init__(context, driver)
        self.operators: Operators[M] = Operators(context, driver)


class BaseMarket(Listings[M], Licensing[M]):
    """What `Market` and `AsyncMarket` share."""

    def __init__(self, context: Context, driver: Driver) -> None:
        super().__init__(context, driver)
        self.offers: Offers[M] = Offers(context, driver)
        self.escrow: Escrows[M] = Escrows(context, driver)
        self.streams: Streams[M] = Streams(context, driver)
        self.disputes: MarketDisputes[M] = MarketDisputes(context, driver)
        self.quality: MarketQuality[M] = MarketQuality(context, driver)
        self.compute: Compute[M] = Compute(context, driver)
        self.stake: Stakes[M] = Stakes(context, driver)
        self.payouts: Payouts[M] = Payouts(context, driver)
        self.tokens: Tokens[M] = Tokens(context, driver)
        self.datatokens: Datatokens[M] = Datatokens(context, driver)
        self.governance: Governance[M] = Governance(context, driver)
        self.curation: Curation[M] = Curation(context, driver)

    @operation
    def chain_id(self) -> Steps[int]:
        """The chain's id. Raises WrongNetwork, ConnectionFailed."""
        return (yield from self._context.chain_id())

    @operation
    def address(self) -> Steps[str]:
        """The signer's address. Raises NoSigner."""
        return (yield from self._context.sender())

    @operation
    def contract_address(self, contract: str) -> Steps[str]:
        """Where a contract is: `LicenseManager`. Raises NotDeployed."""
        return (yield from self._context.address_of(contract))

    @operation
    def call(self, contract: str, function: str, *arguments: Any) -> Steps[Any]:
        """Any view of any contract of the market; structs are dicts. Raises Reverted."""
        return (yield from self._context.read(contract, function, *arguments))

    @operation
    def transact(self, contract: str, function: str, *arguments: Any, value: int = 0) -> Steps[Receipt]:
        """Any function of any contract of the market in a transaction, `value` in wei. Raises Reverted."""
        return (yield from send(self._context, Call(contract, function, arguments), value=value))


def _context(
    where: str,
    signer: SignerLike | None,
    chain_id: int | None,
    addresses: Mapping[str, str] | None,
    timeout: float,
    fees: Fees | None,
    on_progress: Callable[[Progress], None] | None,
) -> Context:
    if timeout <= 0:
        raise InvalidInput(f"timeout: got {timeout}, expected more than 0 seconds")
    return Context(
        where=where,
        signer=as_signer(signer),
        expected_chain_id=chain_id,
        given_addresses=addresses or {},
        timeout_seconds=timeout,
        fees=fees or Fees(),
        on_progress=on_progress,
    )


def _nothing() -> None:
    """Connections of others stay open."""


class Market(BaseMarket[Sync]):
    """The market through a node: `Market("http://127.0.0.1:8545", signer=keystore("me.json", "password"))`.

    `node`: a URL or a web3.py instance. `signer`: see dmchain.market.signers, or an eth-account LocalAccount; without
    one only reads work. `chain_id`: refuse any other chain. `addresses`: contracts elsewhere than the chain says.
    `timeout`: seconds to wait for a transaction. `on_progress` is called with what is being sent. May be shared by
    threads.
    """

    def __init__(
        self,
        node: str | Web3 = DEFAULT_URL,
        signer: SignerLike | None = None,
        *,
        chain_id: int | None = None,
        addresses: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        fees: Fees | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        web3, self._close = connect(node) if isinstance(node, str) else (node, _nothing)
        driver = SyncDriver(web3)
        context = _context(driver.where, signer, chain_id, addresses, timeout, fees, on_progress)
        super().__init__(context, driver)
        self.web3 = driver.web3

    def contract(self, name: str) -> Any:
        """A contract as web3.py has it, for what no operation does."""
        return self.web3.eth.contract(self.contract_address(name), abi=load_interface(name).abi)  # type: ignore[call-overload]

    def connected_as(self, signer: SignerLike) -> Market:
        """The same market for another signer."""
        return Market(self.web3, signer, **_shared(self._context))

    def close(self) -> None:
        """Close the connections if this market opened them; they open again when they are needed."""
        self._close()

    def __enter__(self) -> Market:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class AsyncMarket(BaseMarket[Async]):
    """As `Market`, on asyncio: each operation is awaited, and several may run at once.

    async with AsyncMarket(url, signer=…) as market:
        await market.buy(7)
    """

    def __init__(
        self,
        node: str | AsyncWeb3[Any] = DEFAULT_URL,
        signer: SignerLike | None = None,
        *,
        chain_id: int | None = None,
        addresses: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        fees: Fees | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._is_own = isinstance(node, str)
        driver = AsyncDriver(connect_async(node) if isinstance(node, str) else node)
        context = _context(driver.where, signer, chain_id, addresses, timeout, fees, on_progress)
        super().__init__(context, driver)
        self.web3 = driver.web3

    async def contract(self, name: str) -> Any:
        """A contract as web3.py has it, for what no operation does."""
        return self.web3.eth.contract(await self.contract_address(name), abi=load_interface(name).abi)  # type: ignore[call-overload]

    def connected_as(self, signer: SignerLike) -> AsyncMarket:
        """The same market for another signer, over the same connection."""
        return AsyncMarket(self.web3, signer, **_shared(self._context))

    async def close(self) -> None:
        """Close the connection if this market opened it."""
        if self._is_own:
            await self.web3.provider.disconnect()

    async def __aenter__(self) -> AsyncMarket:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


def _shared(context: Context) -> dict[str, Any]:
    return {
        "chain_id": context.expected_chain_id,
        "addresses": context.given_addresses,
        "timeout": context.timeout_seconds,
        "fees": context.fees,
        "on_progress": context.on_progress,
    }
