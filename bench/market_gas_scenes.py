"""One execution of every function of the market that users call, on the market of a devnet's genesis.

A scene sets things up unmeasured and measures by `Meter`, which keeps the gas of a transaction under the function's name
and a note. What a function costs differs by what was in storage before: the notes say which case it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dmchain.chain.primitives.crypto import keccak
from tests.contracts.chain import Contract
from tests.contracts.drawing import seal
from tests.contracts.genesis_world import COIN, DAY, NATIVE, PAY_PER_COMPUTE, SUBSCRIPTION, USD, Market, make_cid
from tests.contracts.signing import permit_digest

Row = tuple[str, str, str, int]
"""(contract, function, note, gas)"""
METRIC = keccak(b"completeness")
SALT = b"\6" * 32
CID = make_cid("any document")


class Meter:
    """`meter("LicenseManager", "collect", 1, note="one period")` transacts, keeps the gas, returns the receipt."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.chain = market.chain
        self.rows: list[Row] = []

    def __call__(self, contract: str | Contract, function: str, *arguments: Any, note: str = "", **options: Any) -> Any:
        target = self.market[contract] if isinstance(contract, str) else contract
        done = target[function](*arguments, **options)
        self.rows.append((target.name, function.split("(")[0], note, done.gas_used))
        return done


def measure_listing(meter: Meter) -> None:
    market, registry = meter.market, meter.chain.registry
    owner, other = market.accounts[1:3]
    terms = {"spdx": "CC-BY-4.0", "format": "text/csv", "resaleRoyaltyBps": 500, "lineageRoyaltyBps": 500}
    terms |= {"availableUntil": 0, "onRetirement": 0}
    uri = "ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
    offer = market.offer(25 * USD)

    def content(name: str, *parents: bytes) -> dict[str, Any]:
        return {"cid": make_cid(name), "metadataCid": CID, "parents": list(parents), "sizeBytes": 1}

    meter("DataListing", "publish", content("a"), uri, terms, [], note="no offer", sender=owner)
    meter("DataListing", "publish", content("b"), uri, terms, [offer], note="with one offer", sender=owner)
    parents = [keccak(make_cid(name)) for name in "ab"]
    meter(
        "DataListing",
        "publish",
        content("c", *parents),
        uri,
        terms,
        [offer],
        note="with one offer, derived from two listed data sets",
        sender=owner,
    )
    registry.registerCid(make_cid("d"), CID, [], 1, sender=owner)
    dataset = keccak(make_cid("d"))
    registry.setOperator(dataset, market["DataListing"], sender=owner)
    meter("DataListing", "listData", dataset, uri, terms, [offer], note="with one offer", sender=owner)
    commitment = market["DataListing"].commitmentFor(make_cid("e"), owner, SALT)
    registry.commitCid(commitment, sender=owner)
    meter(
        "DataListing", "publishCommitted", content("e"), uri, terms, [offer], SALT, note="with one offer", sender=owner
    )
    token = int.from_bytes(dataset, "big")
    meter("DataListing", "update", token, uri, meter.chain.timestamp + DAY, sender=owner)
    meter("DataListing", "transferFrom", owner, other, token, note="the data set with it", sender=owner)
    meter("DataListing", "delist", token, sender=other)
    created = meter("LicenseManager", "createOffer", parents[0], offer, note="no ancestors", sender=owner)
    meter("LicenseManager", "closeOffer", created.value, sender=owner)


def measure_purchases(meter: Meter) -> None:
    market, manager = meter.market, meter.market["LicenseManager"]
    seller, buyer, other, ancestor = market.accounts[1:5]
    parents = tuple([market.publish(ancestor, lineageRoyaltyBps=500)[0] for _ in range(2)])
    once, escrowed, native = (
        market.offer(25 * USD),
        market.offer(25 * USD, escrowPeriod=DAY),
        market.offer(COIN, token=NATIVE),
    )
    dataset, offers = market.publish(seller, once, escrowed, native)
    _, (first, *_) = market.publish(seller, once)
    derived, (royal,) = market.publish(seller, once, parents=parents)
    for who in (buyer, other):
        market.usd.approve(manager, 10**12, sender=who)

    def purchase(offer: int, note: str, **options: Any) -> int:
        return int(meter("LicenseManager", "purchase", offer, buyer, 1, 2**255, note=note, **options).value)

    purchase(first, "one-time, dollars; nobody is owed dollars yet", sender=buyer)
    purchase(offers[0], "one-time, dollars", sender=buyer)
    _fresh(market, dataset, buyer)
    escrow_purchase = purchase(offers[1], "one-time, dollars, into escrow", sender=buyer)
    purchase(royal, "one-time, dollars, royalties to two ancestors", sender=buyer)
    meter(
        "LicenseManager", "purchase", offers[2], other, 1, COIN, note="one-time, native coin", sender=other, value=COIN
    )
    third = market.accounts[6]
    deadline = meter.chain.timestamp + DAY
    signature = third.sign(permit_digest(market.usd, third, manager, 25 * USD, deadline))
    arguments = (offers[0], third, 1, 25 * USD, deadline, *signature)
    meter("LicenseManager", "purchaseWithPermit", *arguments, note="one-time, dollars", sender=third)
    market.usd.approve(manager, 10**12, sender=market.accounts[7])
    token = int.from_bytes(dataset, "big")
    meter("DataListing", "purchaseAccess", token, offers[0], note="one-time, dollars", sender=market.accounts[7])
    meter("LicenseManager", "gift", dataset, market.accounts[8], 1, 0, 0, bytes(32), sender=seller)
    meter("LicenseManager", "renounce", derived, sender=buyer)
    assert manager.purchaseOf(escrow_purchase).escrowId == 1
    meter("EscrowPayment", "confirm", 1, sender=buyer)
    meter("LicenseManager", "withdrawFor", market.usd, seller, note="dollars", sender=seller)
    meter("LicenseManager", "withdrawTo", NATIVE, other, note="native coin", sender=seller)


def _fresh(market: Market, dataset: bytes, licensee: Any) -> None:
    market["LicenseManager"].renounce(dataset, sender=licensee)


def measure_terms(meter: Meter) -> None:
    market, manager = meter.market, meter.market["LicenseManager"]
    seller, buyer = market.accounts[1:3]
    _, (monthly,) = market.publish(seller, market.offer(10 * USD, SUBSCRIPTION))
    metered, (units,) = market.publish(seller, market.offer(USD, PAY_PER_COMPUTE))
    market.usd.approve(manager, 10**12, sender=buyer)
    term = meter(
        "LicenseManager", "purchase", monthly, buyer, 3, 2**255, note="subscription, three periods", sender=buyer
    )
    meter("LicenseManager", "purchase", monthly, buyer, 1, 2**255, note="subscription, renewed", sender=buyer)
    meter.chain.sleep(31 * DAY)
    meter("LicenseManager", "collect", term.value, note="one period", sender=seller)
    meter("LicenseManager", "cancel", term.value, note="a subscription", sender=buyer)
    term = meter("LicenseManager", "purchase", units, buyer, 100, 2**255, note="prepaid units", sender=buyer)
    meter("LicenseManager", "purchase", units, buyer, 10, 2**255, note="prepaid units, more", sender=buyer)
    meter("LicenseManager", "consume", metered, 10, sender=buyer)
    meter("LicenseManager", "refundUnits", term.value, sender=buyer)
    meter("EscrowPayment", "withdrawFor", market.usd, buyer, note="dollars", sender=buyer)
    market.buy(buyer, units, 1)
    meter.chain.registry.retire(metered, sender=seller)
    meter("EscrowPayment", "refundVoid", market["EscrowPayment"].escrowCount(), sender=market.accounts[9])


def measure_escrow(meter: Meter) -> None:
    market = meter.market
    seller, *buyers = market.accounts[1:8]
    conditional = market.offer(25 * USD, escrowPeriod=DAY, metric=METRIC, minScore=8_000)
    _, (offer, scored) = market.publish(seller, market.offer(25 * USD, escrowPeriod=DAY), conditional)
    ids = []
    for number, buyer in enumerate(buyers[:4]):
        market.buy(buyer, scored if number >= 2 else offer)
        ids.append(market["EscrowPayment"].escrowCount())
    meter("EscrowPayment", "refund", ids[0], 25 * USD, note="all, which ends the licence", sender=seller)
    dataset = market["EscrowPayment"].escrow(ids[2]).datasetId
    meter.chain.sleep(1)
    _measure_quality(meter, dataset)
    meter.chain.sleep(DAY)
    meter("EscrowPayment", "release", ids[1], sender=seller)
    meter("EscrowPayment", "settleByOracle", ids[2], note="score met", sender=seller)
    silent = market.offer(25 * USD, escrowPeriod=DAY, metric=keccak(b"other"), minScore=1)
    _, (unanswered,) = market.publish(seller, silent)
    market.buy(buyers[4], unanswered)
    meter.chain.sleep(DAY)
    meter("EscrowPayment", "refundUnanswered", market["EscrowPayment"].escrowCount(), sender=buyers[4])


def _measure_quality(meter: Meter, dataset: bytes) -> None:
    """A quality check by five operators, one of them an outlier."""
    oracle, chain = meter.market["QualityOracle"], meter.chain
    operators = meter.market.accounts[10:15]
    for number, operator in enumerate(operators):
        options = {"sender": operator, "value": 10 * COIN}
        meter("QualityOracle", "join", note="an operator", **options) if number == 1 else oracle.join(**options)
    job = {"metric": METRIC, "job": "completeness", "jobCid": b""}
    token, fee = int.from_bytes(dataset, "big"), oracle.parameters().minimumFee
    asker = meter.market.accounts[15]
    request = meter("QualityOracle", "requestQualityCheck", token, job, sender=asker, value=fee).value
    header = seal(chain, oracle.request(request).drawBlock, 1)
    meter("QualityOracle", "drawPanel", request, header, note="five of five operators", sender=asker)
    scores = [9_000, 9_050, 8_950, 9_000, 100]
    for number, (operator, score) in enumerate(zip(operators, scores, strict=True)):
        commitment = oracle.commitmentFor(request, operator, score, SALT)
        if number == 1:
            meter("QualityOracle", "commitAnswer", request, commitment, sender=operator)
        else:
            oracle.commitAnswer(request, commitment, sender=operator)
    for number, (operator, score) in enumerate(zip(operators, scores, strict=True)):
        if number == 1:
            meter("QualityOracle", "revealAnswer", request, score, SALT, sender=operator)
        else:
            oracle.revealAnswer(request, score, SALT, sender=operator)
    meter("QualityOracle", "fulfillQualityCheck", request, note="five answers, one outlier", sender=asker)
    meter("QualityOracle", "withdrawFor", operators[0], sender=asker)
    meter("QualityOracle", "requestLeave", sender=operators[0])
    chain.sleep(oracle.parameters().leaveDelay)
    meter("QualityOracle", "withdrawStake", sender=operators[0])


def measure_streams(meter: Meter) -> None:
    market, streams = meter.market, meter.market["PaymentStream"]
    seller, payer = market.accounts[1:3]
    market.usd.approve(streams, 10**12, sender=payer)
    _, (monthly, second) = market.publish(
        seller, market.offer(10 * USD, SUBSCRIPTION), market.offer(20 * USD, SUBSCRIPTION)
    )
    stream = meter("PaymentStream", "start", monthly, payer, 10 * USD, note="with a licence", sender=payer).value
    meter.chain.sleep(DAY)
    meter("PaymentStream", "topUp", stream, 10 * USD, sender=payer)
    meter("PaymentStream", "withdraw", stream, note="to the seller, divided", sender=seller)
    meter("PaymentStream", "cancel", stream, sender=payer)
    meter("PaymentStream", "withdrawFor", market.usd, payer, sender=payer)
    meter("PaymentStream", "startPlain", seller, market.usd, 1, 1, 1_000, note="no licence", sender=payer)
    stream = streams.start(second, payer, 20 * USD, sender=payer).value
    meter.chain.sleep(60 * DAY)
    meter("PaymentStream", "close", stream, sender=seller)
    meter("PaymentStream", "setMinimum", second, DAY, sender=seller)


def measure_compute(meter: Meter) -> None:
    market, chain = meter.market, meter.chain
    seller, consumer = market.accounts[1:3]
    compute = market["ComputeMarket"]
    dataset, (units,) = market.publish(seller, market.offer(USD, PAY_PER_COMPUTE))
    market.buy(consumer, units, 1_000)
    operators = {operator.lower(): operator for operator in market.accounts[10:15]}
    for operator in operators.values():
        market["QualityOracle"].join(sender=operator, value=10 * COIN)
    order = {"datasetId": dataset, "algorithmCid": CID, "maxUnits": 100, "acceptWithin": DAY, "completeWithin": DAY}
    order |= {"token": NATIVE, "extraPay": 10, "attestationFee": 5}
    ids = [meter("ComputeMarket", "order", order, note="extra pay in coin", sender=consumer, value=15).value]
    ids += [compute.order(order, sender=consumer, value=15).value for _ in range(3)]
    meter("ComputeMarket", "cancel", ids[1], sender=consumer)
    meter("ComputeMarket", "setExecutor", dataset, market.accounts[8], sender=seller)
    meter("ComputeMarket", "accept", ids[0], sender=seller)
    header = seal(chain, compute.orderOf(ids[0]).drawBlock, 1)
    attestor = operators[meter("ComputeMarket", "draw", ids[0], header, sender=consumer).value]
    v, r, s = attestor.sign(compute.attestationDigest(ids[0], CID, 60))
    meter("ComputeMarket", "complete", ids[0], CID, 60, r + s + bytes([v]), note="60 of 100 units", sender=seller)
    meter("ComputeMarket", "reject", ids[2], sender=seller)
    chain.sleep(2 * DAY)
    meter("ComputeMarket", "expire", ids[3], note="not accepted", sender=consumer)


def measure_disputes(meter: Meter) -> None:
    """Three jurors find for the buyer, and the seller's stake pays two buyers."""
    market, chain = meter.market, meter.chain
    disputes, parameters = market["DisputeResolution"], market["DisputeResolution"].parameters()
    seller, buyer, other = market.accounts[1:4]
    dataset, (once, escrowed) = market.publish(seller, market.offer(25 * USD), market.offer(25 * USD, escrowPeriod=DAY))
    meter("ProviderStake", "stake", dataset, note="first", sender=seller, value=100 * COIN)
    market.buy(other, once)
    purchase = market.buy(buyer, escrowed)
    chain.sleep(1)
    jurors = {juror.lower(): juror for juror in market.accounts[10:15]}
    for number, juror in enumerate(jurors.values()):
        options = {"sender": juror, "value": 10 * COIN}
        meter("DisputeResolution", "join", note="a juror", **options) if number == 1 else disputes.join(**options)
    deposit = disputes.openingDeposit()
    case = meter("DisputeResolution", "open", purchase, CID, note="with an escrow", sender=buyer, value=deposit).value
    meter("DisputeResolution", "addEvidence", case, CID, sender=seller)
    chain.sleep(parameters.evidencePeriod)
    meter("DisputeResolution", "summon", case, sender=buyer)
    header = seal(chain, disputes.dispute(case).drawBlock, 1)
    meter("DisputeResolution", "draw", case, header, note="three seats among five jurors", sender=buyer)
    jury = [jurors[each] for each in disputes.rounds(case)[0].jurors]
    for number, juror in enumerate(jury):
        commitment = disputes.commitmentFor(case, 0, juror, 1, SALT)
        if number == 0:
            meter("DisputeResolution", "commitVote", case, commitment, sender=juror)
        else:
            disputes.commitVote(case, commitment, sender=juror)
    for number, juror in enumerate(jury):
        if number == 0:
            meter("DisputeResolution", "revealVote", case, 1, SALT, sender=juror)
        else:
            disputes.revealVote(case, 1, SALT, sender=juror)
    meter("DisputeResolution", "tally", case, sender=buyer)
    chain.sleep(parameters.appealPeriod)
    meter("DisputeResolution", "execute", case, note="for the buyer: escrow, slash, pot", sender=buyer)
    meter("DisputeResolution", "claim", case, other, note="a buyer's share of the pot", sender=other)
    meter("DisputeResolution", "withdrawFor", buyer, sender=buyer)
    meter("ProviderStake", "requestUnstake", dataset, COIN, sender=seller)
    chain.sleep(market["ProviderStake"].unstakeDelay())
    meter("ProviderStake", "withdraw", dataset, sender=seller)
    meter("Reputation", "rate", dataset, 4, CID, note="first rating", sender=other)
    meter("Reputation", "rate", dataset, 5, CID, note="changed", sender=other)


def measure_appeal(meter: Meter) -> None:
    market, chain = meter.market, meter.chain
    disputes, parameters = market["DisputeResolution"], market["DisputeResolution"].parameters()
    seller, buyer, other = market.accounts[1:4]
    _, (offer,) = market.publish(seller, market.offer(25 * USD))
    purchases = [market.buy(each, offer) for each in (buyer, other)]
    jurors = {juror.lower(): juror for juror in market.accounts[10:18]}
    for juror in jurors.values():
        disputes.join(sender=juror, value=10 * COIN)
    deposit = disputes.openingDeposit()
    cases = [
        disputes.open(purchase, CID, sender=who, value=deposit).value
        for purchase, who in zip(purchases, (buyer, other), strict=True)
    ]
    meter("DisputeResolution", "concede", cases[1], sender=seller)
    chain.sleep(parameters.evidencePeriod)
    disputes.summon(cases[0], sender=buyer)
    disputes.draw(cases[0], seal(chain, disputes.dispute(cases[0]).drawBlock, 1), sender=buyer)
    jury = [jurors[each] for each in disputes.rounds(cases[0])[0].jurors]
    meter_denounced = jury[0]
    for juror in jury:
        disputes.commitVote(cases[0], disputes.commitmentFor(cases[0], 0, juror, 2, SALT), sender=juror)
        if juror is meter_denounced and len(jury) > 1:
            mark = chain.snapshot()
            meter("DisputeResolution", "denounce", cases[0], juror, 2, SALT, sender=buyer)
            chain.restore(mark)
    for juror in jury:
        disputes.revealVote(cases[0], 2, SALT, sender=juror)
    disputes.tally(cases[0], sender=buyer)
    meter("DisputeResolution", "appeal", cases[0], CID, sender=buyer, value=disputes.appealDeposit(cases[0]))


def measure_datatokens(meter: Meter) -> None:
    market, tokens = meter.market, meter.market["Datatoken"]
    seller, holder, buyer = market.accounts[1:4]
    dataset, (offer,) = market.publish(seller, market.offer(25 * USD))
    for who in (holder, buyer):
        market.usd.approve(tokens, 10**12, sender=who)
    made = meter("Datatoken", "issue", dataset, offer, 100, 1_000, False, sender=seller).value
    order = meter("Datatoken", "sell", made, 10, market.usd, 20 * USD, sender=seller).value
    meter("Datatoken", "buy", order, 2, 40 * USD, note="first sale, dollars", sender=holder)
    resale = tokens.sell(made, 1, market.usd, 30 * USD, sender=holder).value
    meter("Datatoken", "buy", resale, 1, 30 * USD, note="resale with royalty, dollars", sender=buyer)
    meter("Datatoken", "cancelSale", order, sender=seller)
    meter("Datatoken", "safeTransferFrom", holder, market.accounts[5], made, 1, b"", sender=holder)
    meter("Datatoken", "redeem", made, 1, sender=buyer)


def measure_governance(meter: Meter) -> None:
    market, chain = meter.market, meter.chain
    governor, token = market["DataGovernor"], market["PlatformToken"]
    voters = market.accounts[1:3]
    manager = market["LicenseManager"]
    meter("PlatformToken", "transfer", market.accounts[12], 10**18, note="both voting", sender=voters[0])
    meter("PlatformToken", "delegate", market.accounts[12], sender=market.accounts[12])
    data = manager.data("setPlatformFee", 300)
    proposal = meter(
        "DataGovernor", "propose", [manager], [0], [data], "A fee of 3 %", note="one call", sender=voters[0]
    ).value
    chain.timestamp = governor.proposalSnapshot(proposal) + 1
    meter("DataGovernor", "castVote", proposal, 1, note="first", sender=voters[0])
    meter("DataGovernor", "castVote", proposal, 1, note="another", sender=voters[1])
    chain.timestamp = governor.proposalDeadline(proposal) + 1
    meter("DataGovernor", "queue(uint256)", proposal, sender=voters[0])
    chain.sleep(market["Timelock"].getMinDelay())
    meter("DataGovernor", "execute(uint256)", proposal, note="one call", sender=voters[0])
    assert token.getVotes(market.accounts[12]) == 10**18


def measure_curation(meter: Meter) -> None:
    market, chain = meter.market, meter.chain
    curation, token = market["CurationRegistry"], market["PlatformToken"]
    owner, challenger, *voters = market.accounts[1:6]
    for who in (owner, challenger):
        token.approve(curation, 2**255, sender=who)
    standard = meter("CurationRegistry", "addStandard", CID, 100 * COIN, sender=market.timelock).value
    dataset, _ = market.publish(owner)
    second, _ = market.publish(owner)
    meter("CurationRegistry", "applyFor", dataset, standard, note="first", sender=owner)
    meter("CurationRegistry", "applyFor", second, standard, note="another", sender=owner)
    case = meter("CurationRegistry", "challenge", dataset, standard, CID, sender=challenger).value
    meter("CurationRegistry", "vote", case, False, sender=voters[0])
    chain.sleep(curation.parameters().votePeriod)
    meter("CurationRegistry", "resolve", case, note="removed", sender=owner)
    meter("CurationRegistry", "claimReward", case, voters[0], sender=voters[0])
    meter("CurationRegistry", "withdraw", sender=challenger)
    meter("CurationRegistry", "removeEntry", second, standard, sender=owner)


def measure_tokens(meter: Meter) -> None:
    market = meter.market
    one, two = market.accounts[1:3]
    meter("TestUSD", "mint", two, USD, sender=one)
    meter("TestUSD", "transfer", two, USD, sender=one)
    meter("TestUSD", "approve", two, USD, note="first", sender=one)
    deadline = meter.chain.timestamp + DAY
    signature = one.sign(permit_digest(market.usd, one, two, USD, deadline))
    meter("TestUSD", "permit", one, two, USD, deadline, *signature, sender=two)


SCENES: tuple[Callable[[Meter], None], ...] = (
    measure_listing,
    measure_purchases,
    measure_terms,
    measure_escrow,
    measure_streams,
    measure_compute,
    measure_disputes,
    measure_appeal,
    measure_datatokens,
    measure_governance,
    measure_curation,
    measure_tokens,
)


def measure_market() -> list[Row]:
    """All rows, each scene on the same chain as genesis left it."""
    market = Market()
    rows: list[Row] = []
    for scene in SCENES:
        meter = Meter(market)
        with market.chain.reverted_after():
            scene(meter)
        rows += meter.rows
    return rows
