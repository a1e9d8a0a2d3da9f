"""ABIs, bytecode and documentation of the market's contracts and of the native precompiles' interfaces, as JSON.

`load_artifact("LicenseManager")["abi"]`; what an artifact holds is described in docs/market/contracts.md.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = Path(__file__).parent
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def artifact_names() -> list[str]:
    """All that `load_artifact` knows."""
    return sorted([path.stem for path in _FOLDER.glob("*.json") if path.stem[0].isupper()])


@cache
def load_artifact(name: str) -> dict[str, Any]:
    """The artifact of a contract, read once and shared: do not change it. Raises KeyError for an unknown name."""
    path = _FOLDER / f"{name}.json"
    if not _NAME.fullmatch(name) or not path.exists():
        raise KeyError(f"no artifact of {name!r}: expected one of {', '.join(artifact_names())}")
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded
