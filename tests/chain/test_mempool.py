import pytest

from dmchain.chain.admission import (
    AccountLimitExceeded,
    AlreadyKnown,
    DelegationLimit,
    InvalidSender,
    OversizedTransaction,
    ReplacementUnderpriced,
    Underpriced,
)
from dmchain.chain.block_candidates import MAX_PASSED_OVER
from dmchain.chain.mempool import Added, Dropped, Mempool, MempoolConfig
from dmchain.chain.primitives.codec import encode
from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.chain.primitives.errors import (
    FeeCapTooLow,
    FloorGasTooLow,
    GasLimitExceeded,
    InitcodeTooLarge,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceMax,
    NonceTooLow,
    SenderNotEOA,
    TipAboveFeeCap,
    TransactionTypeNotSupported,
    WrongChainId,
)
from dmchain.chain.primitives.transaction import (
    Transaction,
    UnsignedTransaction,
    sign_authorization,
    sign_transaction,
)
from tests.chain.pooled import CHAIN_ID, RICH, Accounts, address, transfer

ANN, BOB, CAT, DAN = (address(number) for number in range(4))
TRANSFER_COST = 21_000 * 10
"""Wei, with the helper's default fee of 10 wei per gas."""


@pytest.fixture
def accounts() -> Accounts:
    accounts = Accounts()
    for account in (ANN, BOB, CAT, DAN):
        accounts.set(account)
    return accounts


def pool_of(accounts: Accounts, base_fee: int = 0, cap: int | None = None, **limits: object) -> Mempool:
    return Mempool(CHAIN_ID, accounts.head(base_fee, cap=cap), MempoolConfig(**limits))  # type: ignore[arg-type]


def add_all(pool: Mempool, *transactions: Transaction) -> list[Added]:
    return [pool.add(tx, 0.0) for tx in transactions]


def refused(pool: Mempool, tx: Transaction, error: type[InvalidTransaction], text: str) -> None:
    """The pool refuses `tx` with this error and stays as it was."""
    before = pool.content(), pool.status(), list(pool.best(0, 10**9))
    with pytest.raises(error) as caught:
        pool.add(tx, 0.0)
    assert str(caught.value).startswith(text)
    assert (pool.content(), pool.status(), list(pool.best(0, 10**9))) == before


# ---------------------------------------------------------------- admission


def test_a_transaction_with_the_next_nonce_is_executable(accounts):
    pool = pool_of(accounts)
    tx = transfer(ANN, 0)
    added = pool.add(tx, 0.0)
    assert added.executable and added.replaced is None and added.changes.promoted == [tx]
    assert tx.hash in pool and pool.get(tx.hash) is tx
    assert pool.status().pending == 1 and pool.status().size_bytes == len(tx.raw)
    assert pool.pending_nonce(ANN, 0) == 1


def test_the_gap_filler_promotes_what_waited(accounts):
    pool = pool_of(accounts)
    first, second, third, fifth = (transfer(ANN, nonce) for nonce in (0, 1, 2, 4))
    for waiting in (third, second, fifth):
        added = pool.add(waiting, 0.0)
        assert not added.executable and added.changes.promoted == []
    assert pool.pending_nonce(ANN, 0) == 0
    assert pool.add(first, 0.0).changes.promoted == [first, second, third]
    assert pool.content_from(ANN) == ({0: first, 1: second, 2: third}, {4: fifth})
    assert pool.pending_nonce(ANN, 0) == 3


@pytest.mark.parametrize(
    ("tx", "error", "text"),
    [
        (transfer(ANN, 0, chain_id=1), WrongChainId, "invalid sender: invalid chain id for signer: have 1 want 1337"),
        (transfer(ANN, 0, gas=20_999), IntrinsicGasTooLow, "intrinsic gas too low: have 20999, want 21000"),
        (
            transfer(ANN, 0, gas=21_000 + 1600, data=b"\x01" * 100),
            FloorGasTooLow,
            "insufficient gas for floor data gas cost: have 22600, want 25000",
        ),
        (transfer(ANN, 0, gas=30_000_001), GasLimitExceeded, "exceeds block gas limit"),
        (transfer(ANN, 0, tip=11, cap=10), TipAboveFeeCap, "max priority fee per gas higher than max fee per gas"),
        (transfer(ANN, 2**64 - 1), NonceMax, "nonce has max value"),
        (
            transfer(ANN, 0, gas=10**7, to=b"", data=bytes(49_153)),
            InitcodeTooLarge,
            "max initcode size exceeded: code size 49153, limit 49152",
        ),
        (
            transfer(ANN, 0, gas=10**7, data=bytes(131_072)),
            OversizedTransaction,
            "oversized data: transaction size 1311",
        ),
    ],
)
def test_what_a_block_cannot_take_is_refused(accounts, tx, error, text):
    refused(pool_of(accounts), tx, error, text)


def test_the_gas_cap_of_a_transaction_is_enforced_where_it_is_in_force(accounts):
    tx = transfer(ANN, 0, gas=2**24 + 1)
    text = "transaction gas limit too high (cap: 16777216, tx: 16777217)"
    refused(pool_of(accounts, cap=2**24), tx, GasLimitExceeded, text)
    assert pool_of(accounts).add(tx, 0.0).executable


def test_blob_transactions_are_refused_with_a_reason(accounts):
    body = [CHAIN_ID, 0, 1, 1, 21_000, b"\x11" * 20, 0, b"", [], 1, [b"\x01" + bytes(31)], 0, 1, 1]
    tx = Transaction.decode(b"\x03" + encode(body))
    refused(pool_of(accounts), tx, TransactionTypeNotSupported, "transaction type not supported: tx type 3")


def test_a_bad_signature_is_an_invalid_sender(accounts):
    high_s = 2**256 - 2**200
    tx = Transaction.decode(b"\x02" + encode([CHAIN_ID, 0, 1, 1, 21_000, b"\x11" * 20, 0, b"", [], 0, 1, high_s]))
    refused(pool_of(accounts), tx, InvalidSender, "invalid sender: ")


def test_a_legacy_transaction_without_chain_id_is_taken(accounts):
    key = PrivateKey(bytes(31) + b"\x07")
    accounts.set(key.address)
    tx = sign_transaction(UnsignedTransaction(0, None, 0, 21_000, 10, 10, to=b"\x11" * 20), key)
    assert Transaction.decode(tx.raw).chain_id is None
    assert pool_of(accounts).add(Transaction.decode(tx.raw), 0.0).executable


def test_a_used_nonce_is_refused(accounts):
    accounts.set(ANN, nonce=5)
    refused(pool_of(accounts), transfer(ANN, 4), NonceTooLow, "nonce too low: next nonce 5, tx nonce 4")


def test_a_contract_cannot_send_but_a_delegated_account_can(accounts):
    accounts.set(ANN, has_code=True)
    accounts.set(BOB, is_delegated=True)
    pool = pool_of(accounts)
    refused(pool, transfer(ANN, 0), SenderNotEOA, "sender not an eoa: address 0x00")
    assert pool.add(transfer(BOB, 0), 0.0).executable
    assert pool.add(transfer(ANN, 0), 0.0, sender_may_have_code=True).executable


def test_the_same_transaction_again_is_already_known(accounts):
    pool = pool_of(accounts)
    add_all(pool, transfer(ANN, 0))
    refused(pool, transfer(ANN, 0), AlreadyKnown, "already known")


def test_the_least_tip_is_configurable(accounts):
    pool = pool_of(accounts, min_tip_wei=11)
    refused(pool, transfer(ANN, 0), Underpriced, "transaction underpriced: gas tip cap 10, minimum needed 11")


def test_a_fee_cap_below_the_base_fee_waits_for_cheaper_times_or_is_refused(accounts):
    pool = pool_of(accounts, base_fee=11)
    assert pool.add(transfer(ANN, 0), 0.0).executable
    assert not pool.has_executable() and not list(pool.best(11, 10**6))
    pool.on_block([], accounts.head(base_fee=10), 1.0)
    assert pool.has_executable() and len(list(pool.best(10, 10**6))) == 1
    strict = pool_of(accounts, base_fee=11, refuse_below_base_fee=True)
    refused(strict, transfer(ANN, 0), FeeCapTooLow, "max fee per gas less than block base fee: address 0x00")


# ---------------------------------------------------------------- funds


def test_the_balance_must_cover_the_greatest_cost(accounts):
    accounts.set(ANN, balance=TRANSFER_COST - 1)
    text = "insufficient funds for gas * price + value: balance 209999, tx cost 210000, overshot 1"
    refused(pool_of(accounts), transfer(ANN, 0), InsufficientFunds, text)


def test_the_balance_must_cover_the_whole_run(accounts):
    accounts.set(ANN, balance=3 * TRANSFER_COST - 1)
    pool = pool_of(accounts)
    add_all(pool, transfer(ANN, 0), transfer(ANN, 1))
    text = "insufficient funds for gas * price + value: balance 629999, queued cost 420000, tx cost 210000, overshot 1"
    refused(pool, transfer(ANN, 2), InsufficientFunds, text)


def test_a_replacement_must_be_covered_with_the_rest_of_the_run(accounts):
    accounts.set(ANN, balance=2 * TRANSFER_COST + 21_000 * 2)
    pool = pool_of(accounts)
    add_all(pool, transfer(ANN, 0), transfer(ANN, 1))
    text = "insufficient funds for gas * price + value: balance 462000, queued cost 420000, tx bumped 63000"
    refused(pool, transfer(ANN, 0, tip=13), InsufficientFunds, text)
    assert pool.add(transfer(ANN, 0, tip=12), 0.0).executable
    refused(pool, transfer(ANN, 1, tip=12), InsufficientFunds, "insufficient funds for gas * price + value")


def test_what_waits_is_promoted_only_as_far_as_funds_go(accounts):
    accounts.set(ANN, balance=2 * TRANSFER_COST)
    pool = pool_of(accounts)
    transactions = [transfer(ANN, nonce) for nonce in range(4)]
    add_all(pool, *transactions[1:], transactions[0])
    assert list(pool.content_from(ANN)[0]) == [0, 1]
    accounts.set(ANN, balance=4 * TRANSFER_COST)
    assert pool.on_block([ANN], accounts.head(), 1.0).promoted == transactions[2:]


def test_a_falling_balance_demotes_the_end_of_the_run(accounts):
    pool = pool_of(accounts)
    transactions = [transfer(ANN, nonce) for nonce in range(3)]
    add_all(pool, *transactions)
    accounts.set(ANN, balance=TRANSFER_COST)
    changes = pool.on_block([ANN], accounts.head(), 1.0)
    assert changes.demoted == [transactions[2], transactions[1]]
    assert pool.pending_nonce(ANN, 0) == 1


def test_a_cheaper_replacement_lets_in_what_waits_for_funds(accounts):
    accounts.set(ANN, balance=3 * TRANSFER_COST + 21_000)
    pool = pool_of(accounts)
    waiting = transfer(ANN, 2)
    add_all(pool, transfer(ANN, 0, value=TRANSFER_COST), waiting, transfer(ANN, 1))
    assert list(pool.content_from(ANN)[1]) == [2]
    cheaper = transfer(ANN, 0, tip=11)
    assert pool.add(cheaper, 0.0).changes.promoted == [cheaper, waiting]


# ---------------------------------------------------------------- replacement


@pytest.mark.parametrize(("tip", "cap"), [(100, 1100), (109, 1100), (110, 1099), (110, 1000), (90, 1200)])
def test_a_replacement_needs_both_fees_ten_percent_higher(accounts, tip, cap):
    pool = pool_of(accounts)
    add_all(pool, transfer(ANN, 0, tip=100, cap=1000))
    refused(pool, transfer(ANN, 0, tip=tip, cap=cap), ReplacementUnderpriced, "replacement transaction underpriced")


def test_a_replacement_of_a_tiny_fee_must_still_grow(accounts):
    pool = pool_of(accounts)
    add_all(pool, transfer(ANN, 0, tip=0, cap=5))
    refused(pool, transfer(ANN, 0, tip=0, cap=6), ReplacementUnderpriced, "replacement transaction underpriced")
    refused(pool, transfer(ANN, 0, tip=1, cap=5), ReplacementUnderpriced, "replacement transaction underpriced")
    assert pool.add(transfer(ANN, 0, tip=1, cap=6), 0.0).executable


@pytest.mark.parametrize("nonce", [0, 1, 2, 5])
def test_a_replacement_takes_the_place_of_the_old_one(accounts, nonce):
    pool = pool_of(accounts)
    add_all(pool, *[transfer(ANN, at, tip=100) for at in (0, 1, 2, 5)])
    old = pool.content_from(ANN)[nonce == 5][nonce]
    new = transfer(ANN, nonce, tip=110, data=b"new", gas=22_000)
    added = pool.add(new, 0.0)
    assert added.replaced == old and added.executable == (nonce != 5)
    assert old.hash not in pool and pool.content_from(ANN)[nonce == 5][nonce] is new
    content = pool.content_from(ANN)
    assert pool.status().size_bytes == sum(len(tx.raw) for part in content for tx in part.values())
    assert pool.status().pending == 3 and pool.status().queued == 1


# ---------------------------------------------------------------- order of a block


def test_best_is_by_effective_tip_then_arrival_with_nonces_in_order(accounts):
    pool = pool_of(accounts, base_fee=50)
    ann = [transfer(ANN, 0, tip=5, cap=100), transfer(ANN, 1, tip=40, cap=100)]
    bob = [transfer(BOB, 0, tip=30, cap=60), transfer(BOB, 1, tip=5, cap=100)]  # effective: 10, 5
    cat = [transfer(CAT, 0, tip=7, cap=100)]
    add_all(pool, *bob, *ann, *cat)
    assert list(pool.best(50, 10**6)) == [bob[0], cat[0], bob[1], ann[0], ann[1]]
    assert list(pool.best(30, 10**6)) == [bob[0], cat[0], bob[1], ann[0], ann[1]]
    assert list(pool.best(61, 10**6)) == [cat[0], ann[0], ann[1]]


def test_best_leaves_the_pool_alone_and_may_be_asked_twice(accounts):
    pool = pool_of(accounts)
    add_all(pool, *[transfer(sender, nonce) for nonce in range(3) for sender in (ANN, BOB)])
    assert list(pool.best(0, 10**6)) == list(pool.best(0, 10**6))
    assert len(pool) == 6


def test_skip_sender_leaves_out_the_rest_of_its_run(accounts):
    pool = pool_of(accounts)
    add_all(pool, *[transfer(ANN, nonce, tip=20) for nonce in range(3)], transfer(BOB, 0))
    best = pool.best(0, 10**6)
    assert next(best).sender == ANN
    best.skip_sender()
    assert [tx.sender for tx in best] == [BOB]


def test_best_fills_the_gas_of_a_block_and_passes_over_what_is_too_big(accounts):
    pool = pool_of(accounts)
    big, after_big, small = transfer(ANN, 0, tip=20, gas=60_000), transfer(ANN, 1, tip=20), transfer(BOB, 0)
    add_all(pool, big, after_big, small)
    assert list(pool.best(0, 50_000)) == [small]
    best = pool.best(0, 80_000)
    assert next(best) is big
    best.use_gas(60_000)
    assert list(best) == []


def test_a_nearly_full_block_does_not_walk_through_the_whole_pool(accounts):
    senders = [address(100 + number) for number in range(MAX_PASSED_OVER + 10)]
    pool = pool_of(accounts)
    for sender in senders:
        accounts.set(sender)
        pool.add(transfer(sender, 0, tip=20, gas=100_000), 0.0)
    pool.add(transfer(ANN, 0), 0.0)
    assert list(pool.best(0, 50_000)) == []


def test_best_goes_on_while_the_pool_changes(accounts):
    pool = pool_of(accounts)
    add_all(pool, *[transfer(sender, nonce) for nonce in range(3) for sender in (ANN, BOB, CAT)])
    best = pool.best(0, 10**6)
    first = next(best)
    pool.remove(transfer(BOB, 0).hash, 0.0)
    pool.add(transfer(DAN, 0, tip=99), 0.0)
    pool.add(transfer(ANN, 3), 0.0)
    rest = list(best)
    assert first.sender == ANN
    assert {tx.sender for tx in rest} == {ANN, CAT}
    for sender in (ANN, CAT):
        nonces = [tx.nonce for tx in [first, *rest] if tx.sender == sender]
        assert nonces == list(range(len(nonces))) and len(nonces) >= 3


# ---------------------------------------------------------------- limits and eviction


def test_thousands_of_nonces_of_one_sender_in_any_order(accounts):
    pool = Mempool(CHAIN_ID, accounts.head(), MempoolConfig.devnet())
    nonces = [*range(2999, -1, -1)]
    for nonce in nonces:
        pool.add(transfer(ANN, nonce), 0.0)
    assert pool.status().pending == 3000
    best = [tx.nonce for tx in pool.best(0, 10**9)]
    assert best == sorted(nonces)


def test_waiting_transactions_of_one_account_are_limited_but_the_gap_can_be_filled(accounts):
    pool = pool_of(accounts, account_queue=2)
    add_all(pool, transfer(ANN, 2), transfer(ANN, 3))
    refused(pool, transfer(ANN, 4), AccountLimitExceeded, "account limit exceeded")
    refused(pool, transfer(ANN, 1), AccountLimitExceeded, "account limit exceeded")
    add_all(pool, transfer(ANN, 0), transfer(ANN, 1))
    assert pool.status().pending == 4


def test_a_waiting_transaction_never_displaces_an_executable_one(accounts):
    pool = pool_of(accounts, global_slots=1, global_queue=1)
    add_all(pool, transfer(ANN, 0, tip=1), transfer(BOB, 0, tip=1))
    refused(pool, transfer(CAT, 1, tip=1000), Underpriced, "transaction underpriced")


def test_an_executable_transaction_displaces_a_waiting_one_at_any_fee(accounts):
    pool = pool_of(accounts, global_slots=1, global_queue=1)
    waiting = transfer(BOB, 1, tip=1000)
    add_all(pool, transfer(ANN, 0), waiting)
    added = pool.add(transfer(CAT, 0, tip=1), 0.0)
    assert added.changes.dropped == [Dropped(waiting, "evicted")]
    assert pool.get(waiting.hash) is None


def test_what_cannot_pay_the_base_fee_displaces_no_better_waiting_one(accounts):
    pool = pool_of(accounts, base_fee=50, global_slots=1, global_queue=1)
    add_all(pool, transfer(ANN, 0, tip=60), transfer(BOB, 1, tip=60))
    refused(pool, transfer(CAT, 0, tip=49), Underpriced, "transaction underpriced: txpool is full, effective tip -1")


def test_what_cannot_pay_the_base_fee_goes_first_but_not_for_its_equal(accounts):
    pool = pool_of(accounts, base_fee=50, global_slots=2, global_queue=1)
    stuck, waiting = transfer(BOB, 0, tip=40), transfer(CAT, 1, tip=55)
    add_all(pool, transfer(ANN, 0, tip=60), stuck, waiting)
    refused(pool, transfer(DAN, 0, tip=40), Underpriced, "transaction underpriced")
    added = pool.add(transfer(DAN, 0, tip=51), 0.0)
    assert [dropped.transaction for dropped in added.changes.dropped] == [stuck]


def test_the_same_fee_displaces_nobody(accounts):
    pool = pool_of(accounts, global_slots=2, global_queue=0)
    add_all(pool, transfer(ANN, 0), transfer(BOB, 0))
    refused(pool, transfer(CAT, 0), Underpriced, "transaction underpriced: txpool is full")
    assert pool.add(transfer(CAT, 0, tip=11), 0.0).executable
    assert pool.content_from(BOB) == ({}, {})  # of equals, the sender that came last


def test_long_runs_make_room_before_short_ones(accounts):
    pool = pool_of(accounts, account_slots=2, global_slots=4, global_queue=0)
    run = [transfer(ANN, nonce, tip=20) for nonce in range(3)]
    add_all(pool, *run, transfer(BOB, 0, tip=5))
    dropped = pool.add(transfer(CAT, 0, tip=21), 0.0).changes.dropped
    assert [drop.transaction for drop in dropped] == [run[2]]
    dropped = pool.add(transfer(CAT, 1, tip=21), 0.0).changes.dropped
    assert [drop.transaction.sender for drop in dropped] == [BOB]


def test_a_dear_tail_behind_a_cheap_head_counts_as_cheap(accounts):
    pool = pool_of(accounts, global_slots=3, global_queue=0)
    tail = transfer(ANN, 1, tip=1000)
    add_all(pool, transfer(ANN, 0, tip=1), tail, transfer(BOB, 0, tip=2))
    dropped = pool.add(transfer(CAT, 0, tip=2), 0.0).changes.dropped
    assert [drop.transaction for drop in dropped] == [tail]


def test_a_tail_is_dear_again_once_its_cheap_head_is_mined(accounts):
    pool = pool_of(accounts, global_slots=3, global_queue=0)
    add_all(pool, transfer(ANN, 0, tip=1), transfer(ANN, 1, tip=1000), transfer(BOB, 0, tip=2))
    accounts.set(ANN, nonce=1)
    pool.on_block([ANN], accounts.head(), 1.0)
    add_all(pool, transfer(CAT, 0, tip=3))
    dropped = pool.add(transfer(DAN, 0, tip=3), 0.0).changes.dropped
    assert [drop.transaction.sender for drop in dropped] == [BOB]


def test_nobody_displaces_his_own_run(accounts):
    pool = pool_of(accounts, global_slots=2, global_queue=0)
    add_all(pool, transfer(ANN, 0, tip=1), transfer(ANN, 1, tip=1))
    refused(pool, transfer(ANN, 2, tip=1000), Underpriced, "transaction underpriced")


def test_bytes_are_a_limit_and_a_refused_giant_drops_nothing(accounts):
    cheap, dear = transfer(ANN, 0, tip=5), transfer(BOB, 0, tip=50)
    pool = pool_of(accounts, max_bytes=len(cheap.raw) + len(dear.raw))
    add_all(pool, cheap, dear)
    giant = transfer(CAT, 0, tip=20, data=bytes(40), gas=30_000)
    refused(pool, giant, Underpriced, "transaction underpriced")
    after = pool.add(transfer(CAT, 0, tip=20), 0.0)
    assert [drop.transaction for drop in after.changes.dropped] == [cheap]


def test_demoted_transactions_keep_to_the_limits_of_waiting_ones(accounts):
    pool = pool_of(accounts, account_queue=3, global_queue=4)
    add_all(pool, *[transfer(sender, nonce) for nonce in range(5) for sender in (ANN, BOB)])
    for sender in (ANN, BOB):
        accounts.set(sender, balance=0)
    changes = pool.on_block([BOB, ANN], accounts.head(), 1.0)
    assert len(changes.demoted) == 10
    assert [drop.reason for drop in changes.dropped].count("account-limit") == 4
    assert pool.status().pending == 0 and pool.status().queued == 4


def test_replaced_transactions_do_not_stay_in_memory(accounts):
    pool = pool_of(accounts, price_bump_percent=1)
    for tip in range(1000, 3000, 30):
        pool.add(transfer(ANN, 1, tip=tip), 0.0)
    entries = {id(record[3]): record[3] for record in pool._waiting._by_tip}
    assert sum(entry.tx is not None for entry in entries.values()) == 1


def test_waiting_transactions_expire(accounts):
    pool = pool_of(accounts, lifetime_seconds=100)
    waiting = transfer(ANN, 1)
    pool.add(waiting, 0.0)
    pool.add(transfer(BOB, 0), 0.0)
    assert pool.on_block([], accounts.head(), 99.9).dropped == []
    assert pool.on_block([], accounts.head(), 100.0).dropped == [Dropped(waiting, "expired")]
    assert pool.status().pending == 1


# ---------------------------------------------------------------- following the chain


def test_mined_transactions_leave_and_the_rest_goes_on(accounts):
    pool = pool_of(accounts)
    transactions = [transfer(ANN, nonce) for nonce in range(4)]
    add_all(pool, *transactions)
    accounts.set(ANN, nonce=2)
    changes = pool.on_block([ANN, b"\xff" * 20], accounts.head(), 1.0)
    assert changes.settled == transactions[:2] and changes.promoted == changes.demoted == []
    assert list(pool.best(0, 10**6)) == transactions[2:]


def test_a_competitor_on_the_chain_settles_and_promotes(accounts):
    pool = pool_of(accounts)
    stale, waiting = transfer(ANN, 0), transfer(ANN, 2)
    add_all(pool, stale, waiting)
    accounts.set(ANN, nonce=2)
    changes = pool.on_block([ANN], accounts.head(), 1.0)
    assert changes.settled == [stale] and changes.promoted == [waiting]


def test_a_revert_of_the_head_makes_runs_wait_again(accounts):
    accounts.set(ANN, nonce=3)
    pool = pool_of(accounts)
    tx = transfer(ANN, 3)
    add_all(pool, tx)
    accounts.set(ANN, nonce=1)
    assert pool.on_reset(accounts.head(), 1.0).demoted == [tx]
    assert pool.pending_nonce(ANN, 1) == 1
    add_all(pool, transfer(ANN, 1))
    assert pool.add(transfer(ANN, 2), 0.0).changes.promoted[-1] is tx


def test_a_lower_gas_limit_drops_what_does_not_fit(accounts):
    pool = pool_of(accounts)
    big, after = transfer(ANN, 0, gas=20_000_000), transfer(ANN, 1)
    add_all(pool, big, after)
    changes = pool.on_block([], accounts.head(cap=2**24), 1.0)
    assert changes.dropped == [Dropped(big, "gas-limit")] and changes.demoted == [after]


def test_removing_one_makes_its_followers_wait(accounts):
    pool = pool_of(accounts)
    transactions = [transfer(ANN, nonce) for nonce in range(3)]
    add_all(pool, *transactions)
    changes = pool.remove(transactions[1].hash, 1.0)
    assert changes.dropped == [Dropped(transactions[1], "removed")] and changes.demoted == [transactions[2]]
    assert pool.remove(b"?" * 32, 1.0).dropped == []


def test_state_that_changed_without_a_block_is_noticed_when_a_sender_comes(accounts):
    accounts.set(ANN, balance=TRANSFER_COST)
    pool = pool_of(accounts)
    waiting = transfer(ANN, 1)
    add_all(pool, waiting)
    accounts.set(ANN, nonce=1, balance=RICH)
    assert pool.add(transfer(ANN, 2), 0.0).changes.promoted == [waiting, transfer(ANN, 2)]


def test_changes_noticed_by_a_refused_transaction_are_told_later(accounts):
    pool = pool_of(accounts)
    waiting = transfer(ANN, 1)
    add_all(pool, waiting)
    accounts.set(ANN, nonce=1)
    with pytest.raises(NonceTooLow):
        pool.add(transfer(ANN, 0), 0.0)
    with pytest.raises(ReplacementUnderpriced):
        pool.add(transfer(ANN, 1, data=b"x", gas=22_000), 0.0)
    assert pool.on_block([], accounts.head(), 1.0).promoted == [waiting]


def test_an_emptied_pool_is_empty(accounts):
    pool = pool_of(accounts)
    add_all(pool, transfer(ANN, 0), transfer(ANN, 2), transfer(BOB, 1))
    for sender in (ANN, BOB):
        accounts.set(sender, nonce=9)
    pool.on_block([ANN, BOB], accounts.head(), 1.0)
    assert len(pool) == 0 and pool.status().size_bytes == 0 and pool.content() == ({}, {})
    assert not pool._senders and not pool._waiting_since and not pool.has_executable()


def test_a_cleared_pool_is_empty_and_goes_on(accounts):
    pool = pool_of(accounts)
    transactions = [transfer(ANN, 0), transfer(ANN, 1), transfer(ANN, 3), transfer(BOB, 1)]
    add_all(pool, *transactions)
    assert {drop.transaction for drop in pool.clear().dropped} == set(transactions)
    assert len(pool) == 0 and pool.status().size_bytes == 0 and not pool._senders and not pool._waiting_since
    assert pool.add(transactions[0], 0.0).executable


# ---------------------------------------------------------------- EIP-7702


def set_code(authority: PrivateKey, nonce: int, sender: PrivateKey) -> Transaction:
    entry = sign_authorization(authority, chain_id=CHAIN_ID, address=DAN, nonce=0)
    return sign_transaction(
        UnsignedTransaction(4, CHAIN_ID, nonce, 100_000, 10, 10, to=DAN, authorization_list=(entry,)), sender
    )


def test_a_delegated_account_has_one_transaction_in_the_pool(accounts):
    accounts.set(ANN, is_delegated=True)
    pool = pool_of(accounts)
    refused(pool, transfer(ANN, 1), DelegationLimit, "gapped-nonce tx from delegated accounts")
    add_all(pool, transfer(ANN, 0))
    text = "in-flight transaction limit reached for delegated accounts"
    refused(pool, transfer(ANN, 1), DelegationLimit, text)
    assert pool.add(transfer(ANN, 0, tip=11), 0.0).replaced is not None
    relaxed = pool_of(accounts, delegated_slots=2)
    add_all(relaxed, transfer(ANN, 0), transfer(ANN, 1))
    refused(relaxed, transfer(ANN, 2), DelegationLimit, text)


def test_a_pooled_authorization_limits_its_signer_until_it_is_gone(accounts):
    signer, sponsor = PrivateKey(bytes(31) + b"\x01"), PrivateKey(bytes(31) + b"\x02")
    for key in (signer, sponsor):
        accounts.set(key.address)
    pool = pool_of(accounts)
    delegation = set_code(signer, 0, sponsor)
    add_all(pool, transfer(signer.address, 0), delegation)
    refused(pool, transfer(signer.address, 1), DelegationLimit, "in-flight transaction limit reached")
    pool.remove(delegation.hash, 0.0)
    add_all(pool, transfer(signer.address, 1))
    refused(pool, delegation, DelegationLimit, "authority already reserved")
