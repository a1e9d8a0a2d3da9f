"""Ethereum's data types: RLP, keys, transactions, headers, receipts.

Sources: the Ethereum Yellow Paper (appendix B, F), EIP-155, 658, 1559, 2718, 2930, 4788, 4844, 4895, 7623, 7685 and 7702.
Everything here is a pure value or a pure function, and refuses what is not canonical.
"""
