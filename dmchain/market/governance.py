"""Governance of the market's parameters, and curation of quality standards: both by holders of DMG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dmchain.market import cids
from dmchain.market.context import Call, Context, call
from dmchain.market.enums import ProposalState
from dmchain.market.errors import InvalidInput
from dmchain.market.inputs import DatasetLike, bytes32, resolve_dataset
from dmchain.market.models import Challenge, CurationEntry, Parameters, Proposal, Standard
from dmchain.market.payments import check_balance, ensure_allowance
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import Amount, build
from dmchain.market.transactions import Receipt, transact

GOVERNOR: Final = "DataGovernor"
CURATION: Final = "CurationRegistry"
SUPPORT: Final = {"against": 0, "for": 1, "abstain": 2}

StandardLike: TypeAlias = str | bytes
"""A standard's id, or the CID of its document."""


@dataclass(frozen=True, slots=True)
class Action:
    """A call that a proposal makes: `Action("LicenseManager", "setPlatformFee", (250,))`. `value` in wei."""

    contract: str
    function: str
    arguments: tuple[Any, ...] = ()
    value: int = 0


class Governance(Group[M]):
    """Proposals: `market.governance`. Ids are numbers of 256 bits; text is taken as well."""

    @operation
    def propose(self, actions: Sequence[Action], description: str) -> Steps[Proposal]:
        """Propose calls that the Timelock makes when the proposal wins. The description tells proposals apart."""
        context = self._context
        targets, values, datas = [], [], []
        for each in actions:
            wanted = Call(each.contract, each.function, each.arguments)
            targets.append((yield from context.address_of(each.contract)))
            values.append(each.value)
            datas.append(wanted.entry.encode(each.arguments))
        receipt = yield from transact(context, GOVERNOR, "propose", targets, values, datas, description)
        return (yield from _read(context, receipt.event("ProposalCreated").arguments["proposalId"]))

    @operation
    def vote(self, proposal_id: int | str, support: str = "for", *, reason: str | None = None) -> Steps[Receipt]:
        """Vote "for", "against" or "abstain" with the votes the signer had at the proposal's snapshot."""
        if support not in SUPPORT:
            raise InvalidInput(f"vote: got {support!r}, expected for, against or abstain")
        arguments: tuple[Any, ...] = (int(proposal_id), SUPPORT[support])
        if reason is not None:
            return (yield from transact(self._context, GOVERNOR, "castVoteWithReason", *arguments, reason))
        return (yield from transact(self._context, GOVERNOR, "castVote", *arguments))

    @operation
    def queue(self, proposal_id: int | str) -> Steps[Proposal]:
        """Put a proposal that won into the Timelock. Anyone may."""
        yield from transact(self._context, GOVERNOR, "queue", int(proposal_id))
        return (yield from _read(self._context, int(proposal_id)))

    @operation
    def execute(self, proposal_id: int | str) -> Steps[Proposal]:
        """Carry out a proposal after the Timelock's delay. Anyone may."""
        yield from transact(self._context, GOVERNOR, "execute", int(proposal_id))
        return (yield from _read(self._context, int(proposal_id)))

    @operation
    def cancel(self, proposal_id: int | str) -> Steps[Proposal]:
        """Take back a proposal of the signer's before voting begins."""
        yield from transact(self._context, GOVERNOR, "cancel", int(proposal_id))
        return (yield from _read(self._context, int(proposal_id)))

    @operation
    def get(self, proposal_id: int | str) -> Steps[Proposal]:
        """State and votes of a proposal. Raises errors.GovernorNonexistentProposal."""
        return (yield from _read(self._context, int(proposal_id)))

    @operation
    def list(self) -> Steps[tuple[Proposal, ...]]:
        """The latest 50 proposals, newest first."""
        context = self._context
        count = yield from context.read(GOVERNOR, "proposalCount")
        details = yield from context.read_all(
            [call(GOVERNOR, "proposalDetailsAt", at) for at in range(count - 1, max(count - 51, -1), -1)]
        )
        found = []
        for each in details:
            found.append((yield from _read(context, each[0])))
        return tuple(found)

    @operation
    def delegate(self, account: str | None = None) -> Steps[Receipt]:
        """Let the signer's DMG vote through an account, its own unless given: without this they do not count."""
        who = yield from self._context.account(account)
        return (yield from transact(self._context, "PlatformToken", "delegate", who))

    @operation
    def votes(self, account: str | None = None) -> Steps[Amount]:
        """Votes that an account has now."""
        who = yield from self._context.account(account)
        return Amount((yield from self._context.read("PlatformToken", "getVotes", who)))

    @operation
    def parameters(self) -> Steps[Parameters]:
        """What governance has set: the platform's fee and who gets it."""
        fee, treasury = yield from self._context.read_all(
            [call("LicenseManager", "platformFeeBps"), call("LicenseManager", "treasury")]
        )
        return Parameters(fee, treasury)


def _read(context: Context, proposal_id: int) -> Steps[Proposal]:
    names = ("state", "proposalProposer", "proposalSnapshot", "proposalDeadline", "proposalEta", "proposalVotes")
    state, proposer, snapshot, deadline, eta, votes = yield from context.read_all(
        [call(GOVERNOR, name, proposal_id) for name in names]
    )
    against, in_favour, abstain = (Amount(each) for each in votes)
    return Proposal(
        str(proposal_id), ProposalState(state), proposer, snapshot, deadline, eta, against, in_favour, abstain
    )


class Curation(Group[M]):
    """Standards of quality that holders of DMG keep: `market.curation`. Deposits are in DMG."""

    @operation
    def standards(self, *, offset: int = 0, limit: int = 100) -> Steps[tuple[Standard, ...]]:
        """The standards, in the order they were added."""
        ids = yield from self._context.read(CURATION, "standards", offset, limit)
        structs = yield from self._context.read_all([call(CURATION, "standard", each) for each in ids])
        return tuple(
            build(Standard, struct, standard_id="0x" + each.hex()) for each, struct in zip(ids, structs, strict=True)
        )

    @operation
    def apply(self, dataset: DatasetLike, standard: StandardLike) -> Steps[CurationEntry]:
        """Apply with a data set of the signer's; the deposit is taken from it."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        standard_id = _standard_id(standard)
        deposit = (yield from context.read(CURATION, "standard", standard_id))["deposit"]
        yield from _deposit(context, deposit)
        yield from transact(context, CURATION, "applyFor", raw, standard_id)
        return (yield from _read_entry(context, raw, standard_id))

    @operation
    def remove(self, dataset: DatasetLike, standard: StandardLike) -> Steps[Receipt]:
        """Take an entry back; its deposit is owed to its applicant."""
        raw = yield from resolve_dataset(self._context, dataset)
        return (yield from transact(self._context, CURATION, "removeEntry", raw, _standard_id(standard)))

    @operation
    def challenge(self, dataset: DatasetLike, standard: StandardLike, reason: str | bytes) -> Steps[Challenge]:
        """Say that a data set does not meet a standard, with an equal deposit; `reason` is a CID."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        standard_id = _standard_id(standard)
        deposit = (yield from context.read(CURATION, "entry", raw, standard_id))["deposit"]
        yield from _deposit(context, deposit)
        receipt = yield from transact(context, CURATION, "challenge", raw, standard_id, cids.to_bytes(reason))
        return (yield from _read_challenge(context, receipt.event("Challenged").arguments["challengeId"]))

    @operation
    def vote(self, challenge_id: int, *, keep: bool) -> Steps[Receipt]:
        """Vote on a challenge with the votes the signer had when it was made."""
        return (yield from transact(self._context, CURATION, "vote", challenge_id, keep))

    @operation
    def resolve(self, challenge_id: int) -> Steps[Challenge]:
        """Count the votes and settle the deposits. Anyone may."""
        yield from transact(self._context, CURATION, "resolve", challenge_id)
        return (yield from _read_challenge(self._context, challenge_id))

    @operation
    def claim_reward(self, challenge_id: int, voter: str | None = None) -> Steps[Receipt]:
        """Pay a voter of the winning side its share. Anyone may, for anyone."""
        who = yield from self._context.account(voter)
        return (yield from transact(self._context, CURATION, "claimReward", challenge_id, who))

    @operation
    def entry(self, dataset: DatasetLike, standard: StandardLike) -> Steps[CurationEntry]:
        """Whether a data set meets a standard, and where that stands."""
        raw = yield from resolve_dataset(self._context, dataset)
        return (yield from _read_entry(self._context, raw, _standard_id(standard)))

    @operation
    def get(self, challenge_id: int) -> Steps[Challenge]:
        """One challenge. Raises errors.UnknownChallenge."""
        return (yield from _read_challenge(self._context, challenge_id))


def _standard_id(value: StandardLike) -> bytes:
    if isinstance(value, str) and not value.startswith("0x"):
        return bytes32(cids.dataset_id(value), "standard")
    return bytes32(value, "standard")


def _deposit(context: Context, deposit: int) -> Steps[None]:
    token = yield from context.token("DMG")
    sender = yield from context.sender()
    yield from check_balance(context, token, sender, deposit)
    yield from ensure_allowance(context, token, CURATION, deposit)


def _read_entry(context: Context, raw: bytes, standard_id: bytes) -> Steps[CurationEntry]:
    struct, is_curated = yield from context.read_all(
        [call(CURATION, "entry", raw, standard_id), call(CURATION, "isCurated", raw, standard_id)]
    )
    known = {"dataset_id": "0x" + raw.hex(), "standard_id": "0x" + standard_id.hex(), "is_curated": is_curated}
    return build(CurationEntry, struct, **known)


def _read_challenge(context: Context, challenge_id: int) -> Steps[Challenge]:
    return build(Challenge, (yield from context.read(CURATION, "challengeOf", challenge_id)), challenge_id=challenge_id)
