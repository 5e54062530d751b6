"""Backends: what computes a model once its training is over."""
