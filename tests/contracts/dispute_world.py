"""A market in small, with a dispute contract that is the chain's: what tests of disputes share."""

from __future__ import annotations

from typing import Any

from dmchain.chain.genesis_staking import GenesisStaking, GenesisValidator
from dmchain.chain.primitives.crypto import PrivateKey, keccak
from dmchain.chain.primitives.types import Address
from dmchain.chain.staking.parameters import StakingParameters
from tests.contracts.chain import ACCOUNTS, Chain, to_bytes
from tests.contracts.drawing import seal
from tests.contracts.payment_world import make_cid
from tests.contracts.sales import sell

DATASET = keccak(make_cid(b"data"))
EVIDENCE = make_cid(b"evidence")
TREASURY = "0x" + "77" * 20
SALT = b"\6" * 32
NO_PHASE, EVIDENCE_PHASE, SUMMONED, COMMITTING, REVEALING, DECIDED, CLOSED = range(7)
NO_RULING, CONSUMER, PROVIDER = range(3)
DISPUTES = 0xDA17
PARAMETERS = {
    "jurySize": 3,
    "wrongBps": 5_000,
    "silentBps": 8_000,
    "compensationBps": 10_000,
    "bond": 10_000,
    "seatFee": 100,
    "seatStake": 1_000,
    "minimumStake": 1_000,
    "minimumSlash": 500,
    "openWindow": 5_000,
    "evidencePeriod": 100,
    "summonPeriod": 200,
    "commitPeriod": 100,
    "revealPeriod": 100,
    "appealPeriod": 100,
    "leaveDelay": 1_000,
}
DEPOSIT = 10_000 + 3 * 100
APPEAL_DEPOSIT = 20_000 + 7 * 100
VALIDATOR_STAKE = 10**12


class World:
    """A data set that `provider`, who may be a validator, sells to `consumer` and others; seven jurors of 10,000 each."""

    def __init__(self, *, has_validator: bool = True, **changed: int) -> None:
        accounts = ACCOUNTS
        self.provider, self.consumer, self.second, self.third, self.stranger = accounts[1:6]
        self.jurors = accounts[6:13]
        self.chain = Chain(staking=self._staking(self.provider) if has_validator else None)
        chain = self.chain
        chain.registry.registerCid(make_cid(b"data"), b"", [], 0, sender=self.provider)
        self.sales = chain.deploy("StandInSales")
        self.escrow = chain.deploy("StandInEscrow")
        self.stakes = chain.deploy("ProviderStake", chain.admin, DISPUTES.to_bytes(20, "big"), 5_000)
        self.reputation = chain.deploy("Reputation", chain.admin, self.sales, [DISPUTES.to_bytes(20, "big")])
        self.disputes = chain.deploy(
            "DisputeResolution",
            chain.admin,
            TREASURY,
            {
                "licenseManager": self.sales,
                "escrow": self.escrow,
                "providerStake": self.stakes,
                "reputation": self.reputation,
            },
            PARAMETERS | changed,
            at=DISPUTES,
        )
        for juror in self.jurors:
            self.disputes.join(sender=juror, value=10_000)
        self.purchases = 0

    @staticmethod
    def _staking(operator: Any) -> GenesisStaking:
        public_key = PrivateKey(b"\x31" * 32).public_key
        validator = GenesisValidator(Address(to_bytes(operator)), public_key, VALIDATOR_STAKE)
        parameters = StakingParameters(
            minimum_self_stake=10**12, dispute_contract=Address(DISPUTES.to_bytes(20, "big"))
        )
        return GenesisStaking((validator,), parameters)

    # -- the market ----------------------------------------------------------------------------------------------
    def buy(self, buyer: Any, amount: int = 1_000, *, escrow: int = 0, **others: Any) -> int:
        """A purchase of `amount`, which is paid to the provider unless an escrow holds it."""
        self.purchases += 1
        sell(
            self.sales,
            self.purchases,
            DATASET,
            buyer,
            amount=amount,
            escrow=escrow,
            **{"provider": self.provider} | others,
        )
        if escrow:
            self.escrow.set(escrow, amount)
        else:
            self.sales.pay(DATASET, others.get("payer") or buyer, amount)
        self.chain.sleep(1)
        return self.purchases

    def stake(self, amount: int) -> None:
        self.stakes.stake(DATASET, sender=self.provider, value=amount)

    @property
    def validator_stake(self) -> int:
        return int(self.chain.staking.validator(self.provider).selfStake)

    # -- steps of a dispute --------------------------------------------------------------------------------------
    def open(self, purchase: int, by: Any = None) -> int:
        who = by or self.consumer
        return int(self.disputes.open(purchase, EVIDENCE, sender=who, value=DEPOSIT).value)

    def phase(self, dispute: int) -> int:
        return int(self.disputes.dispute(dispute).phase)

    def draw(self, dispute: int, randao: int = 1) -> Any:
        """On to the jury: the end of the evidence, summons, draw."""
        chain, disputes = self.chain, self.disputes
        chain.timestamp = max(chain.timestamp, disputes.dispute(dispute).deadline)
        disputes.summon(dispute, sender=self.stranger)
        header = seal(chain, disputes.dispute(dispute).drawBlock, randao)
        return disputes.draw(dispute, header, sender=self.stranger)

    def draw_apart(self, dispute: int) -> list[Any]:
        """As `draw`, with a block that gives each seat to another juror; returns them."""
        for randao in range(1_000):
            mark = self.chain.snapshot()
            self.draw(dispute, randao)
            jury = self.jury(dispute)
            if set(jury.values()) == {1}:
                return list(jury)
            self.chain.restore(mark)
        raise AssertionError("no such block")

    def jury(self, dispute: int) -> dict[Any, int]:
        """The jurors of the round that runs, with their seats."""
        number = len(self.disputes.rounds(dispute)) - 1
        jurors = self.disputes.rounds(dispute)[number].jurors
        return {juror: self.disputes.ballot(dispute, number, juror).seats for juror in jurors}

    def commitment(self, dispute: int, juror: Any, vote: int) -> bytes:
        number = len(self.disputes.rounds(dispute)) - 1
        return bytes(self.disputes.commitmentFor(dispute, number, juror, vote, SALT))

    def commit(self, dispute: int, votes: dict[Any, int]) -> None:
        for juror, vote in votes.items():
            self.disputes.commitVote(dispute, self.commitment(dispute, juror, vote), sender=juror)

    def reveal(self, dispute: int, votes: dict[Any, int]) -> None:
        for juror, vote in votes.items():
            self.disputes.revealVote(dispute, vote, SALT, sender=juror)

    def vote(self, dispute: int, votes: dict[Any, int]) -> Any:
        """Commit, reveal and count; jurors not in `votes` are silent."""
        self.commit(dispute, votes)
        if self.phase(dispute) == COMMITTING:
            self.chain.timestamp = self.disputes.dispute(dispute).deadline
        self.reveal(dispute, votes)
        return self.disputes.tally(dispute, sender=self.stranger)

    def decide(self, dispute: int, ruling: int, randao: int = 1) -> dict[Any, int]:
        """Draw a jury that votes with one voice; returns its jurors and seats."""
        self.draw(dispute, randao)
        jury = self.jury(dispute)
        self.vote(dispute, dict.fromkeys(jury, ruling))
        return jury

    def execute(self, dispute: int) -> Any:
        self.chain.timestamp = max(self.chain.timestamp, self.disputes.dispute(dispute).deadline)
        return self.disputes.execute(dispute, sender=self.stranger)

    # -- money ---------------------------------------------------------------------------------------------------
    def owed(self, account: Any) -> int:
        return int(self.disputes.owed(account))

    def assert_conserved(self) -> None:
        """Stakes, deposits of open disputes, pots and what is owed are what is held, and that is there."""
        disputes = self.disputes
        people = [*self.chain.accounts, TREASURY]
        members = [disputes.member(who) for who in people]
        stakes = sum(member.stake for member in members)
        assert all(member.locked <= member.stake for member in members)
        cases = [disputes.dispute(n) for n in range(1, disputes.disputeCount() + 1)]
        deposits = sum(DEPOSIT for case in cases if case.phase != CLOSED)
        deposits += sum(APPEAL_DEPOSIT for case in cases if case.phase != CLOSED and case.isAppeal)
        pots = sum(case.potLeft for case in cases)
        owed = sum(disputes.owed(who) for who in people)
        assert disputes.totalStake() == stakes
        assert stakes + deposits + pots + owed == disputes.held() == disputes.balance
