"""What calls cost, and that no call does unbounded work. docs/staking.md gives these figures."""

from __future__ import annotations

from dmchain.chain.staking.parameters import MAX_UNBONDINGS
from dmchain.marketplace_vm.precompiles.staking_interface import MAX_BENEFICIARIES, WHOLE_STAKE
from tests.marketplace_vm.staking.rig import DISPUTES, ETHER, StakingChain, account, founder

FIGURES = {
    "register": 242_676,
    "delegate, first": 75_124,
    "delegate, again": 40_924,
    "undelegate": 132_392,
    "redelegate": 161_617,
    "withdrawRewards": 59_274,
    "withdrawUnbonded, one": 33_849,
    "setRandao": 53_217,
}


def cost(chain: StakingChain, who: str | bytes, name: str, *arguments: object, value: int = 0) -> int:
    used: int = chain.do(who, name, *arguments, value=value).gas_used
    return used


def test_calls_cost_what_the_documentation_says() -> None:
    chain = StakingChain(block_reward=10**15)
    new = chain.registration("new")
    figures = {
        "register": cost(chain, "new", "register", *new, value=2 * ETHER),
        "delegate, first": cost(chain, "dora", "delegate", account("v0"), value=ETHER),
        "delegate, again": cost(chain, "dora", "delegate", account("v0"), value=ETHER),
    }
    chain.next_epoch()
    chain.blocks(4)
    figures |= {
        "undelegate": cost(chain, "dora", "undelegate", account("v0"), ETHER // 2),
        "redelegate": cost(chain, "dora", "redelegate", account("v0"), account("v1"), ETHER // 2),
        "withdrawRewards": cost(chain, "v1", "withdrawRewards", account("v1")),
    }
    chain.block(1_000)
    figures["withdrawUnbonded, one"] = cost(chain, "dora", "withdrawUnbonded")
    figures["setRandao"] = cost(chain, "v1", "setRandao", b"\1" * 32, 262_144)
    assert figures == FIGURES


def test_the_longest_queue_and_the_most_beneficiaries_fit_a_transaction() -> None:
    chain = StakingChain()
    for _ in range(MAX_UNBONDINGS):
        chain.do("v0", "undelegate", account("v0"), ETHER // 4)
    many = [account(f"victim {n}") for n in range(MAX_BENEFICIARIES)]
    chain.accounts |= {DISPUTES, *many}
    assert cost(chain, DISPUTES, "slashForData", account("v0"), 9 * ETHER, many) < 3_000_000
    chain.block(1_000)
    assert cost(chain, "v0", "withdrawUnbonded") < 400_000


def test_cost_does_not_grow_with_the_chain() -> None:
    """Neither validators, nor delegators, nor epochs make a call dearer."""
    small = StakingChain()
    founders = [founder(f"v{n}", ETHER) for n in range(100)]
    large = StakingChain(founders, max_validators=100, max_candidates=256, is_checked=False)
    for number in range(30):
        large.do(f"d{number}", "delegate", account("v0"), value=ETHER)
        large.block(100)
    for chain in (small, large, small, large):
        chain.do("dora", "delegate", account("v0"), value=ETHER)
        chain.next_epoch()
    large.is_checked = True
    large.check()
    figures = [
        [
            cost(chain, "dora", "delegate", account("v1"), value=ETHER),
            cost(chain, "dora", "redelegate", account("v0"), account("v1"), ETHER // 2),
            cost(chain, "dora", "undelegate", account("v0"), WHOLE_STAKE),
        ]
        for chain in (small, large)
    ]
    assert figures[0] == figures[1]
