"""Enumerations of the contracts, by the names that the contracts give them."""

from __future__ import annotations

from enum import IntEnum


class LicenseKind(IntEnum):
    NONE = 0
    ONE_TIME = 1
    SUBSCRIPTION = 2
    PAY_PER_COMPUTE = 3


class LicenseStatus(IntEnum):
    NONE = 0
    VALID = 1
    EXPIRED = 2
    EXHAUSTED = 3
    REVOKED = 4
    DATASET_RETIRED = 5
    SUPERSEDED = 6


class DatasetStatus(IntEnum):
    NONE = 0
    ACTIVE = 1
    RETIRED = 2
    RETIRED_BY_GOVERNANCE = 3
    SUPERSEDED = 4


class RetirementTerms(IntEnum):
    RUN_OUT = 0
    END_AND_REFUND = 1


class EscrowState(IntEnum):
    NONE = 0
    OPEN = 1
    FROZEN = 2
    CLOSED = 3


class StreamState(IntEnum):
    NONE = 0
    ACTIVE = 1
    ENDED = 2


class OrderState(IntEnum):
    NONE = 0
    ORDERED = 1
    ACCEPTED = 2
    COMPLETED = 3
    CLOSED = 4


class Phase(IntEnum):
    NONE = 0
    EVIDENCE = 1
    SUMMONED = 2
    COMMITTING = 3
    REVEALING = 4
    DECIDED = 5
    CLOSED = 6


class Ruling(IntEnum):
    NONE = 0
    CONSUMER = 1
    PROVIDER = 2


class RequestStatus(IntEnum):
    NONE = 0
    REQUESTED = 1
    COMMITTING = 2
    REVEALING = 3
    FULFILLED = 4
    FAILED = 5


class EntryStatus(IntEnum):
    NONE = 0
    APPLIED = 1
    ACCEPTED = 2
    APPLICATION_CHALLENGED = 3
    ENTRY_CHALLENGED = 4


class Outcome(IntEnum):
    PENDING = 0
    KEPT = 1
    REMOVED = 2
    NO_QUORUM = 3


class ProposalState(IntEnum):
    PENDING = 0
    ACTIVE = 1
    CANCELED = 2
    DEFEATED = 3
    SUCCEEDED = 4
    QUEUED = 5
    EXPIRED = 6
    EXECUTED = 7
