"""Makes the market's part of a genesis state by running the contracts' own init code in the node's own EVM.

Nothing is written into storage by hand: immutables, roles, EIP-712 domains (which hold the chain id), proxies with their
ProxyAdmins and everything else is what the constructors and initializers leave behind.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from eth.constants import CREATE_CONTRACT_ADDRESS
from eth.exceptions import Revert

from dmchain.chain.executor import BlockEnvironment
from dmchain.chain.genesis import GenesisAccount
from dmchain.chain.primitives.crypto import EMPTY_CODE_HASH
from dmchain.chain.primitives.errors import DmchainError
from dmchain.chain.primitives.types import ZERO_ADDRESS, ZERO_HASH, Address
from dmchain.chain.rules import Rules
from dmchain.marketplace_vm.artifacts import load_artifact
from dmchain.marketplace_vm.market_genesis.addresses import ADDRESSES, IMPLEMENTATIONS, TIMELOCK
from dmchain.marketplace_vm.market_genesis.encoding import encode_arguments, encode_call
from dmchain.marketplace_vm.market_genesis.parameters import MarketParameters
from dmchain.marketplace_vm.market_genesis.plan import Call, Deploy, make_plan
from dmchain.marketplace_vm.precompiles.genesis import make_genesis_accounts
from dmchain.marketplace_vm.state import FlatState
from dmchain.marketplace_vm.vm import CancunTransactionContext, DmState, Message, computation_class_for

GAS: Final = 10**12
"""Of each step; genesis has no block to fit in."""
PROXY: Final = "TransparentUpgradeableProxy"


class PredeployFailed(DmchainError):
    """A constructor, initializer or call of the plan reverted: the plan and the contracts do not fit."""


def build_market(parameters: MarketParameters, chain_id: int) -> dict[Address, GenesisAccount]:
    """Every account that deploying the market at its fixed addresses leaves behind, the native precompiles' not.

    Raises PredeployFailed naming the step. Deterministic: equal arguments give equal accounts.
    """
    deployment = _Deployment(chain_id)
    for step in make_plan(parameters):
        if isinstance(step, Deploy):
            deployment.deploy(step)
        else:
            deployment.call(step)
    return deployment.accounts()


class _Empty:
    """The state before genesis."""

    def get(self, key: bytes) -> bytes | None:
        return None

    def iterate(self, start: bytes, stop: bytes, *, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return iter(())


class _Deployment:
    """A state that grows by one message after the other, all sent by the Timelock in block 0 at time 0."""

    def __init__(self, chain_id: int) -> None:
        rules = Rules(chain_id, osaka_time=0)
        environment = BlockEnvironment(
            number=0,
            timestamp=0,
            coinbase=ZERO_ADDRESS,
            gas_limit=GAS,
            base_fee=0,
            prev_randao=ZERO_HASH,
            parent_hash=ZERO_HASH,
            parent_beacon_block_root=ZERO_HASH,
            block_hash=lambda number: None,
        )
        self._flat = FlatState(_Empty())
        self._natives = make_genesis_accounts()
        for address, native in self._natives.items():
            self._flat.set_nonce(address, native.nonce)
            self._flat.set_code(address, native.code)
        self._computation_class: Any = computation_class_for(rules, 0)
        self._state = DmState(self._flat, environment, chain_id, self._computation_class._precompiles)

    def deploy(self, step: Deploy) -> None:
        if step.initialize is None:
            self._create(step.name, step.name, ADDRESSES[step.name], step.arguments)
            return
        implementation = IMPLEMENTATIONS[step.name]
        self._create(step.name, step.name, implementation, step.arguments)
        data = encode_call(_function(step.name, "initialize"), step.initialize)
        self._create(step.name, PROXY, ADDRESSES[step.name], (implementation, TIMELOCK, data))

    def _create(self, what: str, artifact: str, address: Address, arguments: tuple[Any, ...]) -> None:
        found = load_artifact(artifact)
        constructor: Mapping[str, Any] = next(
            (item for item in found["abi"] if item["type"] == "constructor"), {"inputs": []}
        )
        message = Message(
            gas=GAS,
            to=CREATE_CONTRACT_ADDRESS,
            sender=TIMELOCK,
            value=0,
            data=b"",
            code=bytes.fromhex(found["bytecode"][2:]) + _encoded(what, constructor, arguments),
            create_address=address,
        )
        self._run(f"deploying {what}", self._computation_class.apply_create_message, message)

    def call(self, step: Call) -> None:
        address = ADDRESSES[step.name]
        function = _function(step.name, step.function)
        message = Message(
            gas=GAS,
            to=address,
            sender=TIMELOCK,
            value=0,
            data=encode_call(function, step.arguments),
            code=self._flat.get_code(address),
        )
        self._run(f"{step.name}.{step.function}", self._computation_class.apply_message, message)

    def _run(self, what: str, apply: Any, message: Message) -> None:
        self._flat.lock_changes()
        self._flat.warm[TIMELOCK] = True
        context = CancunTransactionContext(gas_price=0, origin=TIMELOCK)
        computation = apply(self._state, message, context)
        error = computation._error
        if error is not None:
            reason = f"revert 0x{computation.output.hex()}" if isinstance(error, Revert) else str(error)
            raise PredeployFailed(
                f"{what}: {reason}", hint="the plan of the market's genesis does not fit its contracts"
            )

    def accounts(self) -> dict[Address, GenesisAccount]:
        """All that is there now."""
        storage: dict[bytes, list[tuple[int, int]]] = {}
        for (address, slot), value in self._flat.sto.items():
            if value:
                storage.setdefault(address, []).append((slot, value))
        found = {}
        for address, account in sorted(self._flat.acc.items(), key=lambda item: item[0]):
            if account is None or address in self._natives:
                continue
            nonce, balance, code_hash, _ = account
            if nonce or balance or code_hash != EMPTY_CODE_HASH:
                slots = tuple(sorted(storage.get(address, ())))
                found[Address(address)] = GenesisAccount(balance, nonce, self._flat.get_code(address), slots)
        written = set(storage) & set(self._natives)
        if written:
            raise PredeployFailed(f"a constructor wrote to native contracts: {sorted(each.hex() for each in written)}")
        return found


def _function(name: str, function: str) -> Mapping[str, Any]:
    found = _functions(name).get(function)
    if found is None:
        raise PredeployFailed(f"{name} has no function {function}")
    return found


@cache
def _functions(name: str) -> dict[str, Mapping[str, Any]]:
    return {item["name"]: item for item in load_artifact(name)["abi"] if item["type"] == "function"}


def _encoded(what: str, constructor: Mapping[str, Any], arguments: tuple[Any, ...]) -> bytes:
    try:
        return encode_arguments(constructor["inputs"], arguments)
    except ValueError as error:
        raise PredeployFailed(f"constructor of {what}: {error}") from error
