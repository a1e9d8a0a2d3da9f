"""What the contracts' errors mean for the person who sees them, and what to do next.

Written for those a user meets; for the others the name and the arguments, which the contracts choose with care, speak.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dmchain.market.abi import Entry


@dataclass(frozen=True, slots=True)
class Explanation:
    """`text` completes "Name: …"; `hint` is one sentence that says what to do, or None."""

    text: str
    hint: str | None = None


def explain(entry: Entry, arguments: Mapping[str, Any]) -> Explanation:
    """Text and hint for an error; no text when its name says all that is known."""
    text, hint = HINTS.get(entry.name, ("", None))
    return Explanation(text or _first_sentence(entry.notice), hint)


def _first_sentence(notice: str) -> str:
    """The beginning of a NatSpec notice, without links to other declarations."""
    plain = re.sub(r"[:,]? ?(\(see [^)]*\)|see \{[^}]*\})", "", notice).replace("`", "")
    plain = re.sub(r"\{([^}]*)\}", r"\1", plain)
    return re.split(r"\.(?:\s|$)", plain, maxsplit=1)[0].strip()


_ASK_ROLE = "the account needs a role that the Timelock gives; governance decides about it"

HINTS: dict[str, tuple[str, str | None]] = {
    # tokens
    "ERC20InsufficientAllowance": (
        "the contract may not take that much of the token",
        "approve the amount first; `market.buy` does it by itself",
    ),
    "ERC20InsufficientBalance": (
        "the account has too little of the token",
        "on a devnet `dmchain market faucet` gives test dollars",
    ),
    "ERC2612ExpiredSignature": ("the permit's deadline has passed", "sign a new permit"),
    "ERC2612InvalidSigner": ("the permit is signed by another account", "sign it with the payer's key"),
    "ERC721NonexistentToken": ("there is no such token", "`dmchain market list` shows what is listed"),
    "ERC721IncorrectOwner": ("the token belongs to another account", None),
    "Soulbound": (
        "a licence belongs to its licensee and cannot be transferred",
        "buy one as a gift: --licensee ADDRESS",
    ),
    "SafeERC20FailedOperation": ("the token refused the transfer", "look at balance and allowance of the payer"),
    "UnexpectedAmount": (
        "the token did not move the amount that was asked",
        "tokens that charge a fee on transfers are not accepted; pay with another",
    ),
    # access
    "AccessControlUnauthorizedAccount": ("the account may not do this", _ASK_ROLE),
    "NotAuthorized": ("the account may not do this", "send it with the account named as required"),
    "NotController": ("only the data set's controller may change its licences", None),
    "ReentrancyGuardReentrantCall": ("a contract called back while it was being called", None),
    # registry and ledger
    "AlreadyRegistered": (
        "this content is registered already",
        "`dmchain market show` shows by whom; derived data has a CID of its own",
    ),
    "UnknownDataset": ("no such data set is registered", "`dmchain market list` shows those listed"),
    "RetiredDataset": ("the data set is retired: no new licences, and the old ones ended as its terms say", None),
    "InvalidCid": (
        "the CID is not one the chain accepts",
        "CIDv0 or CIDv1 with sha2-256, sha2-512, blake2b-256, blake3 or keccak-256",
    ),
    "InvalidParent": ("a parent is unknown, named twice, or younger than the data set", "register parents first"),
    "LicenseInForce": ("the account holds a valid licence already", "renew it, or wait until it ends"),
    "LicenseNotInForce": ("the account holds no valid licence", "`dmchain market verify` shows its state"),
    "InsufficientUnits": ("the licence has fewer units left", "buy units of the same offer: they are added"),
}
"""Error -> (what it means, what to do). Kept by tests in step with the ABIs."""
