"""The quality oracle: asking for a check, and answering as an operator."""

from __future__ import annotations

from dmchain.chain.primitives.crypto import keccak
from dmchain.market import cids
from dmchain.market.chain import read_draw_header
from dmchain.market.context import Context, call
from dmchain.market.disputes import Pool
from dmchain.market.enums import RequestStatus
from dmchain.market.errors import NotFound
from dmchain.market.inputs import DatasetLike, hashed, resolve_dataset
from dmchain.market.models import Answer, QualityCheck, Score, SecretVote
from dmchain.market.salts import secret_salt
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import build
from dmchain.market.transactions import Receipt, transact

CONTRACT = "QualityOracle"


class Operators(Pool[M]):
    """The operators' pool: `market.quality.operators`."""

    _pool = CONTRACT


class Quality(Group[M]):
    """Measured quality: `market.quality`. Scores are 0 to 10000; a metric is named by its text or its hash."""

    @operation
    def request(
        self,
        dataset: DatasetLike,
        metric: str | bytes,
        *,
        job: str | None = None,
        job_cid: str | bytes | None = None,
        fee: int | str | None = None,
    ) -> Steps[QualityCheck]:
        """Ask operators to measure a data set.

        A metric names the job that measures it, so `job` is the metric's text unless the metric is given as a hash. With
        `job_cid`, a description of the job, the metric is the hash of both (`QualityOracle.metricOf`).
        """
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        if fee is None:
            value = (yield from context.read(CONTRACT, "parameters"))["minimumFee"]
        else:
            value, _ = yield from context.amount(fee, "DM")
        name = job or (metric if isinstance(metric, str) else "")
        described = cids.to_optional_bytes(job_cid)
        wanted_metric = hashed(metric)
        if described and wanted_metric == keccak(name.encode()):
            wanted_metric = yield from context.read(CONTRACT, "metricOf", name, described)
        wanted = {"metric": wanted_metric, "job": name, "jobCid": described}
        listing_id = int.from_bytes(raw, "big")
        receipt = yield from transact(context, CONTRACT, "requestQualityCheck", listing_id, wanted, value=value)
        return (yield from _read(context, receipt.event("QualityCheckRequested").arguments["requestId"]))

    @operation
    def draw(self, request_id: int) -> Steps[QualityCheck]:
        """Draw the panel by the header of the request's `draw_block`. Anyone may."""
        found = yield from _read(self._context, request_id)
        header = yield from read_draw_header(found.draw_block, f"quality check {request_id}")
        yield from transact(self._context, CONTRACT, "drawPanel", request_id, header)
        return (yield from _read(self._context, request_id))

    @operation
    def commit(self, request_id: int, score: int, *, salt: str | bytes | None = None) -> Steps[SecretVote]:
        """Commit to a score, as an operator on the panel. `reveal` makes it known later."""
        context = self._context
        secret = yield from secret_salt(context, CONTRACT, request_id, 0, salt)
        sender = yield from context.sender()
        commitment = yield from context.read(CONTRACT, "commitmentFor", request_id, sender, score, secret)
        receipt = yield from transact(context, CONTRACT, "commitAnswer", request_id, commitment)
        return SecretVote(request_id, 0, score, "0x" + secret.hex(), "0x" + commitment.hex(), receipt.transaction_hash)

    @operation
    def reveal(self, request_id: int, score: int, salt: str | bytes | None = None) -> Steps[Receipt]:
        """Reveal a score after committing has ended; with the salt of `commit` if one was given there."""
        secret = yield from secret_salt(self._context, CONTRACT, request_id, 0, salt)
        return (yield from transact(self._context, CONTRACT, "revealAnswer", request_id, score, secret))

    @operation
    def fulfill(self, request_id: int) -> Steps[QualityCheck]:
        """Close a request: median and quorum. Anyone may."""
        yield from transact(self._context, CONTRACT, "fulfillQualityCheck", request_id)
        return (yield from _read(self._context, request_id))

    @operation
    def score(self, dataset: DatasetLike, metric: str | bytes) -> Steps[Score]:
        """The latest score by a metric; `measured_at` is 0 when there is none."""
        raw = yield from resolve_dataset(self._context, dataset)
        digest = hashed(metric)
        score, at, answers = yield from self._context.read(CONTRACT, "scoreOf", raw, digest)
        return Score("0x" + raw.hex(), "0x" + digest.hex(), score, at, answers)

    @operation
    def get(self, request_id: int) -> Steps[QualityCheck]:
        """One request with the panel's answers. Raises NotFound."""
        return (yield from _read(self._context, request_id))


def _read(context: Context, request_id: int) -> Steps[QualityCheck]:
    struct, answers = yield from context.read_all(
        [call(CONTRACT, "request", request_id), call(CONTRACT, "answers", request_id)]
    )
    if RequestStatus(struct["status"]) is RequestStatus.NONE:
        raise NotFound(f"quality check {request_id}: there is none")
    found = tuple(build(Answer, each) for each in answers)
    return build(QualityCheck, struct, request_id=request_id, answers=found)
