"""The contracts' errors in words: a flat table, one entry an error a person can meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ASK_ROLE = "the account needs a role that only the Timelock gives; governance decides about it"
_SHOW_DISPUTE = "`dmchain market dispute show` shows its phase and until when"
_SHOW_CHECK = "`dmchain market quality show` shows its state and until when"
_SHOW_ORDER = "`dmchain market compute show` shows its state and deadline"
_SHOW_STREAM = "`dmchain market stream show` shows what flows"
_SHOW_ESCROW = "`dmchain market escrow show` shows state and dates"
_SHOW_OFFERS = "`dmchain market show` shows a data set's offers"
_PAYOUTS = "`dmchain market payouts show` shows what there is to fetch"
_VOTES = "DMG votes once it is delegated: `dmchain market governance delegate`"
_BPS = "shares are in hundredths of a percent"
_SALT = "reveal with the vote and the salt that were committed to, from the same account"
_WAIT = "wait until then"
_RENOUNCE = "renew it with `dmchain market renew`, or give it up with `dmchain market renounce`"

HINTS: Final[Mapping[str, tuple[str, str | None]]] = {
    # ---- tokens
    "ERC20InsufficientAllowance": (
        "the contract may not take that much of the token",
        "approve the amount first; the SDK and `dmchain market buy` do it by themselves",
    ),
    "ERC20InsufficientBalance": (
        "the account has too little of the token",
        "on a devnet `dmchain market faucet` gives test dollars",
    ),
    "ERC20InvalidReceiver": ("tokens cannot go to this address", None),
    "ERC2612ExpiredSignature": ("the permit's deadline has passed", "sign a new permit"),
    "ERC2612InvalidSigner": ("the permit is signed by another account", "sign it with the payer's key"),
    "ERC721NonexistentToken": ("there is no such token", "`dmchain market list` shows what is listed"),
    "ERC721IncorrectOwner": ("the token belongs to another account", None),
    "ERC721InsufficientApproval": ("the account may not move this token", "its owner can"),
    "ERC1155InsufficientBalance": (
        "the account has fewer tokens of this class",
        "`dmchain market datatoken balance` shows how many",
    ),
    "ERC1155MissingApprovalForAll": ("the account may not move these tokens", "their owner can"),
    "ERC1155InvalidReceiver": ("tokens cannot go to this address", None),
    "ERC5805FutureLookup": ("votes of this second are not settled yet", "try again a second later"),
    "FaucetLimitExceeded": ("the faucet gives at most 10,000 USD a call", "call it several times"),
    "Soulbound": (
        "a licence belongs to its licensee and cannot be transferred",
        "buy one for somebody: --licensee ADDRESS; datatokens can be traded",
    ),
    "SafeERC20FailedOperation": ("the token refused the transfer", "look at balance and allowance of the payer"),
    "UnexpectedAmount": (
        "the money that came is not what was asked",
        "tokens that charge a fee on transfers are not accepted; native coin must be sent exactly",
    ),
    "InsufficientBalance": ("there is too little native coin", None),
    # ---- access
    "AccessControlUnauthorizedAccount": ("the account may not do this", _ASK_ROLE),
    "OwnableUnauthorizedAccount": ("only the owner may do this", _ASK_ROLE),
    "ProxyDeniedAdminAccess": ("the proxy's admin cannot use the contract behind it", "send it from another account"),
    "NotAuthorized": ("the account may not do this", "send it from the account named as required"),
    "NotController": ("only the data set's controller changes its licences", None),
    "NotDatasetOwner": ("only the data set's owner may do this", "`dmchain market show` shows who that is"),
    "NotOwner": ("only the data set's owner may do this", "`dmchain market show` shows who that is"),
    "NotGovernance": ("only governance may do this", "propose it: `dmchain market governance propose`"),
    "NotParty": ("only a party to it may do this", None),
    "NotAParty": ("only a party to it may do this", _SHOW_DISPUTE),
    "ReentrancyGuardReentrantCall": ("a contract called back while it was being called", None),
    "InvalidAccount": ("the account cannot be meant", None),
    # ---- registry and ledger
    "AlreadyRegistered": (
        "this content is registered already",
        "`dmchain market show` shows by whom; derived data has a CID of its own",
    ),
    "UnknownDataset": ("no such data set is registered", "`dmchain market list` shows those listed"),
    "RetiredDataset": ("the data set is retired: no new licences", None),
    "InactiveDataset": ("the data set is retired or was taken over", None),
    "InvalidCid": (
        "the chain does not accept the CID",
        "CIDv0 or CIDv1 with sha2-256, sha2-512, blake2b-256, blake3 or keccak-256",
    ),
    "InvalidMetadataCid": ("the chain does not accept the description's CID", None),
    "InvalidParent": ("a parent is unknown, named twice, or younger than the data set", "register parents first"),
    "TooManyParents": ("a data set has at most 16 parents", None),
    "CommitmentExists": ("this commitment was made already", "take another salt, or open it"),
    "UnknownCommitment": (
        "there is no such commitment",
        "commit first, from the account that registers, in an earlier block",
    ),
    "CommitmentExpired": ("the commitment was opened too late", "commit again"),
    "LicenseInForce": ("the account holds a valid licence already", _RENOUNCE),
    "LicenseNotInForce": ("the account holds no valid licence", "`dmchain market verify` shows its state"),
    # ---- listings and offers
    "AlreadyListed": ("the data set is listed already", "`dmchain market update` changes a listing"),
    "NotListed": ("the data set is not listed", "`dmchain market publish` lists it"),
    "NotAvailable": ("the data set is not for sale now", "`dmchain market show` shows until when it was"),
    "StaleListing": ("the data set was registered anew since it was listed", "its new owner can list it"),
    "InvalidAvailability": ("the end of availability is not in the future", "give a duration: --available-for 30d"),
    "InvalidText": ("a text is too short or too long", None),
    "InvalidBps": ("the share is higher than allowed", _BPS),
    "InvalidOffer": (
        "a field of the offer cannot be meant",
        "a subscription needs a period; a metric needs an escrow time",
    ),
    "UnknownOffer": ("there is no such offer", _SHOW_OFFERS),
    "OfferIsClosed": ("the offer is closed", _SHOW_OFFERS),
    "OfferOfFormerListing": ("the offer belongs to an earlier listing", _SHOW_OFFERS),
    "OfferNotSellable": ("the offer does not sell now", _SHOW_OFFERS),
    "TooManyOffers": ("too many offers at once", "make the others with `dmchain market offer make`"),
    "SoldOut": ("fewer are left than were asked for", "ask for fewer, or take another offer"),
    "InvalidQuantity": ("the quantity is not allowed", "a licence paid once is bought one by one"),
    "PriceTooHigh": ("it costs more than the buyer agreed to", "look at the price again: `dmchain market quote`"),
    "LicenseHeld": ("the account holds a valid licence that this offer does not extend", _RENOUNCE),
    "GiftNotFree": ("an offer without a price cannot be bought for somebody else", "they can take it themselves"),
    # ---- purchases and escrow
    "UnknownPurchase": ("there is no such purchase", "`dmchain market purchases` lists an account's"),
    "NotSubscription": ("this is no subscription", "`dmchain market refund-units` gives prepaid units back"),
    "NotPrepaid": ("nothing was prepaid here", None),
    "NothingLeft": ("nothing is left of it to collect or to refund", None),
    "InsufficientUnits": ("fewer units are left", "`dmchain market renew` buys more"),
    "NoTerm": ("the account has no licence that was granted here", None),
    "NothingOwed": ("nothing is owed to the account", _PAYOUTS),
    "UnknownEscrow": ("there is no such escrow", _SHOW_ESCROW),
    "NotOpen": ("the escrow is not open", _SHOW_ESCROW),
    "TooEarly": ("it is too early", _WAIT),
    "ConditionOpen": ("payment waits for the quality oracle's score", "`dmchain market quality request` asks for one"),
    "ScoreMissing": ("there is no score from after the purchase", "`dmchain market quality request` asks for one"),
    "DatasetNotVoid": ("the data set is active: nothing is void", None),
    "DatasetVoid": ("the data set was retired or taken over", "what is not earned can be refunded"),
    "InvalidAmount": ("the amount is zero, or more than there is", None),
    # ---- streams
    "UnknownStream": ("there is no such stream", _SHOW_STREAM),
    "NotActive": ("the stream has ended", _SHOW_STREAM),
    "StreamRanDry": ("the deposit is used up", "start a new stream"),
    "StreamFlowing": ("the stream still flows", "`dmchain market stream cancel` stops it"),
    "NotStreamable": ("streams need an open offer of a subscription", _SHOW_OFFERS),
    "DepositTooSmall": ("the deposit does not pay for one second", None),
    "NothingToWithdraw": ("nothing has flowed since the last withdrawal", None),
    # ---- disputes
    "UnknownDispute": ("there is no such dispute", _SHOW_DISPUTE),
    "AlreadyDisputed": ("the purchase has or had a dispute", _SHOW_DISPUTE),
    "NothingPaid": ("nothing was paid for the licence, so nothing can be disputed", None),
    "TooLateToOpen": ("the time to dispute the purchase is over", None),
    "WrongDeposit": ("the deposit is not the one asked for", None),
    "WrongPhase": ("the dispute is in another phase", _SHOW_DISPUTE),
    "PhaseOver": ("the time for this is over", _SHOW_DISPUTE),
    "PhaseNotOver": ("the phase before is not over", _SHOW_DISPUTE),
    "TooEarlyToDraw": ("the block that decides the draw is still to come", "wait a block or two"),
    "NotAJuror": ("the account is not on the jury", _SHOW_DISPUTE),
    "AlreadyVoted": ("the account has voted", None),
    "WrongReveal": ("what is revealed is not what was committed to", _SALT),
    "NotTheLoser": ("only who lost may appeal", _SHOW_DISPUTE),
    "AlreadyAppealed": ("there is one appeal only", _SHOW_DISPUTE),
    "NothingToClaim": ("there is nothing for this account", "buyers of the data set share a compensation"),
    "AlreadyClaimed": ("the account has its part", _PAYOUTS),
    # ---- pools of jurors and operators
    "NotMember": ("the account has staked nothing here", "`join` stakes"),
    "StakeTooLow": ("the stake is below the least one", None),
    "AlreadyLeaving": ("the account is leaving already", _WAIT),
    "NotLeaving": ("the account has not asked to leave", "`leave` first, then wait out the delay"),
    "StakeLocked": ("a part of the stake answers for seats that are not settled", "wait until these are over"),
    "DrawPending": ("a draw was announced and is not made yet", "make it: the block that decides it comes first"),
    # ---- quality
    "UnknownRequest": ("there is no such quality check", _SHOW_CHECK),
    "WrongStatus": ("the quality check is in another state", _SHOW_CHECK),
    "FeeTooLow": ("the fee is below the least one", None),
    "NotOnPanel": ("the account is not on the panel", _SHOW_CHECK),
    "AlreadyCommitted": ("the account has committed to an answer", None),
    "AlreadyRevealed": ("the account has revealed its answer", None),
    "PeriodOver": ("the time for this is over", _SHOW_CHECK),
    "PeriodNotOver": ("the period before is not over", _SHOW_CHECK),
    "InvalidScore": ("scores are 0 to 10000", None),
    # ---- compute
    "UnknownOrder": ("there is no such order", _SHOW_ORDER),
    "WrongState": ("the order is in another state", _SHOW_ORDER),
    "NotProvider": ("only the data set's owner or executor may do this", _SHOW_ORDER),
    "NotConsumer": ("only who ordered may do this", _SHOW_ORDER),
    "DeadlinePassed": ("the order's deadline has passed", "`dmchain market compute expire` ends it"),
    "NotExpired": ("the order has time left", _SHOW_ORDER),
    "NotDrawn": ("no operator is drawn yet", "`dmchain market compute draw` draws one"),
    "AlreadyDrawn": ("an operator is drawn already", _SHOW_ORDER),
    "NoOperator": ("the quality oracle has no operator but the order's parties", None),
    "InvalidAttestation": ("the signature is not of the drawn operator", "`dmchain market compute attest` makes it"),
    "InvalidTimeout": ("the time given is too short or too long", None),
    # ---- stake and reputation
    "InsufficientStake": ("there is less stake", "`dmchain market stake show` shows it"),
    "NothingLeaving": ("no stake was asked back", "`dmchain market stake unstake` asks"),
    "StillLeaving": ("the delay is not over", _WAIT),
    "LockedByDispute": ("a dispute is open against this stake", "wait until it is over"),
    "InvalidStars": ("ratings have 1 to 5 stars", None),
    "NotAPayingLicensee": (
        "the account has not paid for a licence of the data set",
        "a payment counts from the second after it reached the provider: after an escrow, that is",
    ),
    "OwnDataset": ("providers do not rate themselves", None),
    # ---- datatokens
    "UnknownClass": ("there is no such class of tokens", None),
    "UnknownSale": ("there is no such sale", None),
    "NotSeller": ("only the seller may do this", None),
    "TransfersRestricted": (
        "tokens of this class move only through the book",
        "`dmchain market datatoken sell` offers them there",
    ),
    "ClassVoid": ("the data set was retired or registered anew", None),
    # ---- governance and curation
    "GovernorNonexistentProposal": ("there is no such proposal", "`dmchain market governance list` lists them"),
    "GovernorUnexpectedProposalState": (
        "the proposal is in another state",
        "`dmchain market governance show` shows state and dates",
    ),
    "GovernorInsufficientProposerVotes": ("the account has too few votes to propose", _VOTES),
    "GovernorAlreadyCastVote": ("the account has voted", None),
    "GovernorUnableToCancel": ("only its proposer can take it back, before voting begins", None),
    "TimelockUnexpectedOperationState": ("the Timelock's delay is not over", _WAIT),
    "UnknownStandard": ("there is no such standard", "`dmchain market curation standards` lists them"),
    "InactiveStandard": ("the standard is switched off", None),
    "UnexpectedStatus": ("the entry is in another state", "`dmchain market curation show` shows it"),
    "UnknownChallenge": ("there is no such challenge", None),
    "VoteEnded": ("voting is over", "`dmchain market curation resolve` counts the votes"),
    "VoteRunning": ("voting goes on", _WAIT),
    "NotResolved": ("the votes are not counted yet", "`dmchain market curation resolve` counts them"),
    "NoVotes": ("the account had no votes when the challenge was made", _VOTES),
    "NoReward": ("there is nothing for this account", "voters of the winning side share the loser's deposit"),
}
"""Error -> (what it means, what to do next or None)."""
