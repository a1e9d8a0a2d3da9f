"""A chain of blocks for staking: hooks at both ends of each, calls between, conservation checked after every step."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from dmchain.chain.consensus.commit import Commit
from dmchain.chain.consensus.evidence import Amnesia, ChainEvidence, make_double_vote
from dmchain.chain.consensus.messages import PRECOMMIT, PREVOTE, Vote
from dmchain.chain.genesis_staking import GenesisStaking, GenesisValidator, make_storage
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import ZERO_HASH, Address, Hash32
from dmchain.chain.staking import STAKING
from dmchain.chain.staking.facts import ConsensusFacts, Notice
from dmchain.chain.staking.hooks import process_block_end, process_block_start
from dmchain.chain.staking.invariants import check_conservation
from dmchain.chain.staking.parameters import StakingParameters
from dmchain.chain.staking.possession import prove_possession
from dmchain.chain.staking.readers import EpochSet, ValidatorState, read_epoch_at, read_totals, read_validator
from tests.marketplace_vm.precompiles.native_machines import EvmMachine, Machine, MemoryMachine, Outcome

ETHER = 10**18
DISPUTES = Address(b"\xd1" * 20)
DAY = 86_400
PARAMETERS = StakingParameters(
    epoch_seconds=100,
    unbonding_seconds=1_000,
    max_validators=4,
    max_candidates=6,
    window_commits=10,
    window_seconds=50,
    jail_seconds=200,
    minimum_self_stake=ETHER,
    dispute_contract=DISPUTES,
)
GENESIS_TIME = 1_000_000
COMMIT_HASH = Hash32(b"\xbb" * 32)


def account(name: str) -> Address:
    return Address(keccak(name.encode())[12:])


def key_of(name: str) -> PrivateKey:
    """The consensus key of the validator called `name`."""
    return PrivateKey(keccak(b"consensus key of " + name.encode()))


def founder(name: str, stake: int, commission_bps: int = 0, max_change: int = 500) -> GenesisValidator:
    return GenesisValidator(account(name), key_of(name).public_key, stake, commission_bps, max_change)


class StakingChain:
    """Blocks on a machine. `names` are those of everybody who ever took part; the founders validate from block 1 on."""

    def __init__(
        self,
        founders: Sequence[GenesisValidator] | int = 4,
        parameters: StakingParameters = PARAMETERS,
        machine: Machine | None = None,
        *,
        is_checked: bool = True,
        **changes: Any,
    ) -> None:
        if isinstance(founders, int):
            founders = [founder(f"v{index}", 10 * ETHER) for index in range(founders)]
        self.parameters = replace(parameters, **changes)
        self.genesis = GenesisStaking(tuple(founders), self.parameters)
        self.machine = machine or MemoryMachine()
        self.state: Any = self.machine.state  # type: ignore[attr-defined]
        for slot, value in make_storage(self.genesis, GENESIS_TIME):
            self.state.set_storage(STAKING, slot, value)
        self.state.set_balance(STAKING, self.genesis.balance)
        self.is_checked = is_checked
        self.accounts: set[bytes] = {each.operator for each in founders}
        self.supply = self.genesis.balance
        """Of everybody that took part and the contract: what `fund` gave included."""
        self.number = 0
        self.machine.timestamp = GENESIS_TIME
        self.facts: ConsensusFacts | None = None
        self.notices: list[Notice] = []

    # -- reading -------------------------------------------------------------------------------------------------
    @property
    def now(self) -> int:
        return self.machine.timestamp

    def get_storage(self, address: bytes, slot: int) -> int:
        return self.machine.get_storage(address, slot)

    def epoch_at(self, height: int) -> EpochSet:
        found = read_epoch_at(self.get_storage, height)
        assert found is not None
        return found

    def validator(self, name: str) -> ValidatorState:
        found = read_validator(self.get_storage, account(name))
        assert found is not None
        return found

    def names_at(self, height: int, names: Iterable[str]) -> set[str]:
        """Which of `names` are in the set of a height."""
        operators = self.epoch_at(height).operators
        return {name for name in names if account(name) in operators}

    def stake_of(self, name: str, delegator: str | None = None) -> int:
        stake: int = self.see("delegation", account(name), account(delegator or name))[0]
        return stake

    # -- blocks --------------------------------------------------------------------------------------------------
    def begin(
        self,
        seconds: int = 1,
        *,
        absent: Iterable[str] = (),
        evidence: Sequence[ChainEvidence] = (),
        proposer: str | None = None,
        reveal: Hash32 = ZERO_HASH,
    ) -> tuple[Notice, ...]:
        """Open the next block, `seconds` later; `absent` validators did not sign the last commit."""
        assert self.facts is None, "a block is under way"
        self.number += 1
        self.machine.timestamp += seconds
        self.machine.block_number = self.number
        epoch = self.epoch_at(self.number)
        turn = epoch.validators.validators[epoch.proposer(self.number, 0)].address
        commit = None
        if self.number > 1:
            missing = {key_of(name).address for name in absent}
            signers = self.epoch_at(self.number - 1).validators.validators
            signatures = tuple([None if each.address in missing else bytes(65) for each in signers])
            commit = Commit(self.number - 1, 0, COMMIT_HASH, signatures)
        chosen = key_of(proposer).address if proposer is not None else turn
        self.facts = ConsensusFacts(chosen, commit, tuple(evidence), reveal)
        return self._hook(process_block_start)

    def end(self) -> tuple[Notice, ...]:
        notices = self._hook(process_block_end)
        self.facts = None
        self.check()
        return notices

    def _hook(self, process: Any) -> tuple[Notice, ...]:
        if isinstance(self.machine, EvmMachine):
            self.machine.set_time()
            self.state.lock_changes()
        notices: tuple[Notice, ...] = process(self.state, self.number, self.now, self.facts)
        self.notices += notices
        return notices

    def block(self, seconds: int = 1, **options: Any) -> tuple[Notice, ...]:
        """A block without calls."""
        return self.begin(seconds, **options) + self.end()

    def blocks(self, count: int, seconds: int = 1, **options: Any) -> list[Notice]:
        return [notice for _ in range(count) for notice in self.block(seconds, **options)]

    def next_epoch(self, **options: Any) -> None:
        """Blocks until the set chosen from the state of now signs the next one."""
        latest = self.epoch_at(self.number + 1).number
        self.block(self.parameters.epoch_seconds, **options)
        self.block(0, **options)
        assert self.epoch_at(self.number + 1).number > latest

    # -- calls ---------------------------------------------------------------------------------------------------
    def fund(self, who: bytes, amount: int) -> None:
        self.accounts.add(who)
        if self.machine.get_balance(who) < amount:
            self.supply += amount - self.machine.get_balance(who)
            self.machine.set_balance(who, amount)

    def call(self, who: str | bytes, name: str, *arguments: Any, value: int = 0, **options: Any) -> Outcome:
        caller = account(who) if isinstance(who, str) else who
        # half an ether beside: payments to accounts without coin cost more, and machines must agree on gas
        self.fund(caller, value + ETHER // 2)
        outcome = self.machine.do(caller, name, *arguments, at=STAKING, value=value, **options)
        self.check()
        return outcome

    def do(self, who: str | bytes, name: str, *arguments: Any, value: int = 0) -> Any:
        """A call that has to succeed."""
        outcome = self.call(who, name, *arguments, value=value)
        assert outcome.success, (name, outcome.error, outcome.output)
        return outcome

    def fail(self, who: str | bytes, name: str, *arguments: Any, value: int = 0) -> Any:
        """A call that has to revert; return (error name, arguments…)."""
        before = self.machine.storage()
        outcome = self.call(who, name, *arguments, value=value)
        assert not outcome.success and outcome.error is not None, (name, outcome)
        assert self.machine.storage() == before and not outcome.logs
        return outcome.error

    def see(self, name: str, *arguments: Any) -> Any:
        return self.machine.see(name, *arguments, at=STAKING)

    def register(self, name: str, stake: int, commission_bps: int = 0, max_change: int = 500) -> Outcome:
        arguments = self.registration(name, commission_bps, max_change)
        outcome: Outcome = self.do(name, "register", *arguments, value=stake)
        return outcome

    def registration(self, name: str, commission_bps: int = 0, max_change: int = 500) -> tuple[Any, ...]:
        """Arguments of a valid registration."""
        key = key_of(name)
        return key.public_key, prove_possession(key, self.chain_id, account(name)), commission_bps, max_change

    chain_id = 1337

    # -- evidence ------------------------------------------------------------------------------------------------
    def double_vote(self, name: str, height: int) -> ChainEvidence:
        """Proof that `name` voted twice at `height`; the hooks take signatures for granted."""
        return make_double_vote(self._vote(name, height, 1), self._vote(name, height, 2))

    def amnesia(self, name: str, height: int) -> ChainEvidence:
        precommit = replace(self._vote(name, height, 1), kind=PRECOMMIT)
        return Amnesia(precommit, replace(self._vote(name, height, 2), round=1))

    def _vote(self, name: str, height: int, value: int) -> Vote:
        index = self.epoch_at(height).validators.index_of(key_of(name).address)
        assert index is not None
        return Vote(PREVOTE, height, 0, -1, Hash32(bytes((value,)) * 32), index, bytes(65))

    # -- conservation --------------------------------------------------------------------------------------------
    def check(self) -> None:
        """Every wei is somebody's."""
        if not self.is_checked:
            return
        surplus = check_conservation(self.get_storage, self.machine.get_balance, sorted(self.accounts))
        totals = read_totals(self.get_storage)
        held = self.machine.get_balance(STAKING)
        outside = sum([self.machine.get_balance(each) for each in self.accounts])
        assert outside + held == self.supply + totals.minted - totals.burned
        assert held == totals.owed + surplus
