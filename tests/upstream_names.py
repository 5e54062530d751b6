"""What other libraries call our parameters: written down a second time, as a witness for the package's own tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

_BERT_BACKBONE = {
    "embeddings.word": "embeddings.word_embeddings",
    "embeddings.position": "embeddings.position_embeddings",
    "embeddings.token_type": "embeddings.token_type_embeddings",
    "embeddings.norm": "embeddings.LayerNorm",
    "pooler.dense": "pooler.dense",
}
_BERT_BLOCK = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.up": "intermediate.dense",
    "feed_forward.down": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}
_BERT_HEADS = {
    "language_model.dense": "cls.predictions.transform.dense",
    "language_model.norm": "cls.predictions.transform.LayerNorm",
    "language_model": "cls.predictions",  # its bias
    "next_sentence.classifier": "cls.seq_relationship",
    "classifier.linear": "classifier",
    "classifier": "classifier",
    "outputs": "qa_outputs",
    "shared": "fit_dense",
}
_GPT_BLOCK = {
    "attention.output": "attn.c_proj",
    "attention_norm": "ln_1",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
    "feed_forward_norm": "ln_2",
}
_GPT_REST = {
    "embeddings.word": "tokens_embed",
    "embeddings.position": "positions_embed",
    "classifier.linear": "score",
    "double_heads.choice": "multiple_choice_head.summary",
}


def bert_name(ours: str) -> str:
    """The name of a parameter of our Model in the releases of Google, Hugging Face and Huawei (PyTorch spelling)."""
    part, kind = ours.rsplit(".", 1)
    if part.startswith("heads."):
        head, inner = part.removeprefix("heads.").split(".", 1)
        return f"{'cls.seq_relationship' if head == 'next_sentence' else _BERT_HEADS[inner]}.{kind}"
    inner = part.removeprefix("backbone.")
    if inner.startswith("blocks."):
        _, number, piece = inner.split(".", 2)
        return f"bert.encoder.layer.{number}.{_BERT_BLOCK[piece]}.{kind}"
    return f"bert.{_BERT_BACKBONE[inner]}.{kind}"


def from_bert(theirs: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of a BERT of transformers, whose names may lack the leading `bert.`, under the given names of ours."""
    found = ((name, bert_name(name)) for name in names)
    return {name: theirs[wanted if wanted in theirs else wanted.removeprefix("bert.")] for name, wanted in found}


def from_gpt1(theirs: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Tensors of a GPT-1 of transformers, which stores its matrices as (in, out), under the given names of ours."""
    state = {name.removeprefix("transformer."): held for name, held in theirs.items()}
    return {name: _gpt1_tensor(state, name) for name in names}


def _gpt1_tensor(state: Mapping[str, Tensor], name: str) -> Tensor:
    part, kind = name.rsplit(".", 1)
    if not part.startswith("backbone.blocks."):
        return state[f"{_GPT_REST['.'.join(part.split('.')[-2:])]}.{kind}"]
    number, piece = part.removeprefix("backbone.blocks.").split(".", 1)
    if piece in _GPT_BLOCK:
        held = state[f"h.{number}.{_GPT_BLOCK[piece]}.{kind}"]
    else:
        which = ("attention.query", "attention.key", "attention.value").index(piece)
        held = state[f"h.{number}.attn.c_attn.{kind}"].chunk(3, dim=-1)[which]
    return held.t() if held.dim() == 2 else held
