"""The commands of docs/market about escrow, streams and computation, as they stand there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dmchain.testing import Devnet
from tests.market.pages import matches, run_page


@pytest.mark.parametrize("page", ["escrow.md", "streams.md", "compute.md"])
def test_the_commands_of_the_page_do_what_it_says(
    page: str, devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(page, devnet.url, tmp_path, monkeypatch)


def test_an_ellipsis_on_its_own_line_stands_for_any_lines() -> None:
    printed = "a  1\nb  2\nc  3"
    for pattern in ("a  1\n…", "…\nc  3", "…\nb  …\n…", "a  …\nb  2\nc  3", "…"):
        assert matches(pattern, printed)
    for pattern in ("a  1", "…\nb  2", "b  …\n…", "a  1\nb  3\nc  3"):
        assert not matches(pattern, printed)
