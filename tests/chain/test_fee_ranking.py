from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from dmchain.chain.fee_ranking import FeeRanking


class Item:
    def __init__(self, name: int, tip: int, cap: int) -> None:
        self.name = name
        self.tip = tip
        self.cap = cap
        self.stamp = 0


fees = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: (min(pair), max(pair)))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), fees),
        st.tuples(st.just("discard"), st.integers(0, 40)),
        st.tuples(st.just("rebase"), st.integers(0, 14)),
    ),
    max_size=60,
)


@given(steps, st.booleans())
def test_order_is_that_of_sorting_by_effective_tip(script, lowest):
    ranking: FeeRanking[Item] = FeeRanking(0, count(1), lowest=lowest)
    live: list[Item] = []
    base_fee = 0
    for number, (action, value) in enumerate(script):
        if action == "push":
            item = Item(number, *value)
            ranking.push(item, item.tip, item.cap, number)
            live.append(item)
        elif action == "rebase":
            base_fee = value
            ranking.rebase(base_fee)
        elif live:
            ranking.discard(live.pop(value % len(live)))
        sign = 1 if lowest else -1
        expected = sorted((sign * min(item.tip, item.cap - base_fee), item.name) for item in live)
        assert [(sign * score, tie) for score, tie, _ in ranking.ordered()] == expected
        assert len(ranking) == len(live)
        top = ranking.top()
        assert (top is None) == (not live)
        if top is not None:
            assert (sign * top[0], top[1].name) == expected[0]


def test_dead_records_do_not_pile_up():
    ranking: FeeRanking[Item] = FeeRanking(0, count(1), lowest=False)
    for number in range(20_000):
        item = Item(number, 5, 10)
        ranking.push(item, 5, 10, number)
        ranking.rebase(number % 12)
        ranking.discard(item)
    heaps = (ranking._by_tip, ranking._by_cap, ranking._rising, ranking._falling)
    assert sum(len(heap) for heap in heaps) < 10_000


def test_a_running_walk_survives_changes_of_the_ranking():
    ranking: FeeRanking[Item] = FeeRanking(0, count(1), lowest=False)
    items = [Item(number, number, 100) for number in range(10)]
    for item in items:
        ranking.push(item, item.tip, item.cap, item.name)
    walk = ranking.ordered()
    assert next(walk)[2] is items[9]
    ranking.discard(items[8])
    late = Item(10, 7, 100)
    ranking.push(late, 7, 100, 10)
    assert [item.name for _, _, item in walk] == [7, 6, 5, 4, 3, 2, 1, 0]
