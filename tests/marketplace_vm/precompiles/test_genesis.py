"""What genesis holds of the native precompiles."""

from dmchain.marketplace_vm.precompiles import CID_REGISTRY, LICENSE_LEDGER, STAKING
from dmchain.marketplace_vm.precompiles.genesis import GENESIS_ACCOUNTS, STUB_CODE, make_genesis_accounts
from dmchain.marketplace_vm.precompiles.layout import GOVERNANCE_SLOT
from tests.marketplace_vm.precompiles.samples import CAROL


def test_the_accounts_look_like_contracts() -> None:
    assert set(GENESIS_ACCOUNTS) == {CID_REGISTRY, LICENSE_LEDGER, STAKING}
    for account in GENESIS_ACCOUNTS.values():
        assert (account.nonce, account.balance, account.code, account.storage) == (1, 0, STUB_CODE, {})


def test_governance_is_a_storage_slot_of_the_registry() -> None:
    accounts = make_genesis_accounts(CAROL)
    assert accounts[CID_REGISTRY].storage == {GOVERNANCE_SLOT: int.from_bytes(CAROL, "big")}
    assert accounts[LICENSE_LEDGER].storage == {}
