"""Names by which callers ask for a type of weights that PyTorch has none of. Imports no torch."""

INT8 = "int8"
"""Weights of eight bits, see plm.blocks.int8; the backend of PyTorch that has them is called the same."""
