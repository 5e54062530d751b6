"""Metrics of pretraining are means over all words of the held-out text, whatever the batches."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plm.blocks.labels import IGNORED_LABEL
from plm.corpus.batches import CorpusBatches
from plm.corpus.store import Corpus
from plm.data import Batching
from plm.errors import DataError
from plm.runs.example_options import ExampleOptions, PairOptions, StretchOptions, TextOptions
from plm.runs.held_out import HeldOut, PretrainingEvaluation, Unigram, count_targets, count_tokens, entropy
from tests.runs.tiny_corpora import tiny_corpus, tiny_tokenizer
from tests.tiny_models import tiny_model

KINDS: dict[str, tuple[ExampleOptions, str, str, str]] = {
    "pairs": (PairOptions(), "wordpiece", "bert", "pretraining"),
    "texts": (TextOptions(), "wordpiece", "nezha", "masked_lm"),
    "stretches": (StretchOptions(), "bpe", "openai-gpt", "causal_lm"),
}


def evaluation(folder: Path, kind: str, *, batch_size: int, most: int | None = None) -> tuple[Any, Any, Corpus]:
    """An evaluation of a kind of examples, a random model for it, and the corpus."""
    options, vocabulary, family, head = KINDS[kind]
    if not (folder / "corpus").exists():
        tiny_corpus(folder / "corpus", tiny_tokenizer(folder / "tokenizer", vocabulary), documents=9)
    corpus = Corpus.open(folder / "corpus")
    examples = options.examples(corpus, max_length=20, seed=3)
    held_out = HeldOut(CorpusBatches(examples, batching=Batching(batch_size=batch_size), seed=0), most=most)
    asked = count_targets(held_out, options.objective, len(corpus.tokenizer))
    unigram = Unigram.of(count_tokens(corpus), asked)
    judge = PretrainingEvaluation(objective=options.objective, batches=held_out, unigram=unigram)
    return judge, tiny_model(family, head, vocab_size=len(corpus.tokenizer)), corpus


@pytest.mark.parametrize("kind", list(KINDS))
def test_metrics_do_not_depend_on_the_batches(kind: str, tmp_path: Path) -> None:
    found = []
    for batch_size in (3, 7, 1000):
        judge, model, _ = evaluation(tmp_path, kind, batch_size=batch_size)
        found.append(judge(model))
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_metrics_are_those_of_all_logits_and_labels_at_once(tmp_path: Path) -> None:
    judge, model, _ = evaluation(tmp_path, "pairs", batch_size=1000)
    (batch,) = list(judge.batches)
    model.eval()
    with torch.no_grad():
        output = model(**{name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")})
    chosen = batch["labels"] != IGNORED_LABEL
    logits, labels = output.prediction_logits[chosen], batch["labels"][chosen]
    loss = torch.nn.functional.cross_entropy(logits, labels).item()
    next_loss = torch.nn.functional.cross_entropy(output.seq_relationship_logits, batch["next_sentence_label"]).item()
    right = output.seq_relationship_logits.argmax(-1) == batch["next_sentence_label"]
    metrics = judge(model)
    assert metrics["loss"] == pytest.approx(loss + next_loss, rel=1e-5)
    assert metrics["masked_lm_loss"] == pytest.approx(loss, rel=1e-5)
    assert metrics["masked_lm_accuracy"] == pytest.approx((logits.argmax(-1) == labels).float().mean().item())
    assert metrics["next_sentence_accuracy"] == pytest.approx(right.float().mean().item())
    assert metrics["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)


def test_an_evaluation_leaves_the_mode_of_a_model_as_it_was(tmp_path: Path) -> None:
    judge, model, _ = evaluation(tmp_path, "pairs", batch_size=8, most=1)
    for training in (True, False):
        model.train(training)
        judge(model)
        assert model.training == training
        assert model.heads["pretraining"].training == training


def test_at_most_so_many_batches_are_taken_and_always_the_same(tmp_path: Path) -> None:
    judge, model, _ = evaluation(tmp_path, "stretches", batch_size=3, most=2)
    assert len(judge.batches) == 2
    assert judge(model) == judge(model)
    everything, _, _ = evaluation(tmp_path, "stretches", batch_size=3, most=1000)
    assert len(everything.batches) > 2
    assert everything.fingerprint() != judge.fingerprint()
    with pytest.raises(IndexError):
        judge.batches[2]


def test_unigrams_score_what_guessing_by_frequency_scores() -> None:
    learned, asked = np.array([0, 6, 2]), np.array([0, 1, 1])
    unigram = Unigram.of(learned, asked)
    assert unigram.loss == pytest.approx(-(math.log(7 / 11) + math.log(3 / 11)) / 2)
    assert unigram.accuracy == 0.5
    assert entropy(np.array([0, 3, 1])) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    with pytest.raises(DataError, match="no token to predict"):
        Unigram.of(learned, np.array([0, 0, 0]))


def test_tokens_of_a_corpus_and_words_to_predict_are_counted(tmp_path: Path) -> None:
    judge, _, corpus = evaluation(tmp_path, "stretches", batch_size=4)
    counts = count_tokens(corpus)
    assert counts.sum() == len(corpus.tokens)
    asked = count_targets(judge.batches, judge.objective, len(corpus.tokenizer))
    texts = sum(len(batch["index"]) for batch in judge.batches)
    assert asked.sum() == sum(int(batch["attention_mask"].sum()) for batch in judge.batches) - texts
