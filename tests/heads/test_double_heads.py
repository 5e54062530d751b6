"""GPT-1's two heads: next words and a choice, with half the weight on the words."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from plm.errors import ShapeError
from tests.tiny_models import mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

IDS = random_ids(2, 2, 6)
MASK = mask_of(6, (0, 6), (0, 2), (3, 6), (0, 4)).view(2, 2, 6)
LAST = torch.tensor([[5, 1], [5, 3]])
CHOICE = torch.tensor([1, 0])

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


@packed_and_padded
def test_the_last_live_token_decides_unless_the_caller_says_which(inside: bool) -> None:
    model = tiny_model("openai-gpt", "double_heads").eval()
    with packing(inside=inside):
        plain, told = model(IDS, MASK), model(IDS, MASK, mc_token_ids=LAST)
        other = model(IDS, MASK, mc_token_ids=LAST - 1)
    assert plain.logits.shape == (2, 2, 6, 31)
    assert plain.mc_logits.shape == (2, 2)
    assert_close(plain.mc_logits, told.mc_logits)
    states = model.backbone(IDS, MASK).last_hidden_state
    chosen = states[torch.arange(2)[:, None], torch.arange(2), LAST - 1]
    assert_close(other.mc_logits, model.heads["double_heads"].choice(chosen).squeeze(-1))


@packed_and_padded
def test_the_loss_is_that_of_the_choice_and_half_of_that_of_the_words(inside: bool) -> None:
    model = tiny_model("openai-gpt", "double_heads").eval()
    with packing(inside=inside):
        output = model(IDS, MASK, labels=IDS, mc_labels=CHOICE)
    successors = (MASK[..., 1:] == 1) & (MASK[..., :-1] == 1)
    words = F.cross_entropy(output.logits[..., :-1, :][successors], IDS[..., 1:][successors])
    choice = F.cross_entropy(output.mc_logits, CHOICE)
    assert_close(output.lm_loss, words)
    assert_close(output.mc_loss, choice)
    assert_close(output.loss, choice + 0.5 * words)


def test_one_target_alone_gives_its_share_alone() -> None:
    model = tiny_model("openai-gpt", "double_heads").eval()
    words, choice = model(IDS, MASK, labels=IDS), model(IDS, MASK, mc_labels=CHOICE)
    assert_close(words.loss, 0.5 * words.lm_loss)
    assert words.mc_loss is None
    assert torch.equal(choice.loss, choice.mc_loss)
    assert choice.lm_loss is None
    assert model(IDS, MASK).loss is None


def test_choices_need_a_dimension() -> None:
    with pytest.raises(ShapeError, match=r"double heads need input_ids of shape \(batch, choices, length\)"):
        tiny_model("openai-gpt", "double_heads")(IDS[0])


def test_dropout_before_the_choice_is_a_field_of_its_own() -> None:
    model = tiny_model("openai-gpt", "double_heads", summary_dropout=0.25)
    assert model.heads["double_heads"].dropout.p == 0.25
