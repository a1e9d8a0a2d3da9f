"""Disputes before a jury, and the jurors' pool."""

from __future__ import annotations

from dmchain.market import cids
from dmchain.market.chain import read_draw_header
from dmchain.market.context import Context, call
from dmchain.market.enums import Phase, Ruling
from dmchain.market.errors import InvalidInput, NotFound
from dmchain.market.inputs import bytes32
from dmchain.market.models import Dispute, Member, Round, SecretVote
from dmchain.market.salts import secret_salt
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import Amount, build
from dmchain.market.transactions import Receipt, transact

CONTRACT = "DisputeResolution"


class Pool(Group[M]):
    """A pool of stakers: jurors or operators."""

    _pool: str

    @operation
    def join(self, stake: int | str) -> Steps[Member]:
        """Stake native coin and be drawn by it, on top of what is staked already."""
        amount, _ = yield from self._context.amount(stake, "DM")
        sender = yield from self._context.sender()
        yield from transact(self._context, self._pool, "join", value=amount)
        return (yield from _read_member(self._context, self._pool, sender))

    @operation
    def leave(self) -> Steps[Member]:
        """Ask to leave: the stake can be withdrawn after a delay, and once all seats are settled."""
        sender = yield from self._context.sender()
        yield from transact(self._context, self._pool, "requestLeave")
        return (yield from _read_member(self._context, self._pool, sender))

    @operation
    def withdraw_stake(self) -> Steps[Receipt]:
        """Take the stake out after `leave` and its delay."""
        return (yield from transact(self._context, self._pool, "withdrawStake"))

    @operation
    def member(self, account: str | None = None) -> Steps[Member]:
        """What an account has in the pool."""
        who = yield from self._context.account(account)
        return (yield from _read_member(self._context, self._pool, who))

    @operation
    def withdraw(self) -> Steps[Receipt]:
        """Take what the pool owes the signer: fees, shares of penalties, deposits given back."""
        return (yield from transact(self._context, self._pool, "withdraw"))


class Jurors(Pool[M]):
    """The jurors' pool: `market.disputes.jurors`."""

    _pool = CONTRACT


class Disputes(Group[M]):
    """Disputes: `market.disputes`."""

    @operation
    def open(self, purchase_id: int, evidence: str | bytes) -> Steps[Dispute]:
        """Dispute a purchase, with the CID of what is wrong. The deposit is taken from the signer."""
        context = self._context
        deposit = yield from context.read(CONTRACT, "openingDeposit")
        receipt = yield from transact(context, CONTRACT, "open", purchase_id, cids.to_bytes(evidence), value=deposit)
        return (yield from _read(context, receipt.event("DisputeOpened").arguments["disputeId"]))

    @operation
    def respond(self, dispute_id: int, evidence: str | bytes) -> Steps[Receipt]:
        """Add evidence or an answer, as a party."""
        return (yield from transact(self._context, CONTRACT, "addEvidence", dispute_id, cids.to_bytes(evidence)))

    @operation
    def concede(self, dispute_id: int) -> Steps[Dispute]:
        """Give in, as the provider, before the jury is summoned."""
        yield from transact(self._context, CONTRACT, "concede", dispute_id)
        return (yield from _read(self._context, dispute_id))

    @operation
    def summon(self, dispute_id: int) -> Steps[Dispute]:
        """Announce the draw of a jury, after the evidence period. `draw` can follow when block `draw_block` is there."""
        yield from transact(self._context, CONTRACT, "summon", dispute_id)
        return (yield from _read(self._context, dispute_id))

    @operation
    def draw(self, dispute_id: int) -> Steps[Dispute]:
        """Draw the jury by the header of the dispute's `draw_block`. Anyone may."""
        found = yield from _read(self._context, dispute_id)
        header = yield from read_draw_header(found.draw_block, f"dispute {dispute_id}")
        yield from transact(self._context, CONTRACT, "draw", dispute_id, header)
        return (yield from _read(self._context, dispute_id))

    @operation
    def commit(self, dispute_id: int, vote: Ruling | str, *, salt: str | bytes | None = None) -> Steps[SecretVote]:
        """Commit to a vote, as a juror: "consumer" or "provider". `reveal` makes it known later.

        Without `salt` one is derived from a signature, which the same signer can make again.
        """
        context = self._context
        choice = ruling_of(vote)
        sender = yield from context.sender()
        round_ = yield from _current_round(context, dispute_id)
        secret = yield from secret_salt(context, CONTRACT, dispute_id, round_, salt)
        commitment = yield from context.read(CONTRACT, "commitmentFor", dispute_id, round_, sender, int(choice), secret)
        receipt = yield from transact(context, CONTRACT, "commitVote", dispute_id, commitment)
        return SecretVote(
            dispute_id, round_, int(choice), "0x" + secret.hex(), "0x" + commitment.hex(), receipt.transaction_hash
        )

    @operation
    def reveal(self, dispute_id: int, vote: Ruling | str, salt: str | bytes | None = None) -> Steps[Receipt]:
        """Reveal a vote after committing has ended; with the salt of `commit` if one was given there."""
        round_ = yield from _current_round(self._context, dispute_id)
        secret = yield from secret_salt(self._context, CONTRACT, dispute_id, round_, salt)
        arguments = (dispute_id, int(ruling_of(vote)), secret)
        return (yield from transact(self._context, CONTRACT, "revealVote", *arguments))

    @operation
    def denounce(self, dispute_id: int, juror: str, vote: Ruling | str, salt: str | bytes) -> Steps[Receipt]:
        """Show that a juror let its vote be known too early; half of its penalty is the signer's."""
        who = yield from self._context.account(juror)
        arguments = (dispute_id, who, int(ruling_of(vote)), bytes32(salt, "salt"))
        return (yield from transact(self._context, CONTRACT, "denounce", *arguments))

    @operation
    def tally(self, dispute_id: int) -> Steps[Dispute]:
        """Count the votes. Anyone may."""
        yield from transact(self._context, CONTRACT, "tally", dispute_id)
        return (yield from _read(self._context, dispute_id))

    @operation
    def appeal(self, dispute_id: int, evidence: str | bytes) -> Steps[Dispute]:
        """Ask for the bigger jury, as who lost. The deposit is taken from the signer."""
        context = self._context
        deposit = yield from context.read(CONTRACT, "appealDeposit", dispute_id)
        yield from transact(context, CONTRACT, "appeal", dispute_id, cids.to_bytes(evidence), value=deposit)
        return (yield from _read(context, dispute_id))

    @operation
    def execute(self, dispute_id: int) -> Steps[Dispute]:
        """Carry out a ruling that is final. Anyone may."""
        yield from transact(self._context, CONTRACT, "execute", dispute_id)
        return (yield from _read(self._context, dispute_id))

    @operation
    def settle_escrow(self, dispute_id: int) -> Steps[Receipt]:
        """Settle the escrow of a closed dispute, should that have failed."""
        return (yield from transact(self._context, CONTRACT, "settleEscrow", dispute_id))

    @operation
    def claim(self, dispute_id: int, account: str | None = None) -> Steps[Receipt]:
        """Pay a buyer its part of the compensation. Anyone may, for anyone."""
        who = yield from self._context.account(account)
        return (yield from transact(self._context, CONTRACT, "claim", dispute_id, who))

    @operation
    def claimable(self, dispute_id: int, account: str | None = None) -> Steps[Amount]:
        """What `claim` would pay, in wei."""
        who = yield from self._context.account(account)
        return Amount((yield from self._context.read(CONTRACT, "claimable", dispute_id, who)))

    @operation
    def get(self, dispute_id: int) -> Steps[Dispute]:
        """One dispute with its juries. Raises errors.UnknownDispute."""
        return (yield from _read(self._context, dispute_id))

    @operation
    def of(self, purchase_id: int) -> Steps[Dispute | None]:
        """The dispute of a purchase; None if it has none."""
        dispute_id = yield from self._context.read(CONTRACT, "disputeOf", purchase_id)
        return (yield from _read(self._context, dispute_id)) if dispute_id else None


def ruling_of(vote: Ruling | str) -> Ruling:
    """A vote by name. Raises InvalidInput."""
    if isinstance(vote, Ruling) and vote is not Ruling.NONE:
        return vote
    found = {"consumer": Ruling.CONSUMER, "provider": Ruling.PROVIDER}.get(str(vote).lower())
    if found is None:
        raise InvalidInput(f"vote: got {vote!r}, expected consumer or provider")
    return found


def _current_round(context: Context, dispute_id: int) -> Steps[int]:
    rounds = yield from context.read(CONTRACT, "rounds", dispute_id)
    if not rounds:
        raise NotFound(f"dispute {dispute_id} has no jury yet", hint="`dmchain market dispute draw` draws one")
    return len(rounds) - 1


def _read(context: Context, dispute_id: int) -> Steps[Dispute]:
    struct, rounds = yield from context.read_all(
        [call(CONTRACT, "dispute", dispute_id), call(CONTRACT, "rounds", dispute_id)]
    )
    if Phase(struct["phase"]) is Phase.NONE:
        raise NotFound(f"dispute {dispute_id}: there is none")
    return build(Dispute, struct, dispute_id=dispute_id, rounds=tuple(build(Round, each) for each in rounds))


def _read_member(context: Context, contract: str, account: str) -> Steps[Member]:
    struct, is_member, owed = yield from context.read_all(
        [call(contract, name, account) for name in ("member", "isMember", "owed")]
    )
    return build(Member, struct, account=account, is_member=is_member, owed=owed)
