"""`dmchain keys`: data on stdout, talk on stderr, secrets nowhere but in files."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from eth_account import Account
from eth_account.messages import encode_defunct

from dmchain.chain.primitives.errors import DmchainError
from dmchain.node.cli.keys import keys
from dmchain.node.keystore import DEVNET_MNEMONIC

FIRST = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
FIRST_SECRET = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def run(*arguments: object, text: str | None = None) -> Result:
    return CliRunner().invoke(keys, [str(argument) for argument in arguments], input=text)


def succeed(*arguments: object, text: str | None = None) -> Result:
    result = run(*arguments, text=text)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password.txt"
    path.write_text("a pass phrase\nthis line is a remark\n")
    return path


def test_a_new_key_is_listed_shown_and_exported(tmp_path: Path, password: Path) -> None:
    folder, clear = tmp_path / "keys", tmp_path / "clear.hex"
    options = ("--password-file", password)
    made = json.loads(succeed("new", "--light", "--json", "--keys", folder, *options).stdout)
    assert json.loads(succeed("list", "--json", "--keys", folder).stdout) == [made]
    shown = json.loads(succeed("show", made["file"], "--json", *options).stdout)
    assert shown["address"] == made["address"] and len(shown["publicKey"]) == 2 + 128
    exported = succeed("export", made["file"], "--to", clear, *options)
    assert exported.stdout == "" and clear.read_text().strip() not in exported.output
    assert stat.S_IMODE(clear.stat().st_mode) == 0o600
    assert Account.from_key(clear.read_text().strip()).address == made["address"]


def test_a_private_key_and_a_mnemonic_are_imported(tmp_path: Path, password: Path) -> None:
    secret, phrase = tmp_path / "secret.hex", tmp_path / "phrase.txt"
    secret.write_text(FIRST_SECRET)
    secret.chmod(0o600)
    phrase.write_text(DEVNET_MNEMONIC + "\n")
    options = ("--light", "--json", "--password-file", password)
    imported = succeed("import", "--private-key-file", secret, "--keys", tmp_path / "a", *options)
    assert json.loads(imported.stdout)["address"] == FIRST
    imported = succeed("import", "--mnemonic-file", phrase, "--index", 1, "--keys", tmp_path / "b", *options)
    assert json.loads(imported.stdout)["address"] == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert run("import", *options).exit_code == 2


def test_a_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    made = succeed("new", "--light", "--json", "--keys", tmp_path, text="hidden\nhidden\n")
    assert "hidden" not in made.output
    entry = json.loads(made.stdout)
    assert json.loads(succeed("show", entry["file"], "--json", text="hidden\n").stdout)["address"] == entry["address"]
    assert isinstance(run("show", entry["file"], text="wrong\n").exception, DmchainError)


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    result = run("new", "--light", "--keys", tmp_path / "keys", "--password-file", empty)
    assert isinstance(result.exception, DmchainError) and "empty" in str(result.exception)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(("arguments", "message"), [(("hello",), b"hello"), (("0x00ff", "--hex"), b"\x00\xff")])
def test_signatures_are_those_of_wallets(arguments: tuple[str, ...], message: bytes) -> None:
    signed = json.loads(succeed("sign", *arguments, "--devnet-account", 0, "--json").stdout)
    assert signed["address"] == FIRST
    assert Account.recover_message(encode_defunct(message), signature=signed["signature"]) == FIRST


def test_one_source_of_the_key_is_needed() -> None:
    assert run("sign", "hello").exit_code == 2
    assert run("sign", "hello", "--devnet-account", 0, "--key-file", "x").exit_code == 2
