"""The commands of docs/market about licences, as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmchain.testing import Devnet
from tests.market.pages import run_page


@pytest.mark.parametrize("page", ["purchase.md", "subscription.md", "datatoken.md", "retirement.md"])
def test_the_commands_of_the_page_do_what_it_says(
    page: str, devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(page, devnet.url, tmp_path, monkeypatch)
