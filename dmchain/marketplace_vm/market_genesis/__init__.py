"""The market in block 0: where its contracts are, with which parameters, and the state their constructors leave.

Importing this is cheap; `build` imports the EVM.
"""
