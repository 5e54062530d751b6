"""Heads: what turns an encoding into predictions and a loss."""
