"""Stake that a provider puts behind its data."""

from __future__ import annotations

from typing import Final

from dmchain.market.context import Context
from dmchain.market.inputs import DatasetLike, resolve_dataset
from dmchain.market.models import StakePosition
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import Amount, build
from dmchain.market.transactions import Receipt, transact

CONTRACT: Final = "ProviderStake"
ALL: Final = 2**256 - 1


class Stakes(Group[M]):
    """Stake behind data sets: `market.stake`. In native coin."""

    @operation
    def add(self, dataset: DatasetLike, amount: int | str) -> Steps[StakePosition]:
        """Put native coin behind a data set of the signer's; it is lost with a dispute."""
        raw = yield from resolve_dataset(self._context, dataset)
        value, _ = yield from self._context.amount(amount, "DM")
        yield from transact(self._context, CONTRACT, "stake", raw, value=value)
        return (yield from _read(self._context, raw, None))

    @operation
    def request_unstake(self, dataset: DatasetLike, amount: int | str | None = None) -> Steps[StakePosition]:
        """Ask for stake back, all unless given; `withdraw` pays it after the delay."""
        raw = yield from resolve_dataset(self._context, dataset)
        value = ALL
        if amount is not None:
            value, _ = yield from self._context.amount(amount, "DM")
        yield from transact(self._context, CONTRACT, "requestUnstake", raw, value)
        return (yield from _read(self._context, raw, None))

    @operation
    def cancel_unstake(self, dataset: DatasetLike) -> Steps[StakePosition]:
        """Leave the stake where it is after all."""
        raw = yield from resolve_dataset(self._context, dataset)
        yield from transact(self._context, CONTRACT, "cancelUnstake", raw)
        return (yield from _read(self._context, raw, None))

    @operation
    def withdraw(self, dataset: DatasetLike) -> Steps[Receipt]:
        """Take what was asked for, after the delay and while no dispute is open."""
        raw = yield from resolve_dataset(self._context, dataset)
        return (yield from transact(self._context, CONTRACT, "withdraw", raw))

    @operation
    def position(self, dataset: DatasetLike, provider: str | None = None) -> Steps[StakePosition]:
        """What a provider has behind a data set, its owner unless named."""
        raw = yield from resolve_dataset(self._context, dataset)
        if provider is None:
            provider = yield from self._context.read("CidRegistry", "ownerOf", raw)
        return (yield from _read(self._context, raw, provider))

    @operation
    def of(self, dataset: DatasetLike) -> Steps[Amount]:
        """What stands behind a data set now, in wei."""
        raw = yield from resolve_dataset(self._context, dataset)
        return Amount((yield from self._context.read(CONTRACT, "stakeOf", raw)))


def _read(context: Context, raw: bytes, provider: str | None) -> Steps[StakePosition]:
    who = yield from context.account(provider)
    struct = yield from context.read(CONTRACT, "position", raw, who)
    return build(StakePosition, struct, dataset_id="0x" + raw.hex(), provider=who)
