"""Words are decided each for itself, or a sentence as a whole, whatever other sentences are decided with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plm.data.features.tagging import TagFeature
from plm.data.tag_schemes import allowed_transitions
from plm.heads.crf import Transitions, marginals, viterbi
from plm.tasks.tag_decoding import best_classes, forbid, word_scores

GENERATOR = torch.Generator().manual_seed(0)
SENTENCES = [torch.randn(length, 3, generator=GENERATOR).numpy() for length in (3, 1, 7, 7, 2)]
LEARNED = Transitions(*(torch.randn(shape, generator=GENERATOR) for shape in ((3,), (3, 3), (3,))))


def test_sentences_of_all_lengths_are_decided_as_if_alone() -> None:
    for logits, (path, chances) in zip(SENTENCES, best_classes(SENTENCES, LEARNED, crf=True), strict=True):
        emissions, length = torch.from_numpy(logits)[None], torch.tensor([len(logits)])
        assert path.tolist() == viterbi(emissions, length, LEARNED)[0].tolist()
        expected = marginals(emissions, length, LEARNED)[0]
        assert chances.tolist() == pytest.approx(expected[range(len(path)), path].tolist())


def test_without_a_crf_a_word_has_the_probability_of_its_own_softmax() -> None:
    bound = forbid(None, allowed_transitions(("O", "B-X", "I-X"), "bio"))
    for logits, (path, chances) in zip(SENTENCES, best_classes(SENTENCES, bound, crf=False), strict=True):
        assert chances.tolist() == pytest.approx(torch.from_numpy(logits).softmax(1)[range(len(path)), path].tolist())


def test_transitions_that_cost_nothing_change_nothing() -> None:
    free = Transitions(*(part * 0 for part in LEARNED))
    pairs = zip(best_classes(SENTENCES, None, crf=False), best_classes(SENTENCES, free, crf=True), strict=True)
    for first, second in pairs:
        assert first.classes.tolist() == second.classes.tolist()
        assert first.probabilities.tolist() == pytest.approx(second.probabilities.tolist())


def test_what_is_forbidden_does_not_happen_and_the_rest_costs_as_before() -> None:
    allowed = allowed_transitions(("O", "B-X", "I-X"), "bio")
    for transitions in (None, LEARNED):
        bound = forbid(transitions, allowed)
        learned = 0 if transitions is None else transitions.between[0, 1]
        assert bound.between[0, 1] == learned
        for path, _ in best_classes([logits * 10 for logits in SENTENCES], bound, crf=transitions is not None):
            pairs = zip([0, *path], path, strict=False)
            assert not any(before == 0 and after == 2 for before, after in pairs)


def test_a_word_has_the_scores_of_its_first_piece_or_the_mean_of_all() -> None:
    feature = TagFeature(
        [9] * 6, None, None, bounds=[1, 2, 5], example=0, index=0
    )  # special, 1 piece, 3 pieces, special
    logits = np.arange(12, dtype=np.float32).reshape(6, 2)
    assert word_scores(feature, logits, vote=False).tolist() == [[2, 3], [4, 5]]
    mean = word_scores(feature, logits, vote=True)
    assert mean.tolist() == [[2, 3], [6, 7]]
    assert mean.dtype == np.float32
