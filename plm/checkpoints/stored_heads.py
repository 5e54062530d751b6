"""Which heads a checkpoint holds."""

from __future__ import annotations

from plm.checkpoints.source import Source
from plm.heads.head import HEADS
from plm.models.config import ModelConfig
from plm.models.families import FAMILIES

# Language models differ only in who may attend to whom: these are meant where the attention is the one or the other.
MASKED, CAUSAL = "masked_lm", "causal_lm"


def stored_heads(source: Source, config: ModelConfig, *, named: str | None) -> tuple[str, ...]:
    """Heads that use up the stored parts.

    named: the head that the config file names, or None; it comes first. Parts that several heads could use
    (`classifier`) go to the named one, else to the one with most parts, else to the one that the family lists first.
    A GPT-1 without any head is still a language model: its output is tied.
    """
    heads: list[str] = []
    taken: set[str] = set()
    for head in _candidates(config, named):
        parts = {part for _, part in HEADS.get(head).parts}
        names = parts | {rule.theirs for part in parts for rule in source.name_map.parts.get(part, ())}
        has_weights = any(source.has(part) for part in parts)
        if (has_weights or head == named) and _is_stored(source, head) and not names & taken:
            heads.append(head)
            taken |= names
    if not heads and CAUSAL in FAMILIES.get(config.model_type).heads and _is_stored(source, CAUSAL):
        return (CAUSAL,)
    return tuple(heads)


def _candidates(config: ModelConfig, named: str | None) -> list[str]:
    unfit = CAUSAL if config.attention_pattern == "full" else MASKED
    listed = [head for head in FAMILIES.get(config.model_type).heads if head != unfit]
    by_size = sorted(listed, key=lambda head: -len(HEADS.get(head).parts))
    return list(dict.fromkeys([named, *by_size] if named is not None else by_size))


def _is_stored(source: Source, head: str) -> bool:
    """Are all parts of a head there? Parts that only repeat other tensors (GPT-1's tied output) always are."""
    for _, part in HEADS.get(head).parts:
        rules = source.name_map.parts.get(part)
        if not source.has(part) and (rules is None or any(rule.tied_to is None for rule in rules)):
            return False
    return True
