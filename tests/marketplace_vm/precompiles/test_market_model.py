"""A random market on the real precompiles, compared after every step with a model of plain dicts.

The model is written from docs/precompiles.md, without slots, packing or generations: it keeps objects, and throws away
what a claim ends. Readers of storage are compared too, as are gas and logs between the machines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dmchain.chain.primitives.crypto import keccak
from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, readers
from dmchain.marketplace_vm.precompiles.layout import DatasetStatus
from dmchain.marketplace_vm.precompiles.license_ledger import LicenseStatus
from dmchain.marketplace_vm.precompiles.registry_interface import COMMIT_WINDOW, compute_commitment
from tests.marketplace_vm.precompiles.native_machines import FlatMachine, Machine, MemoryMachine, Outcome
from tests.marketplace_vm.precompiles.samples import SALT, make_cid, make_cid_pair, make_long_cid

ACCOUNTS = [bytes((n,)) * 20 for n in (0xA1, 0xB2)]
PAIR = make_cid_pair("pair")
CIDS = [make_cid("one"), make_cid("two"), make_long_cid("three"), *PAIR]
METADATA = [b"", make_cid("card"), make_long_cid("card")]
IDS = [keccak(cid) for cid in CIDS]

accounts = st.sampled_from(ACCOUNTS)
callers = st.one_of(st.none(), st.none(), st.none(), accounts)
"""None: whoever may do it."""
cids = st.sampled_from(CIDS)
picks = st.integers(0, 30)
"""Which data set: mostly one that exists, see `pick`."""
metadata = st.sampled_from(METADATA)


def content(cid: bytes) -> bytes:
    return PAIR[1] if cid in PAIR else cid


@dataclass
class ModelLicense:
    kind: int
    expires_at: int
    units: int | None
    revoked: bool = False


@dataclass
class ModelDataset:
    owner: bytes
    since: tuple[int, int]
    size_bytes: int
    parents: list[bytes]
    versions: list[tuple[bytes, bytes]]
    order: int
    controller: bytes | None = None
    operator: bytes | None = None
    status: DatasetStatus = DatasetStatus.ACTIVE
    licenses: dict[bytes, ModelLicense] = field(default_factory=dict)
    lost: set[bytes] = field(default_factory=set)
    """Accounts whose licence ended with a claim."""


class Refused(Exception):
    """The model's revert."""


class Market(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.machines: list[Machine] = [MemoryMachine(), FlatMachine()]
        self.datasets: dict[bytes, ModelDataset] = {}
        self.holders: dict[bytes, tuple[bytes, int]] = {}
        """Content -> data set, and block since which it is held."""
        self.commitments: dict[bytes, tuple[int, int]] = {}
        self.committed: list[tuple[bytes, bytes]] = []
        """(owner, CID) of every commitment ever made."""
        self.children: dict[bytes, list[bytes]] = {}
        for owner, cid in zip(ACCOUNTS, CIDS, strict=False):
            self.register(owner, cid, b"", [], 1)

    def pick(self, number: int) -> bytes:
        """A registered data set, or now and then any id."""
        known = sorted(self.datasets, key=lambda each: self.datasets[each].order)
        return known[number % len(known)] if known and number < 28 else IDS[number % len(IDS)]

    def owner_of(self, dataset_id: bytes) -> bytes:
        return self.datasets[dataset_id].owner if dataset_id in self.datasets else ACCOUNTS[0]

    def controller_of(self, dataset_id: bytes) -> bytes:
        dataset = self.datasets.get(dataset_id)
        return (dataset.controller if dataset else None) or self.owner_of(dataset_id)

    @property
    def now(self) -> int:
        return self.machines[0].timestamp

    @property
    def block(self) -> int:
        return self.machines[0].block_number

    def act(self, model: Any, caller: bytes, name: str, *arguments: Any, at: bytes = CID_REGISTRY) -> Outcome:
        """Run on all machines and on the model; they must agree on whether it works."""
        outcomes = [machine.do(caller, name, *arguments, at=at) for machine in self.machines]
        assert outcomes[0] == outcomes[1]
        try:
            model()
            expected = None
        except Refused as refused:
            expected = str(refused)
        error = outcomes[0].error
        assert outcomes[0].success == (expected is None), (name, expected, error)
        assert expected is None or (error is not None and error[0] == expected), (name, expected, error)
        return outcomes[0]

    # -- the model's rules ---------------------------------------------------------------------------------------
    def get(self, dataset_id: bytes) -> ModelDataset:
        if dataset_id not in self.datasets:
            raise Refused("UnknownDataset")
        return self.datasets[dataset_id]

    def get_active(self, dataset_id: bytes) -> ModelDataset:
        dataset = self.get(dataset_id)
        if dataset.status != DatasetStatus.ACTIVE:
            raise Refused("RetiredDataset")
        return dataset

    def install(
        self, caller: bytes, cid: bytes, card: bytes, parents: list[bytes], size: int, since: tuple[int, int]
    ) -> None:
        dataset_id = keccak(cid)
        old = self.datasets.get(dataset_id)
        order = old.order if old else len(self.datasets)
        for position, parent in enumerate(parents):
            known = self.datasets.get(parent)
            if known is None or known.order >= order or parent in parents[:position]:
                raise Refused("InvalidParent")
        for parent in parents:
            if old is None or parent not in old.parents:
                self.children.setdefault(parent, []).append(dataset_id)
        if old:
            for held in [each for each, (holder, _) in self.holders.items() if holder == dataset_id]:
                del self.holders[held]
        self.holders[content(cid)] = (dataset_id, since[1])
        new = ModelDataset(caller, since, size, parents, [(cid, card)], order)
        if old:
            new.lost = set(old.licenses) | old.lost
        self.datasets[dataset_id] = new

    # -- registry ------------------------------------------------------------------------------------------------
    @rule(caller=accounts, cid=cids, card=metadata, parents=st.lists(picks, max_size=2), size=st.integers(0, 9))
    def register(self, caller: bytes, cid: bytes, card: bytes, parents: list[int], size: int) -> None:
        named = [self.pick(each) for each in parents]

        def model() -> None:
            if content(cid) in self.holders:
                raise Refused("AlreadyRegistered")
            self.install(caller, cid, card, named, size, (self.now, self.block))

        self.act(model, caller, "registerCid", cid, card, named, size)

    @rule(caller=accounts, owner=accounts, cid=cids)
    def commit(self, caller: bytes, owner: bytes, cid: bytes) -> None:
        commitment = compute_commitment(cid, owner, SALT)

        def model() -> None:
            if commitment in self.commitments and self.now <= self.commitments[commitment][0] + COMMIT_WINDOW:
                raise Refused("CommitmentExists")
            self.commitments[commitment] = (self.now, self.block)

        self.act(model, caller, "commitCid", commitment)
        self.committed.append((owner, cid))

    @rule(which=st.integers(0, 50), card=metadata, parents=st.lists(picks, max_size=1), size=st.integers(0, 9))
    def register_committed(self, which: int, card: bytes, parents: list[int], size: int) -> None:
        caller, cid = self.committed[which % len(self.committed)] if self.committed else (ACCOUNTS[0], CIDS[0])
        named = [self.pick(each) for each in parents]
        commitment = compute_commitment(cid, caller, SALT)

        def model() -> None:
            if commitment not in self.commitments:
                raise Refused("UnknownCommitment")
            since = self.commitments[commitment]
            if self.now > since[0] + COMMIT_WINDOW:
                raise Refused("CommitmentExpired")
            held = self.holders.get(content(cid))
            if held is None:
                self.install(caller, cid, card, named, size, since)
            else:
                holder = self.datasets[held[0]]
                if since[1] >= held[1] or holder.status == DatasetStatus.RETIRED_BY_GOVERNANCE:
                    raise Refused("AlreadyRegistered")
                is_primary = content(holder.versions[0][0]) == content(cid)
                self.install(caller, cid, card, named, size, since)
                if is_primary and held[0] != keccak(cid):
                    holder.status = DatasetStatus.SUPERSEDED
            del self.commitments[commitment]

        self.act(model, caller, "registerCommitted", cid, card, named, size, SALT)

    @rule(owner=accounts, rival=accounts, cid=cids, other=cids, way=st.integers(0, 2), open=st.booleans())
    def front_run(self, owner: bytes, rival: bytes, cid: bytes, other: bytes, way: int, open: bool) -> None:
        """A commitment, then a rival who is faster, in one of the ways there are."""
        self.commit(owner, owner, cid)
        self.next_block(0)
        if way == 0:
            self.register(rival, cid, b"", [0], 3)
        elif way == 1:
            self.register(rival, PAIR[PAIR[0] == cid] if cid in PAIR else other, b"", [], 4)
        else:
            self.add_version(rival, other[0], cid, b"")
        self.next_block(1)
        if open:
            self.register_committed(len(self.committed) - 1, b"", [0], 5)

    @rule(caller=callers, number=picks, cid=cids, card=metadata)
    def add_version(self, caller: bytes | None, number: int, cid: bytes, card: bytes) -> None:
        dataset_id = self.pick(number)
        sender = caller or self.owner_of(dataset_id)

        def model() -> None:
            dataset = self.get(dataset_id)
            if sender != dataset.owner:
                raise Refused("NotAuthorized")
            self.get_active(dataset_id)
            held = self.holders.get(content(cid))
            if held is None:
                self.holders[content(cid)] = (dataset_id, self.block)
            elif self.datasets[held[0]].owner != sender:
                raise Refused("AlreadyRegistered")
            dataset.versions.append((cid, card))

        self.act(model, sender, "addVersion", dataset_id, cid, card)

    @rule(
        caller=callers,
        number=picks,
        name=st.sampled_from(["transferDataset", "setController", "setOperator"]),
        account=st.sampled_from([*ACCOUNTS, bytes(20)]),
    )
    def administer(self, caller: bytes | None, number: int, name: str, account: bytes) -> None:
        dataset_id = self.pick(number)
        operator = self.datasets[dataset_id].operator if dataset_id in self.datasets else None
        sender = caller or operator or self.owner_of(dataset_id)

        def model() -> None:
            dataset = self.get(dataset_id)
            if sender != (dataset.operator or dataset.owner):
                raise Refused("NotAuthorized")
            self.get_active(dataset_id)
            chosen = account if any(account) else None
            if name == "setController":
                dataset.controller = chosen
            elif name == "setOperator":
                dataset.operator = chosen
            elif chosen is None:
                raise Refused("InvalidOwner")
            else:
                dataset.owner, dataset.controller = chosen, None

        self.act(model, sender, name, dataset_id, account)

    @rule(caller=callers, number=picks, dice=st.integers(0, 3))
    def retire(self, caller: bytes | None, number: int, dice: int) -> None:
        if dice:  # it ends what other rules could do
            return
        dataset_id = self.pick(number)
        sender = caller or self.owner_of(dataset_id)

        def model() -> None:
            dataset = self.get(dataset_id)
            if sender != dataset.owner:
                raise Refused("NotAuthorized")
            self.get_active(dataset_id).status = DatasetStatus.RETIRED

        self.act(model, sender, "retire", dataset_id)

    @rule(seconds=st.sampled_from([0, 1, 1, 10, 50, COMMIT_WINDOW]))
    def next_block(self, seconds: int) -> None:
        for machine in self.machines:
            machine.next_block(seconds)

    # -- ledger --------------------------------------------------------------------------------------------------
    def status_of(self, dataset: ModelDataset, account: bytes) -> LicenseStatus:
        held = dataset.licenses.get(account)
        if held is None:
            return LicenseStatus.SUPERSEDED if account in dataset.lost else LicenseStatus.NONE
        if held.revoked:
            return LicenseStatus.REVOKED
        if dataset.status != DatasetStatus.ACTIVE:
            return LicenseStatus.DATASET_RETIRED
        if held.expires_at and self.now >= held.expires_at:
            return LicenseStatus.EXPIRED
        return LicenseStatus.EXHAUSTED if held.units == 0 else LicenseStatus.VALID

    def authorise(self, caller: bytes, dataset_id: bytes) -> ModelDataset:
        dataset = self.get(dataset_id)
        if caller != (dataset.controller or dataset.owner):
            raise Refused("NotController")
        return dataset

    @rule(
        caller=callers, number=picks, account=accounts, kind=st.integers(0, 4),
        lasts=st.sampled_from([None, 0, 1, 60]), units=st.integers(0, 3),
    )  # fmt: skip
    def grant(
        self, caller: bytes | None, number: int, account: bytes, kind: int, lasts: int | None, units: int
    ) -> None:
        dataset_id = self.pick(number)
        sender = caller or self.controller_of(dataset_id)
        expires_at = 0 if lasts is None else self.now + lasts

        def model() -> None:
            dataset = self.authorise(sender, dataset_id)
            self.get_active(dataset_id)
            if kind not in (1, 2, 3):
                raise Refused("InvalidKind")
            if lasts == 0 or (lasts is None and kind == 2):
                raise Refused("InvalidExpiry")
            if kind == 3 and units == 0:
                raise Refused("InvalidUnits")
            if self.status_of(dataset, account) == LicenseStatus.VALID:
                raise Refused("LicenseInForce")
            dataset.licenses[account] = ModelLicense(kind, expires_at, units or None)

        self.act(model, sender, "grant", dataset_id, account, kind, expires_at, units, SALT, at=LICENSE_LEDGER)

    def granted(self, dataset: ModelDataset, account: bytes) -> ModelLicense:
        held = dataset.licenses.get(account)
        if held is None or held.revoked:
            raise Refused("LicenseNotInForce")
        return held

    @rule(
        caller=callers, number=picks, account=accounts, lasts=st.sampled_from([None, 0, 5, 100]),
        units=st.sampled_from([0, 1, 2**64 - 2]),
    )  # fmt: skip
    def extend(self, caller: bytes | None, number: int, account: bytes, lasts: int | None, units: int) -> None:
        dataset_id = self.pick(number)
        sender = caller or self.controller_of(dataset_id)
        expires_at = 0 if lasts is None else self.now + lasts

        def model() -> None:
            dataset = self.authorise(sender, dataset_id)
            self.get_active(dataset_id)
            held = self.granted(dataset, account)
            if bool(held.expires_at) != bool(expires_at):
                raise Refused("InvalidExpiry")
            if expires_at and (expires_at <= self.now or expires_at < held.expires_at):
                raise Refused("InvalidExpiry")
            if units and (held.units is None or held.units + units >= 2**64):
                raise Refused("InvalidUnits")
            held.expires_at = expires_at
            if held.units is not None:
                held.units += units

        self.act(model, sender, "extend", dataset_id, account, expires_at, units, at=LICENSE_LEDGER)

    @rule(caller=callers, number=picks, account=accounts, units=st.integers(0, 3))
    def consume(self, caller: bytes | None, number: int, account: bytes, units: int) -> None:
        dataset_id = self.pick(number)
        sender = caller or self.controller_of(dataset_id)

        def model() -> None:
            dataset = self.authorise(sender, dataset_id)
            self.get_active(dataset_id)
            if units == 0:
                raise Refused("InvalidUnits")
            status = self.status_of(dataset, account)
            if status not in (LicenseStatus.VALID, LicenseStatus.EXHAUSTED):
                raise Refused("LicenseNotInForce")
            held = dataset.licenses[account]
            if held.units is not None:
                if units > held.units:
                    raise Refused("InsufficientUnits")
                held.units -= units

        self.act(model, sender, "consume", dataset_id, account, units, at=LICENSE_LEDGER)

    @rule(caller=callers, number=picks, account=accounts)
    def revoke(self, caller: bytes | None, number: int, account: bytes) -> None:
        dataset_id = self.pick(number)
        sender = caller or self.controller_of(dataset_id)

        def model() -> None:
            self.granted(self.authorise(sender, dataset_id), account).revoked = True

        self.act(model, sender, "revoke", dataset_id, account, SALT, at=LICENSE_LEDGER)

    # -- what must hold ------------------------------------------------------------------------------------------
    @precondition(lambda self: hasattr(self, "machines"))
    @invariant()
    def storage_says_what_the_model_says(self) -> None:
        get = self.machines[0].get_storage
        order = sorted(self.datasets, key=lambda each: self.datasets[each].order)
        assert list(readers.list_dataset_ids(get, 0, 100)) == order
        assert [each.dataset_id for each in readers.list_datasets(get, 0, 100, newest_first=True)] == order[::-1]
        for dataset_id in IDS:
            seen = readers.read_dataset(get, dataset_id)
            model = self.datasets.get(dataset_id)
            assert (seen is None) == (model is None)
            if seen is None or model is None:
                continue
            assert (seen.owner, seen.status, seen.index) == (model.owner, model.status, model.order)
            assert seen.controller == (model.controller or model.owner)
            assert seen.operator == (model.operator or bytes(20))
            assert list(seen.parents) == model.parents
            assert (seen.registered_at, seen.registered_block) == model.since
            assert seen.first.size_bytes == model.size_bytes
            versions = readers.read_versions(get, dataset_id, 0, 1000)
            assert [(each.cid, each.metadata_cid) for each in versions] == model.versions
            assert (seen.first, seen.latest, seen.version_count) == (versions[0], versions[-1], len(versions))
            children = readers.read_children(get, dataset_id, 0, 1000)
            assert children == self.children.get(dataset_id, []) and seen.child_count == len(children)
            assert all(self.datasets[parent].order < model.order for parent in model.parents)
            for account in ACCOUNTS:
                self.compare_license(dataset_id, model, account)
        for cid in CIDS:
            held = self.holders.get(content(cid))
            assert readers.find_dataset_id(get, cid) == (held[0] if held else None)
            assert self.machines[0].see("datasetOf", cid) == (held[0] if held else bytes(32))

    def compare_license(self, dataset_id: bytes, dataset: ModelDataset, account: bytes) -> None:
        machine = self.machines[0]
        seen = readers.read_license(machine.get_storage, dataset_id, account, self.now)
        status = self.status_of(dataset, account)
        assert (seen.status if seen else LicenseStatus.NONE) == status
        answer = machine.see("hasLicense", dataset_id, account, at=LICENSE_LEDGER)
        assert answer == (status == LicenseStatus.VALID)
        held = dataset.licenses.get(account)
        if held is not None and seen is not None:
            assert (seen.kind, seen.expires_at, seen.units) == (held.kind, held.expires_at, held.units)
            assert (seen.is_revoked, seen.is_valid) == (held.revoked, status == LicenseStatus.VALID)

    def teardown(self) -> None:
        if hasattr(self, "machines"):
            assert self.machines[0].storage() == self.machines[1].storage()


TestMarket = Market.TestCase
TestMarket.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
