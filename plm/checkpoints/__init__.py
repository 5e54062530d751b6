"""Weights and configs on disk: container formats, name maps, and the store that joins them."""
