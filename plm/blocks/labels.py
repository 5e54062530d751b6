"""What a label says to every loss."""

from __future__ import annotations

IGNORED_LABEL = -100
"""The label of what nothing is trained on, as everywhere in torch."""
