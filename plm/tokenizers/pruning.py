"""Smaller vocabularies: keep the tokens that a corpus uses, so that the embedding table shrinks with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import tokenizers

from plm.errors import TokenizerError
from plm.tokenizers.gpt1_bpe import END_OF_WORD
from plm.tokenizers.tokenizer import Tokenizer


def prune_tokenizer(
    tokenizer: Tokenizer,
    keep: Iterable[str] | Mapping[str, int],
    *,
    min_count: int = 1,
    keep_characters: bool = True,
) -> tuple[Tokenizer, list[int]]:
    """A tokenizer with fewer tokens that splits every text whose tokens are all kept just as before.

    keep: tokens, or counts by token as `count_tokens` gives them. Special and added tokens are always kept, and for
        byte pairs the tokens that a kept one is merged from.
    min_count: with counts, the least count to keep a token.
    keep_characters: True keeps all tokens of one character too, so that other words do not become unknown.
    Returns the tokenizer and, for each new id in turn, the old id: `embeddings.weight[kept_ids]` is the new table.
    Raises TokenizerError when a token to keep is not in the vocabulary.
    """
    state: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    model = state["model"]
    added = {token["content"]: token["id"] for token in state["added_tokens"]}
    ids: dict[str, int] = {**model["vocab"], **added}
    wanted = {t for t, count in keep.items() if count >= min_count} if isinstance(keep, Mapping) else set(keep)
    if strange := sorted(wanted - ids.keys()):
        raise TokenizerError(f"keep: {len(strange)} tokens are not in the vocabulary, the first is {strange[0]!r}")
    wanted |= {*added, model["unk_token"]}
    if keep_characters:
        wanted |= {token for token in ids if _characters(token, is_wordpiece=tokenizer.is_wordpiece) == 1}
    if "merges" in model:
        merges = [tuple(merge) for merge in model["merges"]]
        wanted |= _merged_from(wanted, merges)
        model["merges"] = [list(pair) for pair in merges if {*pair, "".join(pair)} <= wanted]
    kept = sorted((id_, token) for token, id_ in ids.items() if token in wanted)
    new_ids = {token: new for new, (_, token) in enumerate(kept)}
    model["vocab"] = {token: new for token, new in new_ids.items() if token in model["vocab"]}
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["content"]]
    framing = (state["post_processor"] or {}).get("special_tokens", {})
    for special in framing.values():
        special["ids"] = [new_ids[token] for token in special["tokens"]]
    return tokenizer.with_backend(tokenizers.Tokenizer.from_str(json.dumps(state))), [old for old, _ in kept]


def count_tokens(tokenizer: Tokenizer, texts: Iterable[str], *, batch_size: int = 1000) -> Counter[str]:
    """How often each token occurs in the texts, special tokens around them left out.

    texts: may be a generator over a corpus; batch_size texts are held at a time.
    """
    from tqdm import tqdm  # only here, so that loading a tokenizer stays quick

    counts: Counter[int] = Counter()
    coming = iter(tqdm(texts, desc="counting tokens", unit=" texts", disable=None))
    while batch := list(islice(coming, batch_size)):
        for ids in tokenizer.encode_batch_ids(batch, add_special_tokens=False)[0]:
            counts.update(ids)
    return Counter({tokenizer.convert_ids_to_tokens(id_): count for id_, count in counts.items()})


def _characters(token: str, *, is_wordpiece: bool) -> int:
    return len(token.removeprefix("##") if is_wordpiece else token.removesuffix(END_OF_WORD))


def _merged_from(tokens: Iterable[str], merges: Iterable[tuple[str, ...]]) -> set[str]:
    """The tokens that `tokens` are merged from, and those these are merged from, and so on."""
    parts: dict[str, set[str]] = {}
    for pair in merges:
        parts.setdefault("".join(pair), set()).update(pair)
    found: set[str] = set()
    waiting = list(tokens)
    while waiting:
        new = parts.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
