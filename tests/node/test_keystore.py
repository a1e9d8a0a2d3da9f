"""Keystore files against eth-account, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from eth_account import Account

from dmchain.chain.primitives.crypto import PrivateKey
from dmchain.node.keystore import (
    DEVNET_MNEMONIC,
    KeyFileError,
    derive_keys,
    devnet_keys,
    list_keys,
    load_keyfile,
    load_secret_file,
    save_key,
)

KEY = PrivateKey(b"\x21" * 32)


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_key_comes_back_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    stored = save_key(KEY, tmp_path / "keys", "secret", is_light=True)
    assert load_keyfile(stored.path, "secret").secret == KEY.secret
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.path.parent.stat().st_mode) == 0o700
    assert list_keys(tmp_path / "keys") == [stored]


def test_other_wallets_read_our_files_and_we_theirs(tmp_path: Path) -> None:
    stored = save_key(KEY, tmp_path, "secret", is_light=True)
    assert bytes(Account.decrypt(stored.path.read_text(), "secret")) == KEY.secret
    other = Account.encrypt(KEY.secret, "other", kdf="pbkdf2", iterations=10)
    assert load_keyfile(private(tmp_path / "theirs.json", json.dumps(other)), "other").secret == KEY.secret


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    save_key(KEY, tmp_path, "secret", is_light=True)
    with pytest.raises(KeyFileError, match="exists already"):
        save_key(KEY, tmp_path, "other", is_light=True)


def test_a_wrong_password_is_said_without_the_secret(tmp_path: Path) -> None:
    stored = save_key(KEY, tmp_path, "secret", is_light=True)
    with pytest.raises(KeyFileError, match="the password does not fit") as caught:
        load_keyfile(stored.path, "guess")
    assert "guess" not in str(caught.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    stored = save_key(KEY, tmp_path, "secret", is_light=True)
    stored.path.chmod(0o644)
    with pytest.raises(KeyFileError, match="mode 0644") as caught:
        load_keyfile(stored.path, "secret")
    assert caught.value.hint == f"chmod 600 {stored.path}"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"version": 3}', '{"version": 3, "address": "zz"}', "[" * 100, '{"version": 3, "address": "'
     + "11" * 20 + '", "crypto": {"kdfparams": {"n": 1e99}}}'],
)  # fmt: skip
def test_damaged_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyFileError):
        load_keyfile(private(tmp_path / "bad.json", text), "secret")


def test_a_file_cannot_ask_for_hours_of_work(tmp_path: Path) -> None:
    stored = save_key(KEY, tmp_path, "secret", is_light=True)
    document = json.loads(stored.path.read_text())
    document["crypto"]["kdfparams"]["n"] = 1 << 40
    with pytest.raises(KeyFileError, match="more work"):
        load_keyfile(private(tmp_path / "slow.json", json.dumps(document)), "secret")


def test_the_known_accounts_are_those_of_the_mnemonic() -> None:
    Account.enable_unaudited_hdwallet_features()
    for index, key in enumerate(devnet_keys(10)):
        account = Account.from_mnemonic(DEVNET_MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        assert key.secret == bytes(account.key)


def test_other_mnemonics_and_more_accounts_are_derived() -> None:
    assert [key.address for key in derive_keys(DEVNET_MNEMONIC, 11)[:10]] == [key.address for key in devnet_keys(10)]
    words = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    account = Account.from_mnemonic(words)
    assert derive_keys(words, 1)[0].address.hex() == account.address[2:].lower()
    with pytest.raises(KeyFileError, match="12 words"):
        derive_keys("test " * 12, 1)


def test_a_key_in_the_clear_needs_a_private_file(tmp_path: Path) -> None:
    path = private(tmp_path / "key.hex", "0x" + KEY.secret.hex() + "\n")
    assert load_secret_file(path).address == KEY.address
    os.chmod(path, 0o640)
    with pytest.raises(KeyFileError, match="0640"):
        load_secret_file(path)
    with pytest.raises(KeyFileError, match="64 hex digits") as caught:
        load_secret_file(private(tmp_path / "bad.hex", "12 34"))
    assert "12 34" not in str(caught.value)


PUBLISHED = {
    "scrypt": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
        "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
        "kdf": "scrypt",
        "kdfparams": {
            "dklen": 32,
            "n": 262144,
            "p": 8,
            "r": 1,
            "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
        },
        "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
    },
    "pbkdf2": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
}
"""The vectors of the Web3 Secret Storage definition; they have no address."""


@pytest.mark.parametrize("kdf", PUBLISHED)
def test_the_published_vectors_open(tmp_path: Path, kdf: str) -> None:
    document = {"crypto": PUBLISHED[kdf], "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6", "version": 3}
    key = load_keyfile(private(tmp_path / "vector", json.dumps(document)), "testpassword")
    assert key.secret.hex() == "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"


def test_key_files_of_geth_are_listed_and_other_files_are_not(tmp_path: Path) -> None:
    stored = save_key(KEY, tmp_path, "secret", is_light=True)
    theirs = tmp_path / "UTC--2026-01-01T00-00-00.000000000Z--00"
    stored.path.rename(theirs)
    (tmp_path / "README").write_text("not a key")
    (tmp_path / "old").mkdir()
    assert [(key.address, key.path) for key in list_keys(tmp_path)] == [(KEY.address, theirs)]
