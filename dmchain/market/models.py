"""What operations return: frozen, with the names of the contracts in Python's spelling.

Money is a whole number of the token's smallest unit, times are seconds since the Unix epoch (0: never, or not yet),
identifiers of 32 bytes are 0x and hex digits, CIDs are text.
"""

from __future__ import annotations

from dataclasses import dataclass

from dmchain.market.enums import (
    DatasetStatus,
    EntryStatus,
    EscrowState,
    LicenseKind,
    LicenseStatus,
    OrderState,
    Outcome,
    Phase,
    ProposalState,
    RequestStatus,
    RetirementTerms,
    Ruling,
    StreamState,
)
from dmchain.market.money import Token
from dmchain.market.structs import Amount

# ---------------------------------------------------------------- data sets


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data set of the CidRegistry."""

    dataset_id: str
    owner: str
    controller: str
    operator: str
    status: DatasetStatus
    registered_at: int
    registered_block: int
    contestable_until: int
    size_bytes: int
    version_count: int
    cid: str
    latest_cid: str
    metadata_cid: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A data set on the market."""

    dataset_id: str
    creator: str
    serial: int
    listed_at: int
    registered_block: int
    available_until: int
    resale_royalty_bps: int
    lineage_royalty_bps: int
    on_retirement: RetirementTerms
    spdx: str
    format: str
    metadata_uri: str


@dataclass(frozen=True, slots=True)
class License:
    """A licence of the ledger."""

    dataset_id: str
    licensee: str
    status: LicenseStatus
    kind: LicenseKind
    metered: bool
    expires_at: int
    units: int
    granted_at: int
    terms_hash: str

    @property
    def is_valid(self) -> bool:
        return self.status is LicenseStatus.VALID


# ---------------------------------------------------------------- money that waits


@dataclass(frozen=True, slots=True)
class Escrow:
    """Money of a purchase that is not earned yet."""

    escrow_id: int
    offer_id: int
    dataset_id: str
    purchase_id: int
    metric: str
    payer: str
    opened_at: int
    min_score: int
    state: EscrowState
    licensee: str
    release_at: int
    is_prepaid: bool
    condition_met: bool
    token: str
    contestable_until: int
    amount: Amount
    released: Amount
    refunded: Amount


@dataclass(frozen=True, slots=True)
class Stream:
    """Money that flows by the second. `claimable` by the recipient's side now, `refundable` to the payer now."""

    stream_id: int
    offer_id: int
    dataset_id: str
    payer: str
    started_at: int
    state: StreamState
    licensee: str
    stops_at: int
    recipient: str
    token: str
    period: int
    price: Amount
    deposit: Amount
    withdrawn: Amount
    claimable: Amount
    refundable: Amount


@dataclass(frozen=True, slots=True)
class Owed:
    """What a contract owes an account."""

    contract: str
    token: Token
    amount: Amount


# ---------------------------------------------------------------- disputes and quality


@dataclass(frozen=True, slots=True)
class Round:
    """One jury and what it said."""

    is_appeal: bool
    is_settled: bool
    seats: int
    committed: int
    revealed: int
    voided: int
    for_consumer: int
    for_provider: int
    jurors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A dispute about a purchase."""

    dispute_id: int
    purchase_id: int
    dataset_id: str
    opener: str
    phase: Phase
    ruling: Ruling
    is_appeal: bool
    is_redraw: bool
    escrow_settled: bool
    provider: str
    opened_at: int
    payer: str
    deadline: int
    licensee: str
    summon_ends: int
    appellant: str
    draw_block: int
    pot: Amount
    pot_left: Amount
    rounds: tuple[Round, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A juror or an operator of the quality oracle."""

    account: str
    stake: Amount
    locked: Amount
    weight: int
    leaves_at: int
    is_member: bool
    owed: Amount


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operator answered."""

    operator: str
    commitment: str
    has_revealed: bool
    score: int


@dataclass(frozen=True, slots=True)
class QualityCheck:
    """A request to the quality oracle. Scores are 0 to 10000."""

    request_id: int
    dataset_id: str
    metric: str
    requester: str
    status: RequestStatus
    fee: Amount
    requested_at: int
    draw_block: int
    drawn_at: int
    commit_ends: int
    reveal_ends: int
    committed: int
    revealed: int
    score: int
    coherent: int
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """The latest score of a metric, 0 to 10000; `measured_at` is 0 when there is none."""

    dataset_id: str
    metric: str
    score: int
    measured_at: int
    answers: int


@dataclass(frozen=True, slots=True)
class SecretVote:
    """What was committed to. Who gave a `salt` of its own keeps it: without it nothing can be revealed."""

    subject_id: int
    round: int
    choice: int
    salt: str
    commitment: str
    transaction_hash: str


# ---------------------------------------------------------------- compute, stake, reputation


@dataclass(frozen=True, slots=True)
class ComputeOrder:
    """A computation ordered on a data set."""

    order_id: int
    dataset_id: str
    consumer: str
    max_units: int
    state: OrderState
    draws: int
    provider: str
    used_units: int
    attestor: str
    draw_block: int
    token: str
    deadline: int
    complete_within: int
    drawn_at: int
    extra_pay: Amount
    attestation_fee: Amount
    algorithm_cid: str
    result_cid: str


@dataclass(frozen=True, slots=True)
class StakePosition:
    """What a provider has behind a data set."""

    dataset_id: str
    provider: str
    active: Amount
    leaving: Amount
    leaves_at: int
    locks: int


@dataclass(frozen=True, slots=True)
class Reputation:
    """Score 0 to 10000 and what it is made of."""

    score: int
    sales: int
    deliveries: int
    disputes_won: int
    disputes_lost: int
    ratings: int
    points: int
    volume: Amount


@dataclass(frozen=True, slots=True)
class Rating:
    dataset_id: str
    licensee: str
    provider: str
    stars: int
    rated_at: int
    comment_cid: str


# ---------------------------------------------------------------- governance and curation


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposal to the governor. `proposal_id` is a number of 256 bits, as text."""

    proposal_id: str
    state: ProposalState
    proposer: str
    snapshot: int
    deadline: int
    eta: int
    votes_against: Amount
    votes_for: Amount
    votes_abstain: Amount


@dataclass(frozen=True, slots=True)
class Standard:
    standard_id: str
    cid: str
    deposit: Amount
    is_active: bool
    entry_count: int


@dataclass(frozen=True, slots=True)
class CurationEntry:
    """A data set's place among those that meet a standard."""

    dataset_id: str
    standard_id: str
    status: EntryStatus
    applicant: str
    deposit: Amount
    applied_at: int
    review_ends_at: int
    challenge_id: int
    is_curated: bool


@dataclass(frozen=True, slots=True)
class Challenge:
    challenge_id: int
    dataset_id: str
    standard_id: str
    challenger: str
    deposit: Amount
    snapshot: int
    vote_ends_at: int
    outcome: Outcome
    quorum: Amount
    votes_to_keep: Amount
    votes_to_remove: Amount
    reward_left: Amount
    reason_cid: str


# ---------------------------------------------------------------- offers and purchases


@dataclass(frozen=True, slots=True)
class Offer:
    """What a licence costs. `price`: of the whole (one-time), of a period, or of a unit, in `token`."""

    offer_id: int
    dataset_id: str
    kind: LicenseKind
    token: Token
    price: Amount
    period: int
    max_quantity: int
    sold: int
    escrow_period: int
    metric: str
    min_score: int
    terms_hash: str
    closed: bool
    is_sellable: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class Quote:
    """What a quantity costs and who would get it: amount == fee + royalties + net."""

    offer_id: int
    quantity: int
    token: Token
    amount: Amount
    fee: Amount
    royalties: Amount
    net: Amount


@dataclass(frozen=True, slots=True)
class Purchase:
    """What was bought or given. `transaction_hash` only right after the purchase."""

    purchase_id: int
    offer_id: int
    dataset_id: str
    provider: str
    payer: str
    bought_at: int
    licensee: str
    quantity: int
    token: str
    kind: LicenseKind
    module: str
    amount: Amount
    term_id: int
    escrow_id: int
    prepaid_id: int
    transaction_hash: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """One unbroken stretch of a licence with one payer; `term_id` is the purchase that began it."""

    term_id: int
    offer_id: int
    dataset_id: str
    payer: str
    starts_at: int
    ended: bool
    licensee: str
    module: str
    periods: int
    released_periods: int
    units: int
    reserved_units: int
    token: Token
    price: Amount
    prepaid_id: int
    license_nft: int
    is_intact: bool
    collectable_periods: int
    refundable_periods: int


@dataclass(frozen=True, slots=True)
class Publication:
    """A data set that was just listed."""

    dataset_id: str
    cid: str
    token_id: int
    offer_ids: tuple[int, ...]
    transaction_hash: str


@dataclass(frozen=True, slots=True)
class Details:
    """All that the market knows about a data set. `listing` is None when it is not for sale."""

    dataset: Dataset
    listing: Listing | None
    offers: tuple[Offer, ...]
    parents: tuple[str, ...]
    reputation: Reputation
    provider_reputation: Reputation
    stake: Amount


@dataclass(frozen=True, slots=True)
class Summary:
    """A listing with what it costs."""

    listing: Listing
    owner: str
    cid: str
    offers: tuple[Offer, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Listings from `offset` on; `next_offset` is None on the last page."""

    items: tuple[Summary, ...]
    total: int
    next_offset: int | None


@dataclass(frozen=True, slots=True)
class TokenClass:
    """Datatokens of one offer: one is worth a licence, a period or a unit."""

    class_id: int
    dataset_id: str
    offer_id: int
    issuer: str
    resale_royalty_bps: int
    is_restricted: bool
    issued: int
    redeemed: int


@dataclass(frozen=True, slots=True)
class Sale:
    """Datatokens for sale; `amount` is how many are left."""

    order_id: int
    class_id: int
    seller: str
    is_primary: bool
    amount: int
    unit_price: Amount
    token: Token


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of the market that governance sets."""

    platform_fee_bps: int
    treasury: str
