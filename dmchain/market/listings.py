"""Publishing and finding data sets, and their offers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from dmchain.chain.primitives.crypto import keccak
from dmchain.market import cids
from dmchain.market.chain import chain_time, deadline_after
from dmchain.market.context import Call, Context, call
from dmchain.market.enums import LicenseKind, RetirementTerms
from dmchain.market.errors import InvalidInput, MarketError, Reverted
from dmchain.market.inputs import DatasetLike, DurationLike, OfferTerms, dataset_id, kind_of, resolve_dataset
from dmchain.market.models import Dataset, Details, Listing, Offer, Page, Publication, Reputation, Summary
from dmchain.market.salts import secret_salt
from dmchain.market.steps import Group, M, Steps, operation
from dmchain.market.structs import Amount, build
from dmchain.market.transactions import Receipt, transact

MAX_PAGE: Final = 100


def read_offers(context: Context, offer_ids: Sequence[int]) -> Steps[tuple[Offer, ...]]:
    """Offers with their tokens, in the order asked for."""
    calls: list[Call] = []
    for each in offer_ids:
        calls += [call("LicenseManager", "offer", each), call("LicenseManager", "isSellable", each)]
    answers = yield from context.read_all(calls)
    found = []
    for offer_id, struct, is_sellable in zip(offer_ids, answers[::2], answers[1::2], strict=True):
        token = yield from context.token(struct["token"])
        found.append(build(Offer, struct, offer_id=offer_id, token=token, is_sellable=is_sellable))
    return tuple(found)


def read_offer(context: Context, offer_id: int) -> Steps[Offer]:
    (found,) = yield from read_offers(context, [offer_id])
    return found


def _listing_input(
    spdx: str, format: str, resale_royalty_bps: int, lineage_royalty_bps: int, until: int, terms: RetirementTerms | str
) -> dict[str, Any]:
    if isinstance(terms, str):
        name = terms.replace("-", "_").upper()
        if name not in RetirementTerms.__members__:
            raise InvalidInput(f"on_retirement: got {terms!r}, expected run-out or end-and-refund")
        terms = RetirementTerms[name]
    return {
        "spdx": spdx,
        "format": format,
        "resaleRoyaltyBps": resale_royalty_bps,
        "lineageRoyaltyBps": lineage_royalty_bps,
        "availableUntil": until,
        "onRetirement": int(terms),
    }


def _content(content: str | bytes | Path, size: int | None) -> tuple[bytes, int]:
    """Binary CID and size of what is published: a CID, or a small file."""
    if isinstance(content, Path):
        text, found = cids.of_file(content)
        return cids.to_bytes(text), found if size is None else size
    return cids.to_bytes(content), size or 0


class Offers(Group[M]):
    """Offers of licences: `market.offers.make(dataset, one_time("25 USD"))`."""

    @operation
    def make(self, dataset: DatasetLike, terms: OfferTerms) -> Steps[Offer]:
        """Offer licences of a listed data set of the signer's."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        struct = yield from terms.resolve(context)
        receipt = yield from transact(context, "LicenseManager", "createOffer", raw, struct)
        return (yield from read_offer(context, receipt.event("OfferCreated").arguments["offerId"]))

    @operation
    def close(self, offer_id: int) -> Steps[Receipt]:
        """Sell no more from an offer. Licences that were bought run on."""
        return (yield from transact(self._context, "LicenseManager", "closeOffer", offer_id))

    @operation
    def get(self, offer_id: int) -> Steps[Offer]:
        """One offer. Raises errors.UnknownOffer."""
        return (yield from read_offer(self._context, offer_id))

    @operation
    def of(self, dataset: DatasetLike, *, offset: int = 0, limit: int = 100) -> Steps[tuple[Offer, ...]]:
        """Offers of a data set, oldest first, closed ones too."""
        raw = yield from resolve_dataset(self._context, dataset)
        ids = yield from self._context.read("LicenseManager", "offersOf", raw, offset, min(limit, MAX_PAGE))
        return (yield from read_offers(self._context, ids))


class Listings(Group[M]):
    """Operations of `Market` about data sets on the market."""

    @operation
    def publish(
        self,
        content: str | bytes | Path,
        *,
        spdx: str,
        offers: Sequence[OfferTerms] = (),
        metadata: str | bytes | None = None,
        metadata_uri: str | None = None,
        parents: Sequence[DatasetLike] = (),
        format: str = "",
        size_bytes: int | None = None,
        resale_royalty_bps: int = 0,
        lineage_royalty_bps: int = 0,
        available_for: DurationLike = 0,
        on_retirement: RetirementTerms | str = RetirementTerms.RUN_OUT,
        commit_first: bool = False,
    ) -> Steps[Publication]:
        """Register a content and list it with its offers, in one transaction.

        `content`: a CID, or a pathlib.Path of a small file whose CID is computed. `spdx`: the licence of the data,
        "CC-BY-4.0". `metadata`: CID of its description. Royalties in hundredths of a percent. `commit_first` announces
        the registration by a hash beforehand, so that nobody who watches pending transactions can be first. A content
        that the signer registered before is listed.
        """
        context = self._context
        sender = yield from context.sender()
        cid, size = _content(content, size_bytes)
        metadata_cid = cids.to_optional_bytes(metadata)
        uri = metadata_uri or "ipfs://" + cids.to_text(metadata_cid or cid)
        until = yield from deadline_after(available_for)
        listing = _listing_input(spdx, format, resale_royalty_bps, lineage_royalty_bps, until, on_retirement)
        terms = []
        for each in offers:
            terms.append((yield from each.resolve(context)))
        held_by: bytes = yield from context.read("CidRegistry", "datasetOf", cid)
        if any(held_by):
            receipt = yield from _list_registered(context, sender, held_by, uri, listing, terms)
        else:
            ids = []
            for parent in parents:
                ids.append((yield from resolve_dataset(context, parent)))
            registration = {"cid": cid, "metadataCid": metadata_cid, "parents": ids, "sizeBytes": size}
            arguments = (registration, uri, listing, terms)
            if commit_first:
                salt = yield from _commit(context, sender, cid)
                receipt = yield from transact(context, "DataListing", "publishCommitted", *arguments, salt)
            else:
                receipt = yield from transact(context, "DataListing", "publish", *arguments)
        token_id = receipt.event("Listed").arguments["tokenId"]
        made = tuple(each.arguments["offerId"] for each in receipt.all("OfferCreated"))
        shown = "0x" + token_id.to_bytes(32, "big").hex()
        return Publication(shown, cids.to_text(cid), token_id, made, receipt.transaction_hash)

    @operation
    def update(
        self, dataset: DatasetLike, *, metadata_uri: str | None = None, available_for: DurationLike | None = None
    ) -> Steps[Listing]:
        """Change where a listing's description is, or how long it is for sale (0: without end)."""
        context = self._context
        raw = yield from resolve_dataset(context, dataset)
        old = yield from context.read("DataListing", "listing", int.from_bytes(raw, "big"))
        until = old["availableUntil"]
        if available_for is not None:
            until = yield from deadline_after(available_for)
        uri = metadata_uri or old["metadataURI"]
        yield from transact(context, "DataListing", "update", int.from_bytes(raw, "big"), uri, until)
        return build(Listing, (yield from context.read("DataListing", "listing", int.from_bytes(raw, "big"))))

    @operation
    def delist(self, dataset: DatasetLike) -> Steps[Receipt]:
        """Take a data set off the market. Licences run on."""
        raw = yield from resolve_dataset(self._context, dataset)
        return (yield from transact(self._context, "DataListing", "delist", int.from_bytes(raw, "big")))

    @operation
    def retire(self, dataset: DatasetLike) -> Steps[Receipt]:
        """End a data set for good, for legal reasons say: licences end at once, as the listing's terms say."""
        raw = yield from resolve_dataset(self._context, dataset)
        return (yield from transact(self._context, "CidRegistry", "retire", raw))

    @operation
    def list(self, *, offset: int = 0, limit: int = 25) -> Steps[Page]:
        """A page of what is listed, with prices; at most 100."""
        return (yield from _page(self._context, offset, min(max(limit, 1), MAX_PAGE)))

    @operation
    def find(
        self,
        *,
        text: str | None = None,
        spdx: str | None = None,
        owner: str | None = None,
        kind: LicenseKind | str | None = None,
        limit: int = 25,
        most_scanned: int = 2_000,
    ) -> Steps[tuple[Summary, ...]]:
        """Listings that match all that is given: `text` in CID, format or address of the description, SPDX id, owner,
        kind of licence offered. Looks at `most_scanned` listings at most; an index serves more.
        """
        wanted = None if kind is None else kind_of(kind)
        found: list[Summary] = []
        offset: int | None = 0
        while offset is not None and offset < most_scanned and len(found) < limit:
            page = yield from _page(self._context, offset, MAX_PAGE)
            found += [each for each in page.items if _matches(each, text, spdx, owner, wanted)]
            offset = page.next_offset
        return tuple(found[:limit])

    @operation
    def show(self, dataset: DatasetLike) -> Steps[Details]:
        """Everything about one data set. Raises errors.UnknownDataset."""
        return (yield from _show(self._context, dataset))


def _list_registered(
    context: Context, sender: str, raw: bytes, uri: str, listing: dict[str, Any], terms: list[dict[str, Any]]
) -> Steps[Receipt]:
    """List what is registered already: the owner hands the operator's rights to DataListing first."""
    struct = yield from context.read("CidRegistry", "dataset", raw)
    if struct["owner"] != sender:
        raise InvalidInput(
            f"content: registered as 0x{raw.hex()} by {struct['owner']}",
            hint="a content belongs to who registers it first; `dmchain market show` shows it",
        )
    data_listing = yield from context.address_of("DataListing")
    if struct["operator"] != data_listing:
        yield from transact(context, "CidRegistry", "setOperator", raw, data_listing)
    return (yield from transact(context, "DataListing", "listData", raw, uri, listing, terms))


def _commit(context: Context, sender: str, cid: bytes) -> Steps[bytes]:
    """Announce a registration by a hash, unless that was done and still holds; returns the salt that opens it.

    What comes after it is in a later block, as it must be. The salt comes from a signature, so publishing can be tried
    again after anything that went wrong in between.
    """
    salt = yield from secret_salt(context, "DataListing", int.from_bytes(keccak(cid), "big"), 0, None)
    commitment = yield from context.read("DataListing", "commitmentFor", cid, sender, salt)
    (committed_at, _), window = yield from context.read_all(
        [call("CidRegistry", "commitmentOf", commitment), call("CidRegistry", "commitWindow")]
    )
    if not committed_at or (yield from chain_time()) >= committed_at + window:
        yield from transact(context, "CidRegistry", "commitCid", commitment)
    return salt


def _page(context: Context, offset: int, limit: int) -> Steps[Page]:
    structs, total = yield from context.read_all(
        [call("DataListing", "listings", offset, limit), call("DataListing", "tokenCount")]
    )
    calls = []
    for struct in structs:
        raw = struct["datasetId"]
        calls += [call("CidRegistry", "dataset", raw), call("LicenseManager", "offersOf", raw, 0, MAX_PAGE)]
    answers = yield from context.read_all(calls)
    ids = [each for found in answers[1::2] for each in found]
    offers = dict(zip(ids, (yield from read_offers(context, ids)), strict=True))
    items = tuple(
        Summary(
            build(Listing, struct),
            dataset["owner"],
            cids.to_text(dataset["cid"]),
            tuple(offers[each] for each in found if not offers[each].closed),
        )
        for struct, dataset, found in zip(structs, answers[::2], answers[1::2], strict=True)
    )
    after = offset + len(structs)
    return Page(items, total, after if structs and after < total else None)


def _matches(item: Summary, text: str | None, spdx: str | None, owner: str | None, kind: LicenseKind | None) -> bool:
    listing = item.listing
    haystack = " ".join((item.cid, listing.dataset_id, listing.format, listing.metadata_uri, listing.spdx)).lower()
    return (
        (text is None or text.lower() in haystack)
        and (spdx is None or spdx.lower() == listing.spdx.lower())
        and (owner is None or owner.lower() == item.owner.lower())
        and (kind is None or any(each.kind == kind and each.is_sellable for each in item.offers))
    )


def _show(context: Context, dataset: DatasetLike) -> Steps[Details]:
    raw = yield from resolve_dataset(context, dataset)
    struct, parents = yield from context.read_all(
        [call("CidRegistry", "dataset", raw), call("CidRegistry", "parents", raw)]
    )
    listing, offer_ids, record, score, provider_record, provider_score, stake = yield from context.try_all(
        [
            call("DataListing", "listingOf", raw),
            call("LicenseManager", "offersOf", raw, 0, MAX_PAGE),
            call("Reputation", "datasetRecord", raw),
            call("Reputation", "datasetScore", raw),
            call("Reputation", "recordOf", struct["owner"]),
            call("Reputation", "scoreOf", struct["owner"]),
            call("ProviderStake", "stakeOf", raw),
        ]
    )
    for answer in (offer_ids, record, score, provider_record, provider_score, stake):
        if isinstance(answer, MarketError):
            raise answer
    if isinstance(listing, MarketError) and not isinstance(listing, Reverted):
        raise listing
    offers = yield from read_offers(context, offer_ids)
    return Details(
        dataset=build(Dataset, struct, dataset_id="0x" + raw.hex()),
        listing=None if isinstance(listing, Reverted) else build(Listing, listing),
        offers=offers,
        parents=tuple("0x" + each.hex() for each in parents),
        reputation=build(Reputation, record, score=score),
        provider_reputation=build(Reputation, provider_record, score=provider_score),
        stake=Amount(stake),
    )


__all__ = ["Listings", "Offers", "dataset_id", "read_offer", "read_offers"]
