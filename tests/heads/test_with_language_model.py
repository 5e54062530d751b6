"""A decision and half a language model, number by number: OpenAI's own graph, and sums by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import plm
from plm.blocks.layout import Packed
from plm.errors import ConfigError, ShapeError
from plm.heads.model import Model, build_model
from plm.heads.with_language_model import next_token_losses
from plm.models.config import default_labels
from tests.tiny_models import gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS = random_ids(2, 3, 6)
MASK = mask_of(6, (0, 6), (0, 2), (0, 4), (0, 3), (0, 6), (0, 1)).view(2, 3, 6)
WORDS = IDS.masked_fill(MASK == 0, -100)

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


# ---- OpenAI's train.py


@dataclass(frozen=True)
class Original:
    """What OpenAI's fine-tuning graph computes for two questions with two options, and a model with its weights."""

    model: Model
    ids: Tensor
    mask: Tensor
    golden: dict[str, Tensor]

    @classmethod
    def read(cls, folder: Path) -> Original:
        """The three added rows and the classifier are in the golden file, as train.py never stored them."""
        with np.load(folder / "golden.npz") as arrays:
            golden = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
        sizes = json.loads((folder / "sizes.json").read_text(encoding="utf-8"))
        stored = plm.AutoModel.from_pretrained(folder, num_attention_heads=sizes["n_head"])
        rows = torch.cat([stored.backbone.embeddings.word.weight, golden["special_embedding_rows"]]).detach()
        model = build_model(dataclasses.replace(stored.config, vocab_size=len(rows)), ["multiple_choice_with_lm"])
        weights = {f"backbone.{name}": value for name, value in stored.backbone.state_dict().items()}
        weights["backbone.embeddings.word.weight"] = rows
        weights["heads.multiple_choice_with_lm.decision.linear.weight"] = golden["clf_w"].T
        weights["heads.multiple_choice_with_lm.decision.linear.bias"] = golden["clf_b"]
        model.load_state_dict(weights)
        return cls(model.eval(), golden["mc_input_ids"], golden["mc_mask"].long(), golden)


@packed_and_padded
def test_decision_and_losses_are_those_of_openais_graph(checkpoint: Callable[[str], Path], inside: bool) -> None:
    case = Original.read(checkpoint("gpt1_openai_npy"))
    golden, lm_labels = case.golden, case.ids.masked_fill(case.mask == 0, -100)
    with packing(inside=inside), torch.no_grad():
        output = case.model(case.ids, case.mask, labels=golden["labels"], lm_labels=lm_labels)
    assert_close(output.logits, golden["mc_logits"])
    assert_close(output.decision_loss, golden["mc_clf_losses"].mean())
    logits = golden["mc_lm_logits_vocab_and_special"]  # (rows, length - 1, words)
    losses = F.cross_entropy(logits.transpose(1, 2), case.ids.flatten(0, 1)[:, 1:], reduction="none")
    counted = case.mask.flatten(0, 1)[:, 1:]
    assert_close(output.text_lm_loss, ((losses * counted).sum(1) / counted.sum(1)).mean())
    assert_close(output.lm_loss, losses[counted == 1].mean())
    assert_close(output.loss, output.decision_loss + 0.5 * output.text_lm_loss)


def test_with_the_position_rows_of_train_py_the_words_cost_what_they_cost_there(
    checkpoint: Callable[[str], Path],
) -> None:
    """The one difference to train.py, undone: there, the positions in use are classes of the softmax as well."""
    case = Original.read(checkpoint("gpt1_openai_npy"))
    with torch.no_grad():
        encoding = case.model.backbone(case.ids, case.mask)
        positions = case.model.backbone.embeddings.position.weight[: case.ids.shape[-1]]
        table = torch.cat([encoding.word_embeddings, positions])
        labels = case.ids.masked_fill(case.mask == 0, -100)
        _, by_text = next_token_losses(dataclasses.replace(encoding, word_embeddings=table), labels)
    expected = case.golden["mc_lm_losses_original_softmax_over_vocab_special_and_positions"]
    assert_close(by_text, expected.mean())


# ---- the language model


@packed_and_padded
def test_each_text_counts_as_much_as_any_other_or_each_token_does(inside: bool) -> None:
    model = tiny_model("openai-gpt", "multiple_choice_with_lm").eval()
    words = WORDS.clone()
    words[0, 0, 2:4] = -100  # not to be learned
    words[1, 1] = -100
    with packing(inside=inside):
        output = model(IDS, MASK, labels=torch.tensor([0, 1]), lm_labels=words)
        states = model.backbone(IDS, MASK).last_hidden_state
    logits = states @ model.backbone.embeddings.word.weight.T
    losses = F.cross_entropy(logits[..., :-1, :].flatten(0, 2), words[..., 1:].flatten(), reduction="none")
    losses, known = losses.view(6, 5), (words[..., 1:] != -100).view(6, 5)
    assert_close(output.lm_loss, losses[known].mean())
    means = [row[counted].mean() for row, counted in zip(losses, known, strict=True) if counted.any()]
    assert len(means) == 4  # one text has no second token, one is not to be learned
    assert_close(output.text_lm_loss, torch.stack(means).mean())


def test_texts_packed_by_the_caller_give_the_same() -> None:
    model = tiny_model("openai-gpt", "classification_with_lm").eval()
    lengths = [6, 2, 4]
    ids, mask = random_ids(3, 6), mask_of(6, *((0, length) for length in lengths))
    labels, live = torch.tensor([0, 1, 1]), mask.bool()
    padded = model(ids, mask, labels=labels, lm_labels=ids)
    layout = Packed.from_lengths(lengths, pattern="causal")
    packed = model(ids[live], layout=layout, labels=labels, lm_labels=ids[live])
    for name in ("logits", "decision_loss", "lm_loss", "text_lm_loss"):
        assert_close(packed[name], padded[name])


def test_nothing_is_computed_of_the_words_unless_it_is_learned() -> None:
    model = tiny_model("openai-gpt", "multiple_choice_with_lm").eval()
    labels = torch.tensor([0, 1])
    assert model(IDS, MASK, lm_labels=WORDS).keys() == ["logits"]
    alone = model(IDS, MASK, labels=labels)
    assert alone.keys() == ["loss", "logits", "decision_loss"]
    assert torch.equal(alone.loss, alone.decision_loss)
    nothing = model(IDS, MASK, labels=labels, lm_labels=torch.full_like(IDS, -100))
    assert (nothing.lm_loss.item(), nothing.text_lm_loss.item()) == (0.0, 0.0)
    assert all(gradient.isfinite().all() for gradient in gradients(model, nothing.loss).values())


# ---- the decision


@packed_and_padded
def test_several_texts_decide_by_the_sum_of_their_last_states(inside: bool) -> None:
    model = tiny_model("openai-gpt", "classification_with_lm", id2label=default_labels(4), classifier_bias=True).eval()
    with packing(inside=inside):
        both, one = model(IDS, MASK).logits, model(IDS[:, 0], MASK[:, 0]).logits
        states = model.backbone(IDS, MASK).last_hidden_state
    last = (MASK.sum(-1) - 1)[..., None, None].expand(2, 3, 1, states.shape[-1])
    ends = states.gather(2, last).squeeze(2)
    linear = model.heads["classification_with_lm"].decision.linear
    assert_close(both, linear(ends.sum(1)))
    assert_close(one, linear(ends[:, 0]))
    assert_close(model(IDS.flip(1), MASK.flip(1)).logits, both)


def test_options_are_scored_alone_and_absent_ones_never_win() -> None:
    model = tiny_model("openai-gpt", "multiple_choice_with_lm").eval()
    mask = MASK.clone()
    mask[1, 2] = 0
    logits = model(IDS, mask).logits
    assert logits[1, 2] == torch.finfo(logits.dtype).min
    order = [2, 0, 1]
    assert_close(model(IDS[:, order], mask[:, order]).logits, logits[:, order])
    with pytest.raises(ShapeError, match=r"a choice needs input_ids of shape \(batch, choices, length\)"):
        model(IDS[0], MASK[0])


def test_dropout_is_the_same_for_all_options_of_a_question() -> None:
    model = tiny_model("openai-gpt", "multiple_choice_with_lm", summary_dropout=0.5).train()
    same = IDS[:, :1].expand(2, 3, 6)
    logits = model(same, torch.ones_like(same)).logits
    assert_close(logits, logits[:, :1].expand(2, 3))
    assert not torch.equal(logits, model(same, torch.ones_like(same)).logits)


def test_dropout_and_bias_of_a_classifier_are_fields_of_the_config() -> None:
    head = tiny_model("openai-gpt", "classification_with_lm", classifier_dropout=0.3, classifier_bias=False)
    decision = head.heads["classification_with_lm"].decision
    assert (decision.dropout.p, decision.linear.bias) == (0.3, None)


@pytest.mark.parametrize("head", ["classification_with_lm", "multiple_choice_with_lm"])
def test_only_a_language_model_that_is_the_words_alone_will_do(head: str) -> None:
    with pytest.raises(ConfigError, match="must be the word embeddings alone, as GPT-1's is"):
        tiny_model("bert", head)
    assert tiny_model("bert", head, language_model_transform=False).heads[head]
