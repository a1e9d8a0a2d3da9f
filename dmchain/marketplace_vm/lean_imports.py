"""Keep py-evm from importing py_ecc's BLS12-381, 0.2 s of start-up for code that is never called here.

`eth.precompiles` pulls the package `eth.precompiles.bls12_381` in, whose modules build their curves when imported.
A package of that name put in `sys.modules` before has the same seven functions, which compute on arkworks. Its
`__path__` is the real one, so the real modules can still be imported by their full names. Should py-evm move them,
the stand-in is never looked at and start-up is slow again; nothing else changes.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "eth.precompiles.bls12_381"
_FUNCTIONS = {
    "bls12_g1_add": 0x0B,
    "bls12_g1_msm": 0x0C,
    "bls12_g2_add": 0x0D,
    "bls12_g2_msm": 0x0E,
    "bls12_pairing_check": 0x0F,
    "bls12_map_fp_to_g1": 0x10,
    "bls12_map_fp2_to_g2": 0x11,
}


def _stand_in(number: int) -> Any:
    def precompile(computation: Any) -> Any:
        from dmchain.marketplace_vm.crypto_precompiles import PRECOMPILES

        return PRECOMPILES[number.to_bytes(20, "big")](computation)  # type: ignore[index]

    return precompile


def defer_curves() -> None:
    """Install the stand-in. Has an effect only before the first import of `eth`."""
    spec = find_spec("eth")
    if "eth.precompiles" in sys.modules or spec is None or spec.origin is None:
        return
    package = ModuleType(_PACKAGE, "Stands in for py-evm's package: see dmchain.marketplace_vm.lean_imports.")
    package.__path__ = [str(Path(spec.origin).parent / "precompiles" / "bls12_381")]
    for name, number in _FUNCTIONS.items():
        setattr(package, name, _stand_in(number))
    sys.modules[_PACKAGE] = package
