"""Live parity with transformers on tiny random models: outputs, losses and gradients, with padding on either side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plm.blocks.tap import Tap
from plm.heads.model import Model, build_model
from plm.models.config import ModelConfig, default_labels
from tests.tiny_models import gradients, mask_of, packing, random_ids, randomized, tiny_config
from tests.tolerances import assert_close
from tests.upstream_names import from_bert, from_gpt1

transformers = pytest.importorskip("transformers", reason="parity is checked where transformers is installed")

LENGTH, CLASSES = 7, 3
IDS, TYPES = random_ids(4, LENGTH), torch.randint(0, 2, (4, LENGTH), generator=torch.Generator().manual_seed(1))
FULL = mask_of(LENGTH, *[(0, LENGTH)] * 4)
RIGHT = mask_of(LENGTH, (0, 7), (0, 4), (0, 1), (0, 5))
LEFT = mask_of(LENGTH, (0, 7), (3, 7), (6, 7), (2, 7))
WORDS = torch.where(torch.rand(4, LENGTH, generator=torch.Generator().manual_seed(2)) < 0.5, IDS, -100)
DECISIONS = torch.tensor([0, 2, 1, 1])

any_padding = pytest.mark.parametrize("mask", [FULL, RIGHT, LEFT], ids=["full", "right", "left"])
# BERT of transformers pools the token at index 0, which is padding when it is on the left.
right_padding = pytest.mark.parametrize("mask", [FULL, RIGHT], ids=["full", "right"])
packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])

Convert = Callable[[Mapping[str, Tensor], Any], dict[str, Tensor]]


def positions(mask: Tensor) -> Tensor:
    """What transformers has to be told when padding is on the left; we find out."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def bert_pair(kind: str, *heads: str, **changes: Any) -> tuple[Model, nn.Module]:
    """Our model and theirs with the same random weights, in training mode without dropout."""
    fields = {"id2label": default_labels(CLASSES), **changes}
    ours = build_model(tiny_config("bert", **fields), heads, pooler=True if kind == "BertModel" else None)
    config = transformers.BertConfig(
        **_shared(ours.config),
        num_labels=ours.config.num_labels,
        problem_type=ours.config.problem_type,
        is_decoder=ours.config.attention_pattern == "causal",
        tie_word_embeddings=True,
    )
    return _filled(ours, getattr(transformers, kind)(config), from_bert)


def gpt1_pair(kind: str, *heads: str, **changes: Any) -> tuple[Model, nn.Module]:
    """As bert_pair."""
    fields = {"id2label": default_labels(CLASSES), "intermediate_size": 4 * 12, **changes}
    ours = build_model(tiny_config("openai-gpt", **fields), heads)
    config = transformers.OpenAIGPTConfig(
        vocab_size=ours.config.vocab_size,
        n_positions=ours.config.max_position_embeddings,
        n_embd=ours.config.hidden_size,
        n_layer=ours.config.num_hidden_layers,
        n_head=ours.config.num_attention_heads,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        resid_pdrop=0.0,
        summary_first_dropout=0.0,
        num_labels=CLASSES,
        pad_token_id=ours.config.pad_token_id,
    )
    return _filled(ours, getattr(transformers, kind)(config), from_gpt1)


def _shared(config: ModelConfig) -> dict[str, Any]:
    names = "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size max_position_embeddings"
    dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    return {name: getattr(config, name) for name in names.split()} | dropouts


def _filled(ours: Model, theirs: nn.Module, convert: Convert) -> tuple[Model, nn.Module]:
    randomized(theirs).train()
    ours.load_state_dict(convert(theirs.state_dict(), ours.state_dict()))
    return ours, theirs


def assert_same_gradients(ours: Model, loss: Tensor, theirs: nn.Module, expected: Tensor, convert: Convert) -> None:
    """Both losses, and every gradient that ours has."""
    assert_close(loss, expected)
    found, wanted = gradients(ours, loss), gradients(theirs, expected)
    assert len(found) >= 16 * ours.config.num_hidden_layers
    for name, gradient in convert(wanted, found).items():
        scale = max(1.0, gradient.abs().max().item())
        assert_close(found[name] / scale, gradient / scale)


# ---- BERT


@any_padding
@packed_and_padded
@pytest.mark.parametrize("typed", [True, False])
def test_bert_states(mask: Tensor, inside: bool, typed: bool) -> None:
    ours, theirs = bert_pair("BertModel")
    types = TYPES if typed else None
    with packing(inside=inside):
        output = ours(IDS, mask, types)
    expected = theirs(IDS, attention_mask=mask, token_type_ids=types, position_ids=positions(mask))
    assert_close(output["last_hidden_state"][mask == 1], expected.last_hidden_state[mask == 1])
    pooled = mask[:, 0] == 1
    assert_close(output["pooler_output"][pooled], expected.pooler_output[pooled])
    losses = (
        output["last_hidden_state"][mask == 1].square().sum(),
        expected.last_hidden_state[mask == 1].square().sum(),
    )
    assert_same_gradients(ours, losses[0], theirs, losses[1], from_bert)


def test_bert_layer_by_layer() -> None:
    ours, theirs = bert_pair("BertModel", num_hidden_layers=3)

    tap = Tap(ours, "embeddings", *(f"blocks.{n}.output" for n in range(3)))
    ours(IDS, RIGHT, tap=tap)
    expected = theirs(IDS, attention_mask=RIGHT, output_hidden_states=True).hidden_states
    for name, states in zip(
        ("embeddings", "blocks.0.output", "blocks.1.output", "blocks.2.output"), expected, strict=True
    ):
        assert_close(tap[name][RIGHT == 1], states[RIGHT == 1])


@any_padding
@packed_and_padded
@pytest.mark.parametrize(
    ("kind", "head", "causal"),
    [("BertForMaskedLM", "masked_lm", False), ("BertLMHeadModel", "causal_lm", True)],
)
def test_bert_words(kind: str, head: str, causal: bool, mask: Tensor, inside: bool) -> None:
    ours, theirs = bert_pair(kind, head, attention_pattern="causal" if causal else "full")
    labels = WORDS.masked_fill(mask == 0, -100)
    with packing(inside=inside):
        logits, loss = ours(IDS, mask, TYPES)["logits"], ours(IDS, mask, TYPES, labels=WORDS)["loss"]
    if causal and mask is LEFT:  # theirs lets the last padding token predict the first live one
        labels = labels.masked_fill(labels.ne(-100) & nn.functional.pad(mask, (1, 0))[:, :-1].eq(0), -100)
    expected = theirs(IDS, attention_mask=mask, token_type_ids=TYPES, position_ids=positions(mask), labels=labels)
    assert_close(logits[mask == 1], expected.logits[mask == 1])
    assert_same_gradients(ours, loss, theirs, expected.loss, from_bert)


@right_padding
@packed_and_padded
def test_bert_pretraining(mask: Tensor, inside: bool) -> None:
    ours, theirs = bert_pair("BertForPreTraining", "pretraining")
    targets = {"next_sentence_label": torch.tensor([0, 1, 1, 0])}
    with packing(inside=inside):
        output = ours(IDS, mask, TYPES)
        loss = ours(IDS, mask, TYPES, labels=WORDS, **targets)["loss"]
    expected = theirs(
        IDS, attention_mask=mask, token_type_ids=TYPES, labels=WORDS.masked_fill(mask == 0, -100), **targets
    )
    assert_close(output["prediction_logits"][mask == 1], expected.prediction_logits[mask == 1])
    assert_close(output["seq_relationship_logits"], expected.seq_relationship_logits)
    assert_same_gradients(ours, loss, theirs, expected.loss, from_bert)


@right_padding
@packed_and_padded
@pytest.mark.parametrize(
    ("kind", "head", "labels", "changes"),
    [
        ("BertForNextSentencePrediction", "next_sentence", DECISIONS % 2, {}),
        ("BertForSequenceClassification", "sequence_classification", DECISIONS, {}),
        ("BertForSequenceClassification", "sequence_classification", torch.rand(4, CLASSES).round(), {}),
        ("BertForSequenceClassification", "sequence_classification", torch.rand(4), {"id2label": {0: "score"}}),
        (
            "BertForSequenceClassification",
            "sequence_classification",
            torch.rand(4, CLASSES),
            {"problem_type": "regression"},
        ),
        ("BertForTokenClassification", "token_classification", WORDS.where(WORDS < 0, WORDS % CLASSES), {}),
    ],
    ids=["next sentence", "classes", "labels", "number", "numbers", "tokens"],
)
def test_bert_decisions(
    kind: str, head: str, labels: Tensor, changes: dict[str, Any], mask: Tensor, inside: bool
) -> None:
    ours, theirs = bert_pair(kind, head, **changes)
    counted = labels.masked_fill(mask == 0, -100) if labels.shape == mask.shape else labels
    with packing(inside=inside):
        output = ours(IDS, mask, TYPES, labels=labels)
    expected = theirs(IDS, attention_mask=mask, token_type_ids=TYPES, labels=counted)
    live = mask == 1 if labels.shape == mask.shape else slice(None)
    assert_close(output["logits"][live], expected.logits[live])
    assert_same_gradients(ours, output["loss"], theirs, expected.loss, from_bert)


@any_padding
def test_bert_answers(mask: Tensor) -> None:
    ours, theirs = bert_pair("BertForQuestionAnswering", "question_answering", id2label=default_labels(2))
    targets = {"start_positions": torch.tensor([2, 3, 6, 99]), "end_positions": torch.tensor([4, 99, 6, 5])}
    output = ours(IDS, mask, TYPES, **targets)
    expected = theirs(IDS, attention_mask=mask, token_type_ids=TYPES, position_ids=positions(mask), **targets)
    for name in ("start_logits", "end_logits"):
        assert_close(output[name][mask == 1], expected[name][mask == 1])
    if mask is FULL:  # theirs lets answers lie at padding
        assert_same_gradients(ours, output["loss"], theirs, expected.loss, from_bert)


@packed_and_padded
def test_bert_choices(inside: bool) -> None:
    ours, theirs = bert_pair("BertForMultipleChoice", "multiple_choice")
    ids, mask, types = (tensor.view(2, 2, LENGTH) for tensor in (IDS, RIGHT, TYPES))
    labels = torch.tensor([1, 0])
    with packing(inside=inside):
        output = ours(ids, mask, types, labels=labels)
    expected = theirs(ids, attention_mask=mask, token_type_ids=types, labels=labels)
    assert_close(output["logits"], expected.logits)
    assert_same_gradients(ours, output["loss"], theirs, expected.loss, from_bert)


@torch.no_grad()
def test_bert_in_evaluation_mode_with_its_default_dropout() -> None:
    ours, theirs = bert_pair("BertModel")
    assert_close(ours.eval()(IDS, RIGHT)["pooler_output"], theirs.eval()(IDS, attention_mask=RIGHT).pooler_output)


# ---- GPT-1


@any_padding
@packed_and_padded
@pytest.mark.parametrize("typed", [True, False])
def test_gpt1_words(mask: Tensor, inside: bool, typed: bool) -> None:
    ours, theirs = gpt1_pair("OpenAIGPTLMHeadModel", "causal_lm")
    types, labels = TYPES if typed else None, WORDS.masked_fill(mask == 0, -100)
    if mask is LEFT:  # theirs lets the last padding token predict the first live one
        labels = labels.masked_fill(nn.functional.pad(mask, (1, 0))[:, :-1].eq(0), -100)
    with packing(inside=inside):
        output = ours(IDS, mask, types, labels=WORDS)
    expected = theirs(IDS, attention_mask=mask, token_type_ids=types, position_ids=positions(mask), labels=labels)
    assert_close(output["logits"][mask == 1], expected.logits[mask == 1])
    assert_same_gradients(ours, output["loss"], theirs, expected.loss, from_gpt1)


def test_gpt1_words_without_a_mask() -> None:
    ours, theirs = gpt1_pair("OpenAIGPTLMHeadModel", "causal_lm")
    output, expected = ours(IDS, labels=IDS), theirs(IDS, labels=IDS)
    assert_close(output["logits"], expected.logits)
    assert_same_gradients(ours, output["loss"], theirs, expected.loss, from_gpt1)


@pytest.mark.parametrize("problem", ["single_label_classification", "multi_label_classification"])
def test_gpt1_decisions_at_the_last_token_before_padding(problem: str) -> None:
    ours, theirs = gpt1_pair("OpenAIGPTForSequenceClassification", "sequence_classification", pad_token_id=0)
    ids = IDS * RIGHT
    labels = DECISIONS if problem.startswith("single") else torch.rand(4, CLASSES).round()
    output, expected = ours(ids, labels=labels), theirs(ids, labels=labels)
    assert_close(output["logits"], expected.logits)
    assert_same_gradients(ours, output["loss"], theirs, expected.loss, from_gpt1)
    assert_close(ours(ids, RIGHT)["logits"], expected.logits)  # a mask says the same


def test_gpt1_words_and_a_choice() -> None:
    ours, theirs = gpt1_pair("OpenAIGPTDoubleHeadsModel", "double_heads")
    ids, words = IDS.view(2, 2, LENGTH), WORDS.masked_fill(RIGHT == 0, -100).view(2, 2, LENGTH)
    last, choice = (RIGHT.sum(1) - 1).view(2, 2), torch.tensor([1, 0])
    output = ours(ids, labels=words, mc_labels=choice, mc_token_ids=last)
    expected = theirs(ids, labels=words, mc_labels=choice, mc_token_ids=last)
    assert_close(output["logits"], expected.logits)
    assert_close(output["mc_logits"], expected.mc_logits)
    assert_close(output["lm_loss"], expected.loss)
    assert_close(output["mc_loss"], expected.mc_loss)
    assert_same_gradients(ours, output["loss"], theirs, expected.mc_loss + 0.5 * expected.loss, from_gpt1)


@torch.no_grad()
def test_gpt1_states_have_no_final_norm_and_no_pooler() -> None:
    ours, theirs = gpt1_pair("OpenAIGPTModel")
    output = ours.eval()(IDS, RIGHT)
    expected = theirs.eval()(IDS, attention_mask=RIGHT).last_hidden_state
    assert_close(output["last_hidden_state"][RIGHT == 1], expected[RIGHT == 1])
