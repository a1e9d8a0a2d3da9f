"""The mathematics behind the cryptographic precompiles: bytes in, bytes out, no py-evm, nothing loaded before use.

Each function is total: for any input it returns or raises `InvalidInput`.
"""


class InvalidInput(ValueError):
    """The rules of a precompile make a call with this input fail; all its gas is burnt."""
