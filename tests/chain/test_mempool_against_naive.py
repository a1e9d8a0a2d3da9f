"""The pool raced against a model without any cleverness: same contents, same order, whatever happens."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dmchain.chain.mempool import Mempool, MempoolConfig
from dmchain.chain.primitives.errors import InvalidTransaction
from tests.chain.naive_pool import NaivePool, Refused
from tests.chain.pooled import CHAIN_ID, Accounts, address, transfer

CONFIG = MempoolConfig(
    account_slots=2, account_queue=3, global_slots=5, global_queue=3, max_bytes=560, lifetime_seconds=10
)
SENDERS = [address(number) for number in range(4)]
UNIT = 21_000 * 100
"""Cost in wei of a transfer at one fee step."""

senders = st.sampled_from(SENDERS)
fees = st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda pair: (100 * min(pair), 100 * max(pair)))
balances = st.sampled_from([0, 5 * UNIT, 20 * UNIT, 60 * UNIT])


class PoolRace(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.accounts = Accounts()
        for sender in SENDERS:
            self.accounts.set(sender, balance=60 * UNIT)
        self.now = 0.0
        self.base_fee = 0
        head = self.accounts.head()
        self.pool = Mempool(CHAIN_ID, head, CONFIG)
        self.naive = NaivePool(self.accounts, head, CONFIG)

    @rule(sender=senders, ahead=st.integers(-3, 3), fees=fees, size=st.sampled_from([0, 0, 30, 100]))
    def add(self, sender, ahead, fees, size):
        run, _ = self.pool.content_from(sender)
        self.add_at(sender, self.accounts.account(sender).nonce + len(run) + ahead, fees, size)

    @rule(sender=senders, fees=fees)
    def add_next(self, sender, fees):
        self.add(sender, 0, fees, 0)

    def add_at(self, sender, nonce, fees, size):
        nonce = max(0, nonce)
        tx = transfer(sender, nonce, *fees, gas=21_000 + 40 * size, data=b"\x01" * size)
        before = self.pool.content()
        try:
            self.naive.add(tx, self.now)
            refused = False
        except Refused:
            refused = True
        try:
            added = self.pool.add(tx, self.now)
            assert not refused, "the model refused it"
            assert added.executable == (tx in added.changes.promoted)
        except InvalidTransaction as error:
            assert refused, f"the model took it: {error}"
            assert self.pool.content() == before

    @rule(sender=senders, mined=st.integers(-1, 4), balance=balances)
    def block_changes_account(self, sender, mined, balance):
        nonce = max(0, self.accounts.account(sender).nonce + mined)
        self.accounts.set(sender, nonce=nonce, balance=balance)
        self.follow([sender])

    @rule(base_fee=st.sampled_from([0, 0, 100, 200, 350, 500, 900]))
    def base_fee_moves(self, base_fee):
        self.base_fee = base_fee
        self.follow([])

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds):
        self.now += seconds
        self.follow([])

    @rule(index=st.integers(0, 20))
    def remove(self, index):
        hashes = [entry.tx.hash for entry in self.naive.pooled.values()]
        if hashes:
            tx_hash = hashes[index % len(hashes)]
            self.pool.remove(tx_hash, self.now)
            self.naive.remove(tx_hash, self.now)

    def follow(self, changed):
        head = self.accounts.head(self.base_fee)
        self.pool.on_block(changed, head, self.now)
        self.naive.head = head
        self.naive.settle()
        for sender in changed:
            self.naive.trim(sender, self.now)
        self.naive.expire(self.now)

    @invariant()
    def contents_agree(self):
        waiting = {(entry.tx.sender, entry.tx.nonce) for entry in self.naive.waiting()}
        for sender in SENDERS:
            run, queued = self.pool.content_from(sender)
            assert list(run.values()) == [entry.tx for entry in self.naive.run(sender)]
            assert {(sender, nonce) for nonce in queued} == {key for key in waiting if key[0] == sender}
        status = self.pool.status()
        assert status.queued == len(waiting)
        assert status.pending == len(self.naive.pooled) - len(waiting)
        assert status.size_bytes == self.naive.size_bytes()

    @invariant()
    def limits_hold(self):
        status = self.pool.status()
        assert status.queued <= CONFIG.global_queue
        assert status.pending + status.queued <= CONFIG.global_slots + CONFIG.global_queue
        assert status.size_bytes <= CONFIG.max_bytes

    @invariant()
    def order_agrees(self):
        for base_fee in (self.base_fee, 450):
            best = list(self.pool.best(base_fee, 10**9))
            assert best == self.naive.best(base_fee)
            assert self.pool.has_executable(base_fee) == bool(best)


PoolRace.TestCase.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)
test_pool_agrees_with_its_slow_twin = PoolRace.TestCase
