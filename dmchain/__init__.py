"""dmchain: a blockchain node for the market of AI training data."""

__version__ = "0.1.0"
