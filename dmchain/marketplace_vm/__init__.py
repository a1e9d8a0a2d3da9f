"""The virtual machine: py-evm's rules over a flat state, the precompiles, and the contracts of the market."""

import os

from dmchain.marketplace_vm.lean_imports import defer_curves

# py-evm hashes through eth-hash, which would pick pycryptodome when that is installed: 4.4 us a hash instead of 1.0,
# and it gives up the interpreter lock each time, so that a busy event loop delays every KECCAK256 by milliseconds.
os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
defer_curves()  # before any module below imports py-evm
