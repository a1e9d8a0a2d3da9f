"""Every expected failure of dmchain is a `DmchainError`; anything else that escapes is a bug.

Messages keep geth's wording where client libraries match on the text (docs/rpc.md lists them).
"""


class DmchainError(Exception):
    """Base of every expected failure.

    `hint` is one sentence that tells the person what to do next, or None.
    """

    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class DecodeError(DmchainError):
    """Bytes from outside are not the canonical encoding of what they should be."""


class SignatureError(DmchainError):
    """A signature is malformed or belongs to nobody."""


class InvalidGenesis(DmchainError):
    """The genesis file cannot start a chain."""


class StorageError(DmchainError):
    """The database or a file of the home directory cannot be used."""


class InvalidBlock(DmchainError):
    """A block breaks a rule; the message names the field, what was got and what was expected."""


class InvariantBroken(Exception):
    """Our own fault: the node must stop. Never caught by code that could go on."""


class InvalidTransaction(DmchainError):
    """A transaction breaks a rule. `code` is stable and used by tests and metrics."""

    code = "invalid"


class TransactionTypeNotSupported(InvalidTransaction):
    code = "type-not-supported"


class WrongChainId(InvalidTransaction):
    code = "wrong-chain-id"


class NonceTooLow(InvalidTransaction):
    code = "nonce-too-low"


class NonceTooHigh(InvalidTransaction):
    code = "nonce-too-high"


class NonceMax(InvalidTransaction):
    """EIP-2681: a nonce of 2**64 - 1 can never be used."""

    code = "nonce-max"


class InsufficientFunds(InvalidTransaction):
    code = "insufficient-funds"


class IntrinsicGasTooLow(InvalidTransaction):
    code = "intrinsic-gas-too-low"


class FloorGasTooLow(InvalidTransaction):
    """EIP-7623."""

    code = "floor-gas-too-low"


class FeeCapTooLow(InvalidTransaction):
    """max fee per gas below the block's base fee (EIP-1559)."""

    code = "fee-cap-too-low"


class TipAboveFeeCap(InvalidTransaction):
    code = "tip-above-fee-cap"


class SenderNotEOA(InvalidTransaction):
    """EIP-3607, with the exception of EIP-7702 delegations."""

    code = "sender-not-eoa"


class GasLimitExceeded(InvalidTransaction):
    """The gas limit is above what the block has left, or above the cap of EIP-7825."""

    code = "gas-limit-exceeded"


class InitcodeTooLarge(InvalidTransaction):
    """EIP-3860."""

    code = "initcode-too-large"


class EmptyAuthorizationList(InvalidTransaction):
    """EIP-7702."""

    code = "empty-authorization-list"


class CreateNotAllowed(InvalidTransaction):
    """A type 3 or type 4 transaction without a recipient."""

    code = "create-not-allowed"


class BlobError(InvalidTransaction):
    """EIP-4844 rules of imported chains."""

    code = "blob"
