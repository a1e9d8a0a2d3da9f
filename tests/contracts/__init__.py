"""The market's contracts on an in-process chain."""
