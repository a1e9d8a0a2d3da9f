"""The pool of transactions that are not in a block yet: bounded, deterministic, without input or output.

Each sender's transactions are an executable run and others that wait (sender_queue.py). What the pool promises:

* A transaction in a run can be paid for, whatever else its sender has pooled: the run's costs together are within the
  balance. So nobody can take up room with transactions and then make them invalid for nothing. Only accounts with an
  EIP-7702 delegation, whose balance others can move, could: they and the signers of pooled authorizations get
  `delegated_slots` transactions and no gaps. (geth's rule; with one slot a slot costs about what a transfer costs.)
* When the pool is full, room is made at the end of runs, so no transaction of another is ever left behind a gap. What
  goes first: runs whose fee cap is below the base fee; then what waits; then the tail, beyond `account_slots`
  transactions, of the run that pays least; then the tail of the run that pays least. Whoever comes must pay strictly
  more than whoever goes, except that an executable transaction displaces a waiting one at any fee; a waiting one
  displaces only waiting ones. What a transaction "pays" is the least effective tip from its run's head up to it.
* Waiting transactions are limited in all, per account, and in time.

Methods return what happened; nothing is called back. Calls must not overlap, but iterating over `best` may go on while
other methods are called.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

from dmchain.chain.admission import (
    AccountLimitExceeded,
    AlreadyKnown,
    DelegationLimit,
    PoolHead,
    Underpriced,
    recover_sender,
    validate_base_fee,
    validate_fields,
    validate_funds,
    validate_replacement,
    validate_sender,
)
from dmchain.chain.block_candidates import BestTransactions
from dmchain.chain.fee_ranking import FeeRanking
from dmchain.chain.pool_types import Added, Dropped, MempoolConfig, PoolChanges, PoolStatus
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address
from dmchain.chain.sender_queue import Entry, SenderQueue

__all__ = [
    "Added",
    "BestTransactions",
    "Dropped",
    "Mempool",
    "MempoolConfig",
    "PoolChanges",
    "PoolHead",
    "PoolStatus",
]

ByNonce = dict[int, Transaction]


class Mempool:
    """The pool. INVARIANT: its numbers and bytes are those of `_by_hash`, and within the limits after each call."""

    def __init__(self, chain_id: int, head: PoolHead, config: MempoolConfig | None = None) -> None:
        self.config = config or MempoolConfig()
        self._chain_id = chain_id
        self._head = head
        self._by_hash: dict[bytes, Entry] = {}
        self._senders: dict[Address, SenderQueue] = {}
        self._authorities: dict[Address, int] = {}
        self._size_bytes = 0
        self._numbers = count(1)
        stamps = count(1)
        base_fee = head.base_fee
        self._heads: FeeRanking[Entry] = FeeRanking(base_fee, stamps, lowest=False)
        self._tails: FeeRanking[SenderQueue] = FeeRanking(base_fee, stamps, lowest=True)
        self._excess: FeeRanking[SenderQueue] = FeeRanking(base_fee, stamps, lowest=True)
        self._waiting: FeeRanking[Entry] = FeeRanking(base_fee, stamps, lowest=True)
        self._waiting_since: OrderedDict[Entry, float] = OrderedDict()
        self._changes = PoolChanges()

    # ------------------------------------------------------------ asking

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, tx_hash: bytes) -> bool:
        return tx_hash in self._by_hash

    def get(self, tx_hash: bytes) -> Transaction | None:
        entry = self._by_hash.get(tx_hash)
        return None if entry is None else entry.tx

    def status(self) -> PoolStatus:
        return PoolStatus(len(self._by_hash) - len(self._waiting), len(self._waiting), self._size_bytes)

    def pending_nonce(self, sender: Address, state_nonce: int) -> int:
        """The nonce for the sender's next transaction: the account's, or the first after the executable run."""
        queue = self._senders.get(sender)
        return state_nonce if queue is None else max(state_nonce, queue.end)

    def content_from(self, sender: Address) -> tuple[ByNonce, ByNonce]:
        """Executable and waiting transactions of one sender, in nonce order."""
        queue = self._senders.get(sender)
        if queue is None:
            return {}, {}
        run = {nonce: queue.entries[nonce].tx for nonce in range(queue.nonce, queue.end)}
        return run, {nonce: queue.entries[nonce].tx for nonce in queue.waiting}

    def content(self) -> tuple[dict[Address, ByNonce], dict[Address, ByNonce]]:
        """Executable and waiting transactions by sender, in the order of addresses and nonces."""
        pending: dict[Address, ByNonce] = {}
        queued: dict[Address, ByNonce] = {}
        for sender in sorted(self._senders):
            run, waiting = self.content_from(sender)
            if run:
                pending[sender] = run
            if waiting:
                queued[sender] = waiting
        return pending, queued

    def has_executable(self, base_fee: int | None = None) -> bool:
        """Whether a block with this base fee (wei per gas; the head's if None) could hold a transaction."""
        self._heads.rebase(self._head.base_fee if base_fee is None else base_fee)
        top = self._heads.top()
        return top is not None and top[0] >= 0

    def best(self, base_fee: int, gas_limit: int) -> BestTransactions:
        """Executable transactions for a block with this base fee (wei per gas) and gas limit, best first."""
        self._heads.rebase(base_fee)
        return BestTransactions(self._heads.ordered(), base_fee, gas_limit)

    # ------------------------------------------------------------ adding

    def add(self, tx: Transaction, now: float, *, sender_may_have_code: bool = False) -> Added:
        """Take a transaction in, or raise an InvalidTransaction that says why not; then the pool is as before.

        Parameters: `now` in seconds of a clock that never goes back; `sender_may_have_code` for impersonated accounts
        of a devnet. Raises what admission.py lists.
        """
        config, head = self.config, self._head
        if tx.hash in self._by_hash:
            raise AlreadyKnown("already known")
        validate_fields(
            tx,
            chain_id=self._chain_id,
            head=head,
            max_bytes=config.max_transaction_bytes,
            min_tip=config.min_tip_wei,
        )
        sender = recover_sender(tx)
        if config.refuse_below_base_fee:
            validate_base_fee(tx, sender, head.base_fee)
        account = head.reader.account(sender)
        validate_sender(tx, sender, account, may_have_code=sender_may_have_code)
        queue = self._senders.get(sender)
        if queue is None:
            queue = SenderQueue(sender, next(self._numbers), account.nonce, account.balance)
        elif queue.nonce != account.nonce or queue.balance != account.balance:
            self._sync(queue, account.nonce, account.balance, now)
        entry = Entry(tx, queue, next(self._numbers))
        old = queue.entries.get(tx.nonce)
        in_run = tx.nonce < queue.end if old else tx.nonce == queue.end
        validate_funds(queue.balance, entry.cost, queue.spent, old.cost if old and in_run else None)
        if old is not None:
            validate_replacement(old.tx, tx, config.price_bump_percent)
        elif not in_run and len(queue.waiting) >= config.account_queue:
            raise AccountLimitExceeded(f"account limit exceeded: {len(queue.waiting)} queued transactions")
        self._check_delegations(entry, account.is_delegated, replaces=old is not None)
        self._make_room(entry, old, in_run)
        self._insert(entry, old, in_run, now)
        replaced = None if old is None else self._forget(old)
        return Added(tx, in_run, replaced, self._take_changes())

    def _check_delegations(self, entry: Entry, is_delegated: bool, *, replaces: bool) -> None:
        """Hold accounts whose balance others can move to `delegated_slots`; see the promise at the top."""
        queue, limit = entry.queue, self.config.delegated_slots
        if not replaces and (is_delegated or queue.address in self._authorities):
            if len(queue.entries) >= limit:
                raise DelegationLimit(
                    f"in-flight transaction limit reached for delegated accounts: {len(queue.entries)} pooled"
                )
            if entry.nonce != queue.end:
                raise DelegationLimit(
                    f"gapped-nonce tx from delegated accounts: next nonce {queue.end}, tx nonce {entry.nonce}"
                )
        if not entry.tx.authorization_list:
            return
        signers = [a.recover_authority() for a in entry.tx.authorization_list if a.chain_id in (0, self._chain_id)]
        entry.authorities = tuple(dict.fromkeys([signer for signer in signers if signer is not None]))
        for signer in entry.authorities:
            pooled = self._senders.get(signer)
            if pooled is not None and len(pooled.entries) > limit:
                raise DelegationLimit(
                    f"authority already reserved: 0x{signer.hex()} has {len(pooled.entries)} pooled transactions"
                )

    def _insert(self, entry: Entry, old: Entry | None, in_run: bool, now: float) -> None:
        queue = entry.queue
        self._senders[queue.address] = queue
        self._by_hash[entry.tx.hash] = entry
        self._size_bytes += len(entry.tx.raw)
        for signer in entry.authorities:
            self._authorities[signer] = self._authorities.get(signer, 0) + 1
        if old is not None:
            self._displace(old)
            queue.replace(old, entry)
        elif in_run:
            queue.append(entry)
        else:
            queue.wait(entry)
        if in_run:
            self._changes.promoted.append(entry.tx)
            self._promote(queue)
            self._rank(queue)
        else:
            self._begin_wait(entry, now)

    def _displace(self, old: Entry) -> None:
        """Take an entry that is being replaced out of everything but its queue."""
        del self._by_hash[old.tx.hash]
        self._size_bytes -= len(old.tx.raw)
        if old.nonce >= old.queue.end:
            self._waiting.discard(old)

    # ------------------------------------------------------------ making room

    def _make_room(self, entry: Entry, old: Entry | None, in_run: bool) -> None:
        """Drop what goes before `entry` until it fits; raises Underpriced, with nothing dropped, if it cannot."""
        more = 0 if old else 1
        more_bytes = len(entry.tx.raw) - (len(old.tx.raw) if old else 0)
        more_waiting = 0 if in_run else more
        if not self._is_over(more, more_bytes, more_waiting):
            return
        queue = entry.queue
        tip, cap = queue.floors(entry.nonce, entry.tx) if in_run else _fees(entry.tx)
        score = min(tip, cap - self._head.base_fee)
        victims: list[tuple[Entry, bool]] = []
        self._unrank_tail(queue)  # neither its own run nor what it replaces makes room for it
        if old is not None and not in_run:
            self._waiting.discard(old)
        while self._is_over(more, more_bytes, more_waiting):
            victim = self._find_victim(score, in_run)
            if victim is None:
                break
            victims.append((victim, self._detach(victim)))
        else:
            for victim, _ in victims:
                self._changes.dropped.append(Dropped(self._forget(victim), "evicted"))
            victims.clear()
        fits = not self._is_over(more, more_bytes, more_waiting)
        for victim, was_in_run in reversed(victims):
            self._reattach(victim, was_in_run)
        if old is not None and not in_run:
            self._waiting.push(old, *_fees(old.tx), -old.arrival)
        self._rank(queue)
        if not fits:
            raise Underpriced(f"transaction underpriced: txpool is full, effective tip {score} wei displaces nothing")

    def _is_over(self, more: int, more_bytes: int, more_waiting: int) -> bool:
        config = self.config
        return (
            len(self._by_hash) + more > config.global_slots + config.global_queue
            or (more_bytes > 0 and self._size_bytes + more_bytes > config.max_bytes)
            or (more_waiting > 0 and len(self._waiting) >= config.global_queue)
        )

    def _find_victim(self, score: int, in_run: bool) -> Entry | None:
        """What goes first to make room for one that pays `score` (effective tip in wei), or None."""
        tails = [top for ranking in (self._excess, self._tails) if (top := ranking.top())] if in_run else []
        for paid, queue in tails:
            if paid < min(score, 0):
                return queue.tail
        waiting = self._waiting.top()
        if waiting is not None and (score > waiting[0] or (in_run and score >= 0)):
            return waiting[1]
        for paid, queue in tails:
            if paid < score:
                return queue.tail
        return None

    def _detach(self, entry: Entry) -> bool:
        """Take a waiting entry or the tail of a run out of queue and rankings; return whether it was in the run."""
        queue = entry.queue
        in_run = entry.nonce < queue.end
        if in_run:
            queue.pop_tail()
            self._rank(queue)
        else:
            queue.stop_waiting(entry)
            self._waiting.discard(entry)
        del self._by_hash[entry.tx.hash]
        self._size_bytes -= len(entry.tx.raw)
        if not queue.entries:
            del self._senders[queue.address]
        return in_run

    def _reattach(self, entry: Entry, in_run: bool) -> None:
        """Undo `_detach`."""
        queue = entry.queue
        self._senders[queue.address] = queue
        self._by_hash[entry.tx.hash] = entry
        self._size_bytes += len(entry.tx.raw)
        if in_run:
            queue.append(entry)
            self._rank(queue)
        else:
            queue.wait(entry)
            self._waiting.push(entry, *_fees(entry.tx), -entry.arrival)

    # ------------------------------------------------------------ following the chain

    def on_block(self, changed: Iterable[Address], head: PoolHead, now: float) -> PoolChanges:
        """Follow the chain to a new head: `changed` are all accounts whose nonce, balance or code the block changed."""
        self._move_head(head, now)
        for address in sorted({address for address in changed if address in self._senders}):
            self._sync_address(address, now)
        self._expire(now)
        return self._take_changes()

    def on_reset(self, head: PoolHead, now: float) -> PoolChanges:
        """The head has moved otherwise than by a block (a devnet's revert): look at every sender again."""
        self._move_head(head, now)
        for address in sorted(self._senders):
            self._sync_address(address, now)
        self._expire(now)
        return self._take_changes()

    def remove(self, tx_hash: bytes, now: float) -> PoolChanges:
        """Drop one transaction; those of its sender that come after it wait from now on."""
        entry = self._by_hash.get(tx_hash)
        if entry is not None:
            self._remove(entry, "removed", now)
        return self._take_changes()

    def clear(self) -> PoolChanges:
        """Drop everything."""
        for queue in list(self._senders.values()):
            while queue.entries:  # from the last nonce down, so that nothing is left behind a gap
                last = queue.waiting[-1] if queue.waiting else queue.end - 1
                self._give_up(queue.entries[last], "removed")
        return self._take_changes()

    def _move_head(self, head: PoolHead, now: float) -> None:
        old, self._head = self._head, head
        for ranking in (self._heads, self._tails, self._excess, self._waiting):
            ranking.rebase(head.base_fee)
        limit = _gas_limit(head)
        if limit < _gas_limit(old):
            for entry in [entry for entry in self._by_hash.values() if entry.tx.gas > limit]:
                self._remove(entry, "gas-limit", now)

    def _sync_address(self, address: Address, now: float) -> None:
        queue = self._senders.get(address)
        if queue is not None:  # else evicted on the way
            account = self._head.reader.account(address)
            self._sync(queue, account.nonce, account.balance, now)

    def _sync(self, queue: SenderQueue, nonce: int, balance: int, now: float) -> None:
        """Bring one sender in line with its account: nonce, and balance in wei."""
        queue.balance = balance
        if nonce > queue.nonce:
            run, waited = queue.settle(nonce)
            for entry in waited:
                self._waiting.discard(entry)
            for entry in run + waited:
                del self._by_hash[entry.tx.hash]
                self._size_bytes -= len(entry.tx.raw)
                self._changes.settled.append(self._forget(entry))
        elif nonce < queue.nonce:
            while queue.run_length:
                self._demote(queue, now)
            queue.nonce = queue.end = nonce
        while queue.spent > balance:
            self._demote(queue, now)
        self._promote(queue)
        self._trim(queue)

    def _remove(self, entry: Entry, reason: str, now: float) -> None:
        queue = entry.queue
        while entry.nonce < queue.end - 1:
            self._demote(queue, now)
        self._detach(entry)
        self._changes.dropped.append(Dropped(self._forget(entry), reason))
        self._trim(queue)

    def _trim(self, queue: SenderQueue) -> None:
        """Hold the limits of waiting transactions after some were demoted, and rank the queue."""
        self._rank(queue)
        while len(queue.waiting) > self.config.account_queue:
            self._give_up(queue.entries[queue.waiting[-1]], "account-limit")
        while len(self._waiting) > self.config.global_queue and (lowest := self._waiting.top()):
            self._give_up(lowest[1], "evicted")
        if not queue.entries:
            self._senders.pop(queue.address, None)

    def _expire(self, now: float) -> None:
        while self._waiting_since:
            entry, since = next(iter(self._waiting_since.items()))
            if now - since < self.config.lifetime_seconds:
                break
            self._give_up(entry, "expired")

    def _give_up(self, entry: Entry, reason: str) -> None:
        """Drop a waiting entry, or the last of a run."""
        self._detach(entry)
        self._changes.dropped.append(Dropped(self._forget(entry), reason))

    # ------------------------------------------------------------ moving entries

    def _promote(self, queue: SenderQueue) -> None:
        for entry in queue.promote():
            self._waiting.discard(entry)
            del self._waiting_since[entry]
            self._changes.promoted.append(entry.tx)

    def _demote(self, queue: SenderQueue, now: float) -> None:
        """Make the tail of a run wait."""
        entry = queue.pop_tail()
        if queue.ranked_head is entry:
            self._heads.discard(entry)
            queue.ranked_head = None
        queue.wait(entry)
        self._begin_wait(entry, now)
        self._changes.demoted.append(entry.tx)

    def _begin_wait(self, entry: Entry, now: float) -> None:
        self._waiting.push(entry, *_fees(entry.tx), -entry.arrival)
        self._waiting_since[entry] = now

    def _forget(self, entry: Entry) -> Transaction:
        """Let go of an entry that is in no queue any more, and of what it holds: heaps may keep it for a while."""
        self._waiting_since.pop(entry, None)
        for signer in entry.authorities:
            left = self._authorities[signer] - 1
            if left:
                self._authorities[signer] = left
            else:
                del self._authorities[signer]
        tx, entry.tx = entry.tx, None  # type: ignore[assignment]
        return tx

    def _rank(self, queue: SenderQueue) -> None:
        """Bring the rankings in line with the queue's head and tail."""
        head, tail = queue.head, queue.tail
        if head is not queue.ranked_head:
            if queue.ranked_head is not None:
                self._heads.discard(queue.ranked_head)
            if head is not None:
                self._heads.push(head, *_fees(head.tx), head.arrival)
            queue.ranked_head = head
        if tail is None:
            self._unrank_tail(queue)
            return
        ranking = self._excess if queue.run_length > self.config.account_slots else self._tails
        floors = (tail.tip_floor, tail.cap_floor)
        if ranking is not queue.ranking or floors != queue.ranked_floors:
            self._unrank_tail(queue)
            ranking.push(queue, *floors, -queue.order)
            queue.ranking, queue.ranked_floors = ranking, floors

    def _unrank_tail(self, queue: SenderQueue) -> None:
        if queue.ranking is not None:
            queue.ranking.discard(queue)
            queue.ranking = None

    def _take_changes(self) -> PoolChanges:
        changes, self._changes = self._changes, PoolChanges()
        return changes


def _fees(tx: Transaction) -> tuple[int, int]:
    return tx.max_priority_fee_per_gas, tx.max_fee_per_gas


def _gas_limit(head: PoolHead) -> int:
    """The greatest gas limit a transaction may have."""
    cap = head.transaction_gas_cap
    return head.gas_limit if cap is None else min(head.gas_limit, cap)
