"""The pages about governance and curation, command by command."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmchain.testing import Devnet
from tests.market.pages import run_page


@pytest.mark.parametrize("page", ["governance.md", "curation.md"])
def test_the_page_does_what_it_shows(
    page: str, devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(page, devnet.url, tmp_path, monkeypatch)
