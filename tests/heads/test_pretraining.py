"""Pretraining sums the losses that it has targets for, and says how large each is."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tests.tiny_models import mask_of, random_ids, tiny_model
from tests.tolerances import assert_close

IDS, MASK = random_ids(2, 6), mask_of(6, (0, 6), (0, 3))
LABELS = torch.full((2, 6), -100)
LABELS[0, 2], LABELS[1, 1] = 4, 8
NEXT = torch.tensor([1, 0])


def test_the_loss_is_the_sum_of_both() -> None:
    model = tiny_model("nezha", "pretraining").eval()
    plain, output = model(IDS, MASK), model(IDS, MASK, labels=LABELS, next_sentence_label=NEXT)
    masked = F.cross_entropy(plain.prediction_logits.flatten(0, 1), LABELS.flatten())
    sentence = F.cross_entropy(plain.seq_relationship_logits, NEXT)
    assert_close(output.masked_lm_loss, masked)
    assert_close(output.next_sentence_loss, sentence)
    assert_close(output.loss, masked + sentence)
    assert_close(output.prediction_logits, plain.prediction_logits[LABELS != -100])


def test_one_target_alone_gives_its_loss_alone() -> None:
    model = tiny_model("bert", "pretraining").eval()
    words, pairs = model(IDS, MASK, labels=LABELS), model(IDS, MASK, next_sentence_label=NEXT)
    assert torch.equal(words.loss, words.masked_lm_loss)
    assert words.next_sentence_loss is None
    assert torch.equal(pairs.loss, pairs.next_sentence_loss)
    assert pairs.masked_lm_loss is None
    assert pairs.prediction_logits.shape == (2, 6, 31)
    assert model(IDS, MASK).loss is None


def test_its_words_are_those_of_the_masked_language_model() -> None:
    model = tiny_model("bert", "pretraining", "masked_lm").eval()
    trained, alone = (model.heads[name].language_model for name in ("pretraining", "masked_lm"))
    alone.load_state_dict(trained.state_dict())
    assert torch.equal(model(IDS, MASK, head="masked_lm")["logits"], model(IDS, MASK).prediction_logits)
