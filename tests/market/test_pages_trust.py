"""The pages about disputes, quality and stake print what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmchain.testing import Devnet
from tests.market.pages import run_page


@pytest.mark.parametrize("page", ["disputes.md", "quality.md", "stake.md"])
def test_the_commands_of_a_page_print_what_it_shows(
    page: str, devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(page, devnet.url, tmp_path, monkeypatch)
