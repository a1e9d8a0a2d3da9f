"""The slow twin of the pool: a dict of transactions, and every question answered by looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.chain.admission import PoolHead
from dmchain.chain.mempool import MempoolConfig
from dmchain.chain.primitives.transaction import Transaction
from dmchain.chain.primitives.types import Address
from tests.chain.pooled import Accounts


@dataclass
class Pooled:
    tx: Transaction
    arrival: int
    waits_since: float | None = None

    @property
    def cost(self) -> int:
        return self.tx.gas * self.tx.max_fee_per_gas + self.tx.value

    @property
    def fees(self) -> tuple[int, int]:
        return self.tx.max_priority_fee_per_gas, self.tx.max_fee_per_gas


class Refused(Exception):
    pass


class NaivePool:
    """Knows nonces and balances as `Accounts` has them now, so it is compared after the pool was told of changes."""

    def __init__(self, accounts: Accounts, head: PoolHead, config: MempoolConfig) -> None:
        self.accounts = accounts
        self.head = head
        self.config = config
        self.pooled: dict[tuple[Address, int], Pooled] = {}
        self.order: dict[Address, int] = {}
        """When each sender that has transactions came."""
        self.arrivals = 0

    def run(self, sender: Address) -> list[Pooled]:
        account = self.accounts.account(sender)
        run, nonce, spent = [], account.nonce, 0
        while (entry := self.pooled.get((sender, nonce))) and spent + entry.cost <= account.balance:
            run.append(entry)
            spent += entry.cost
            nonce += 1
        return run

    def waiting(self) -> list[Pooled]:
        running = {id(entry) for sender in self.order for entry in self.run(sender)}
        return [entry for entry in self.pooled.values() if id(entry) not in running]

    def score(self, entries: list[Pooled]) -> int:
        tip = min(entry.fees[0] for entry in entries)
        cap = min(entry.fees[1] for entry in entries)
        return min(tip, cap - self.head.base_fee)

    def size_bytes(self) -> int:
        return sum(len(entry.tx.raw) for entry in self.pooled.values())

    def add(self, tx: Transaction, now: float) -> None:
        sender, nonce = tx.sender, tx.nonce
        account = self.accounts.account(sender)
        run = self.run(sender)
        end = account.nonce + len(run)
        old = self.pooled.get((sender, nonce))
        in_run = nonce < end if old else nonce == end
        new = Pooled(tx, self.arrivals)
        spent = sum(entry.cost for entry in run)
        if any(entry.tx == tx for entry in self.pooled.values()) or nonce < account.nonce:
            raise Refused
        if account.balance < max(new.cost, spent + new.cost - (old.cost if old and in_run else 0)):
            raise Refused
        if old:
            bump = 100 + self.config.price_bump_percent
            for fee, old_fee in zip(new.fees, old.fees, strict=True):
                if fee <= old_fee or fee < old_fee * bump // 100:
                    raise Refused
        elif not in_run and len([e for e in self.waiting() if e.tx.sender == sender]) >= self.config.account_queue:
            raise Refused
        before = [*run[: nonce - account.nonce], new] if in_run else [new]
        victims = self.make_room(new, old, in_run, self.score(before))
        self.arrivals += 1
        order = self.order.get(sender, self.arrivals)
        for victim in victims:
            self.drop(victim)
        self.order[sender] = order
        self.pooled[sender, nonce] = new
        self.refresh(now)

    def make_room(self, new: Pooled, old: Pooled | None, in_run: bool, score: int) -> list[Pooled]:
        config, sender = self.config, new.tx.sender
        kept = dict(self.pooled)
        order = dict(self.order)
        victims: list[Pooled] = []
        try:
            while True:
                waiting = self.waiting()
                full = len(self.pooled) + (not old) > config.global_slots + config.global_queue
                grow = len(new.tx.raw) - (len(old.tx.raw) if old else 0)
                heavy = grow > 0 and self.size_bytes() + grow > config.max_bytes
                crowded = not in_run and not old and len(waiting) >= config.global_queue
                if not (full or heavy or crowded):
                    return victims
                victim = self.find_victim([e for e in waiting if e is not old], sender, in_run, score)
                victims.append(victim)
                self.drop(victim)
        finally:
            self.pooled = kept
            self.order = order

    def find_victim(self, waiting: list[Pooled], sender: Address, in_run: bool, score: int) -> Pooled:
        tails: list[tuple[bool, int, int, Pooled]] = []
        for other, order in self.order.items():
            run = self.run(other)
            if run and other != sender and in_run:
                tails.append((len(run) <= self.config.account_slots, self.score(run), -order, run[-1]))
        tails.sort(key=lambda tail: tail[:3])
        for guaranteed in (False, True):
            group = [tail for tail in tails if tail[0] == guaranteed]
            if group and group[0][1] < min(score, 0):
                return group[0][3]
        if waiting:
            lowest = min(waiting, key=lambda entry: (self.score([entry]), -entry.arrival))
            if score > self.score([lowest]) or (in_run and score >= 0):
                return lowest
        for guaranteed in (False, True):
            group = [tail for tail in tails if tail[0] == guaranteed]
            if group and group[0][1] < score:
                return group[0][3]
        raise Refused

    def drop(self, entry: Pooled) -> None:
        sender = entry.tx.sender
        del self.pooled[sender, entry.tx.nonce]
        if not any(other == sender for other, _ in self.pooled):
            del self.order[sender]

    def settle(self) -> None:
        for (sender, nonce), entry in list(self.pooled.items()):
            if nonce < self.accounts.account(sender).nonce:
                self.drop(entry)

    def remove(self, tx_hash: bytes, now: float) -> None:
        for entry in [entry for entry in self.pooled.values() if entry.tx.hash == tx_hash]:
            self.drop(entry)
            self.trim(entry.tx.sender, now)

    def trim(self, sender: Address, now: float) -> None:
        """What the pool does after it looked at one sender."""
        self.refresh(now)
        mine = sorted([e for e in self.waiting() if e.tx.sender == sender], key=lambda entry: entry.tx.nonce)
        for entry in mine[self.config.account_queue :]:
            self.drop(entry)
        waiting = sorted(self.waiting(), key=lambda entry: (self.score([entry]), -entry.arrival))
        for entry in waiting[: max(0, len(waiting) - self.config.global_queue)]:
            self.drop(entry)

    def refresh(self, now: float) -> None:
        """Keep the times since when transactions wait."""
        waiting = {id(entry) for entry in self.waiting()}
        for entry in self.pooled.values():
            if id(entry) not in waiting:
                entry.waits_since = None
            elif entry.waits_since is None:
                entry.waits_since = now

    def expire(self, now: float) -> None:
        for entry in list(self.pooled.values()):
            if entry.waits_since is not None and now - entry.waits_since >= self.config.lifetime_seconds:
                self.drop(entry)

    def best(self, base_fee: int) -> list[Transaction]:
        queues = {sender: self.run(sender) for sender in self.order}
        taken = []
        while any(queues.values()):
            heads = [queue[0] for queue in queues.values() if queue]
            head = max(heads, key=lambda e: (min(e.fees[0], e.fees[1] - base_fee), -e.arrival))
            if head.fees[1] < base_fee:
                break
            queues[head.tx.sender].pop(0)
            taken.append(head.tx)
        return taken
