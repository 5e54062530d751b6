"""Which examples are kept for evaluation: told by what they are, not by where they stand."""

from __future__ import annotations

import hashlib


def is_held_out(identity: str, share: float) -> bool:
    """True for about this share of all texts, by their SHA-256: equal ones are on the same side, in any file and order.

    A larger share holds out the same texts and more.
    """
    return int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big") < share * 2**64
