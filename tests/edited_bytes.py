"""Damage to the bytes of a file, as fuzz tests draw it."""

from __future__ import annotations


def edited(content: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    """edits: (kind, place as a fraction of the file, bytes to put there), done in order."""
    data = bytearray(content)
    for kind, fraction, new in edits:
        at = int(fraction * len(data))
        if kind == "flip" and data:
            data[at] ^= 1 << (new[0] & 7)
        elif kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = new
        elif kind == "overwrite":
            data[at : at + len(new)] = new
        elif kind == "remove":
            del data[at : at + len(new)]
    return bytes(data)
