"""The virtual machine: py-evm's rules over a flat state, the precompiles, and the contracts of the market."""

from dmchain.marketplace_vm.lean_imports import defer_curves

defer_curves()  # before any module below imports py-evm
