"""Settings: where they come from, and what is said about those that cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmchain.node.config import KEYS, ConfigError, load_config, render_config


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_the_rendered_file_gives_the_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, render_config()), environment={})
    assert config == load_config(None, environment={})
    assert {key.path for key in KEYS} == set(config.values)


def test_variables_win_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    path = write(tmp_path, '[rpc]\nport = 1000\nhost = "a"\n[log]\nlevel = "error"\n')
    config = load_config(
        path,
        environment={"DMCHAIN_RPC_PORT": "2000", "DMCHAIN_RPC_HOST": "b"},
        flags={"rpc.port": 3000, "rpc.host": None},
    )
    assert (config["rpc.port"], config["rpc.host"], config["log.level"]) == (3000, "b", "error")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[rpc]\nport = 70000", "rpc.port: got 70000, expected a whole number from 0 to 65535"),
        ("[rpc]\nport = true", "rpc.port: got True"),
        ('[rpc]\nvhosts = "x"\ncors_origins = [1]', "rpc.cors_origins: got [1], expected a list of strings"),
        ('[production]\nblock_time = "never"', 'expected "on-demand" or a number of seconds from 0.05 to 3600'),
        ('[production]\ncoinbase = "0x12"', "expected an address"),
        ("[production]\nheartbeat = nan", "production.heartbeat: got nan"),
        ('[execution]\nengine = "fast"', "expected one of native, reference"),
        ("[rpc]\nprot = 1", "rpc.prot: unknown"),
        ("port = 1", "port: expected a section"),
        ("[rpc", "not TOML"),
    ],
)
def test_errors_name_file_key_got_and_expected(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path, environment={})
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)


def test_a_misspelt_name_brings_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, "[rpc]\nprot = 1"), environment={})
    assert caught.value.hint == "did you mean rpc.port?"
    with pytest.raises(ConfigError, match="DMCHAIN_RPC_PROT"):
        load_config(None, environment={"DMCHAIN_RPC_PROT": "1"})


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "none.toml", environment={})
    assert "init" in str(caught.value.hint)


@given(st.binary(max_size=200))
def test_arbitrary_files_are_read_or_refused(raw: bytes) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"dmchain-config-{os.getpid()}.toml"
    path.write_bytes(raw)
    try:
        load_config(path, environment={})
    except ConfigError:
        pass
    finally:
        path.unlink()
