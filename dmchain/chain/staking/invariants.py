"""What must hold in every state: coin is neither made nor lost.

The contract holds exactly what it owes, bonded + unbonding + rewards, and besides that only what came without a call
and waits for the next block's hook. The chain's supply is that of genesis + minted - burned - base fees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dmchain.chain.primitives.errors import InvariantBroken
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.layout import EPOCH_SLOT, OPERATORS_SLOT, array_slot
from dmchain.chain.staking.pool import Delegation, Pool, Position
from dmchain.chain.staking.readers import read_totals
from dmchain.chain.staking.slots import GetStorage, ReadSlots
from dmchain.chain.staking.unbonding import Queue


def _expect(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise InvariantBroken(f"staking: {what}: got {got}, expected {expected}")


def check_conservation(
    get_storage: GetStorage, get_balance: Callable[[bytes], int], accounts: Iterable[bytes] | None = None
) -> int:
    """Raise InvariantBroken unless every wei has its owner; return the surplus that nobody owns yet.

    Sums over all validators. `accounts`, when given, are all that ever delegated: then their shares, rewards and
    withdrawals are summed too. For tests and `db verify`: it reads everything.
    """
    slots = ReadSlots(get_storage)
    totals = read_totals(get_storage)
    count = slots.load(OPERATORS_SLOT)
    operators = [slots.load(array_slot(OPERATORS_SLOT, index)).to_bytes(20, "big") for index in range(count)]
    pools = [Pool.load(slots, operator) for operator in operators]
    _expect("stake of all pools", sum([pool.tokens for pool in pools]), totals.bonded)
    _expect("rewards of all pools", sum([pool.rewards for pool in pools]), totals.rewards)
    for pool in pools:
        if not (pool.tokens <= pool.shares and pool.commission <= pool.rewards and pool.earning <= pool.shares):
            raise InvariantBroken(f"staking: pool {pool}")
    if accounts is not None:
        _check_accounts(slots, pools, list(accounts), totals.unbonding)
    surplus = get_balance(STAKING) - totals.owed
    if surplus < 0:
        raise InvariantBroken(f"staking: the contract owes {-surplus} wei more than it has")
    return surplus


def _check_accounts(slots: ReadSlots, pools: list[Pool], accounts: list[bytes], unbonding: int) -> None:
    queued = 0
    for account in accounts:
        queue = Queue.load(slots, account)
        queued += sum([queue.entry(slots, index).amount for index in range(queue.head, queue.tail)])
    _expect("withdrawals under way", queued, unbonding)
    epoch = slots.load(EPOCH_SLOT)
    for pool in pools:
        held = [Delegation.load(slots, pool.operator, account) for account in accounts]
        _expect("shares of a pool", sum([each.shares for each in held]), pool.shares)
        _expect("pending shares of a pool", _sum_pending(held, pool), pool.shares - pool.earning)
        settled = [Position(slots, pool.operator, account, epoch, 0) for account in accounts]
        claims = sum([each.delegation.accrued for each in settled])
        if claims > pool.rewards - pool.commission:
            raise InvariantBroken(f"staking: claims of {claims} wei on {pool.rewards - pool.commission} of {pool}")


def _sum_pending(held: list[Delegation], pool: Pool) -> int:
    return sum([each.pending for each in held if each.pending_epoch == pool.epoch])
