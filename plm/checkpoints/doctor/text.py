"""Checks of the tokenizer: does it read text, and do its ids fit the model?"""

from __future__ import annotations

from collections.abc import Iterator

from plm.checkpoints.doctor.patient import Patient, Remark
from plm.tokenizers import Tokenizer

# Rows that tables are padded by for the sake of matrix kernels; more of them mean another vocabulary.
PADDING_ROWS = 128

# What a model of either kind cannot do without.
NEEDED = {True: ("unk_token", "cls_token", "sep_token", "pad_token"), False: ("unk_token",)}

MASKING_HEADS = {"masked_lm", "pretraining"}

SENTENCE_WORDS = 12


def tokenizer(patient: Patient) -> Iterator[Remark]:
    """Does it load, and is a sentence of its own words the same after encoding and decoding?"""
    found = patient.tokenizer
    if found is None:
        problem = patient.problems.get("tokenizer")
        yield ("error", problem) if problem else ("warning", "there is none: only ids can be given to the model")
        return
    for note in found.notes:
        yield "warning", note
    sentence = sample_sentence(found)
    ids = found.encode(sentence, add_special_tokens=False)
    again = found.encode(found.decode(ids), add_special_tokens=False)
    if found.unk_token_id in ids:
        yield "error", f"{sentence!r}, made of words of the vocabulary, is encoded with unknown tokens"
    elif ids != again:
        yield "error", f"{sentence!r} becomes {found.decode(ids)!r} after encoding and decoding"
    else:
        yield "ok", f"{len(found)} tokens; a sentence of its words comes back as it was"


def sample_sentence(tokenizer: Tokenizer) -> str:
    """Some words of the vocabulary, from all over it; empty when it holds none."""
    wordpiece = tokenizer.is_wordpiece
    words = [
        token if wordpiece else token.removesuffix("</w>")
        for token in tokenizer.get_vocab()
        if (token.isalpha() if wordpiece else token.endswith("</w>") and token.removesuffix("</w>").isalpha())
    ]
    step = max(len(words) // SENTENCE_WORDS, 1)
    return " ".join(words[::step][:SENTENCE_WORDS])


def vocabulary(patient: Patient) -> Iterator[Remark]:
    """Has the model a row for every token?"""
    if patient.tokenizer is None or patient.rows is None:
        yield "warning", "not examined, since tokenizer or weights cannot be read"
        return
    tokens, rows = len(patient.tokenizer), patient.rows
    if tokens > rows:
        yield "error", f"the tokenizer has {tokens} tokens, the model {rows} rows: some ids would be out of range"
    elif rows - tokens > PADDING_ROWS:
        yield "warning", f"the tokenizer has {tokens} tokens, the model {rows} rows; do they belong together?"
    else:
        yield "ok", f"{tokens} tokens, {rows} rows"


def special_tokens(patient: Patient) -> Iterator[Remark]:
    """Are they all there, under the ids that the config says?"""
    found = patient.tokenizer
    if found is None:
        yield "warning", "not examined, since there is no tokenizer that can be read"
        return
    faults = 0
    for remark in (*_missing_roles(patient, found), *_other_ids(patient, found)):
        faults += 1
        yield remark
    if not faults:
        tokens = found.special_tokens_map.values()
        yield "ok", ", ".join(f"{token} {found.convert_tokens_to_ids(token)}" for token in tokens)


def _missing_roles(patient: Patient, found: Tokenizer) -> Iterator[Remark]:
    for role in NEEDED[found.is_wordpiece]:
        if role not in found.special_tokens_map:
            yield "error", f"there is no {role} in the vocabulary"
    heads = () if patient.checkpoint is None else patient.checkpoint.stored_heads()
    if found.is_wordpiece and found.mask_token is None and MASKING_HEADS & set(heads):
        yield "error", "there is no mask_token in the vocabulary, and the model is one that fills masks"


def _other_ids(patient: Patient, found: Tokenizer) -> Iterator[Remark]:
    """Ids that the config gives to roles must be those of the tokenizer."""
    if patient.checkpoint is not None:
        padding, ours = patient.checkpoint.config.pad_token_id, found.pad_token_id
        if padding is not None and ours is not None and padding != ours:
            yield "error", f"pad_token_id is {padding} in the config, {found.pad_token} is {ours} in the vocabulary"
        elif padding is None and ours is not None:
            yield "warning", f"the tokenizer pads with {found.pad_token} ({ours}), the config names no pad_token_id"
    raw = {} if patient.config is None else patient.config[0]
    for role, token in found.special_tokens_map.items():
        said, ours = raw.get(f"{role}_id"), found.convert_tokens_to_ids(token)
        if role != "pad_token" and said is not None and said != ours:
            yield "warning", f"{role}_id is {said} in the config, {token} is {ours} in the vocabulary"
