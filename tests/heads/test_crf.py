"""A CRF knows all sequences: its sums and maxima are those of going through every one of them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.blocks.layout import Packed
from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.heads.crf import Transitions, by_sequence, log_likelihood, marginals, viterbi
from plm.heads.model import Model
from plm.models.config import default_labels
from plm.models.init import initialize
from tests.checkpoints.tiny_checkpoints import assert_same_parameters, put, stored_config, stored_tensors
from tests.tiny_models import FAMILY_NAMES, gradients, mask_of, packing, random_ids, tiny_model
from tests.tolerances import assert_close

CLASSES = 3
LENGTHS = torch.tensor([4, 1, 3])
IDS, MASK = random_ids(3, 6), mask_of(6, (0, 6), (0, 2), (3, 6))

packed_and_padded = pytest.mark.parametrize("inside", [True, False], ids=["packed", "padded"])


def chain(seed: int, *, classes: int = CLASSES) -> tuple[Tensor, Transitions]:
    """Random emissions for LENGTHS and random transitions."""
    generator = torch.Generator().manual_seed(seed)
    emissions = torch.randn(3, 4, classes, generator=generator) * 2
    parts = (torch.randn(shape, generator=generator) * 2 for shape in ((classes,), (classes, classes), (classes,)))
    return emissions, Transitions(*parts)


def score(emissions: Tensor, path: tuple[int, ...], transitions: Transitions) -> float:
    """The definition, term by term; emissions: (words, classes)."""
    total = float(transitions.start[path[0]] + transitions.end[path[-1]])
    total += sum(float(emissions[word, place]) for word, place in enumerate(path))
    return total + sum(float(transitions.between[pair]) for pair in itertools.pairwise(path))


def every_path(length: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(CLASSES), repeat=length))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_the_likelihood_is_that_of_all_sequences_listed(seed: int) -> None:
    emissions, transitions = chain(seed)
    classes = torch.randint(0, CLASSES, (3, 4), generator=torch.Generator().manual_seed(seed))
    found = log_likelihood(emissions, classes, LENGTHS, transitions)
    for row, length in enumerate(LENGTHS.tolist()):
        scores = [score(emissions[row], path, transitions) for path in every_path(length)]
        highest = max(scores)
        partition = highest + math.log(sum(math.exp(value - highest) for value in scores))
        expected = score(emissions[row], tuple(classes[row, :length].tolist()), transitions) - partition
        assert found[row].item() == pytest.approx(expected, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_viterbi_finds_the_best_of_all_sequences_listed(seed: int) -> None:
    emissions, transitions = chain(seed)
    found = viterbi(emissions, LENGTHS, transitions)
    for row, length in enumerate(LENGTHS.tolist()):
        best = max(every_path(length), key=lambda path: score(emissions[row], path, transitions))
        assert tuple(found[row, :length].tolist()) == best
        assert (found[row, length:] == -100).all()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000))
def test_a_marginal_is_the_sum_over_all_sequences_with_that_class(seed: int) -> None:
    emissions, transitions = chain(seed)
    found = marginals(emissions, LENGTHS, transitions)
    for row, length in enumerate(LENGTHS.tolist()):
        chances = torch.tensor([score(emissions[row], path, transitions) for path in every_path(length)]).softmax(0)
        expected = torch.zeros(4, CLASSES)
        for path, chance in zip(every_path(length), chances, strict=True):
            expected[range(length), path] += chance
        assert_close(found[row], expected, factor=10)  # sums of 81 products


def test_probabilities_of_all_sequences_add_up_to_one() -> None:
    emissions, transitions = chain(0)
    paths = torch.tensor(every_path(4))
    found = log_likelihood(emissions[:1].expand(len(paths), -1, -1), paths, torch.full((len(paths),), 4), transitions)
    assert found.exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_without_transitions_it_is_softmax_for_every_word() -> None:
    emissions, transitions = chain(1)
    free = Transitions(*(part * 0 for part in transitions))
    classes = emissions.argmax(2)
    chosen = emissions.log_softmax(2).gather(2, classes[..., None])[..., 0]
    live = torch.arange(4) < LENGTHS[:, None]
    assert_close(log_likelihood(emissions, classes, LENGTHS, free), (chosen * live).sum(1))
    assert torch.equal(viterbi(emissions, LENGTHS, free), classes.masked_fill(~live, -100))


def test_what_is_filled_up_changes_nothing() -> None:
    emissions, transitions = chain(2)
    classes, other = torch.zeros(3, 4, dtype=torch.int64), emissions.clone()
    other[1, 1:], other[2, 3] = 99.0, -99.0
    for call in (lambda held: log_likelihood(held, classes, LENGTHS, transitions),
                 lambda held: viterbi(held, LENGTHS, transitions)):  # fmt: skip
        assert torch.equal(call(emissions), call(other))


def test_long_sentences_and_large_scores_stay_finite() -> None:
    transitions = Transitions(torch.zeros(2), torch.tensor([[0.0, -1e4], [-1e4, 0.0]]), torch.zeros(2))
    emissions = torch.tensor([0.0, 50.0]).expand(1, 2000, 2)
    found = log_likelihood(emissions, torch.ones(1, 2000, dtype=torch.int64), torch.tensor([2000]), transitions)
    assert found.item() == pytest.approx(0.0, abs=0.1)  # of sums around 100,000 in float32
    assert viterbi(emissions, torch.tensor([2000]), transitions).unique().tolist() == [1]


def test_rows_are_gathered_by_sequence() -> None:
    rows, sequence = torch.arange(5), torch.tensor([0, 0, 3, 4, 4])
    filled, lengths = by_sequence(rows, sequence)
    assert filled.tolist() == [[0, 1], [2, 0], [3, 4]]
    assert lengths.tolist() == [2, 1, 2]


# ------------------------------------------------------------------------------------------------------------ the head


def crf_model(family: str = "bert", **changes: float) -> Model:
    return tiny_model(family, "crf_token_classification", id2label=default_labels(CLASSES), **changes)


def labels_with_gaps() -> Tensor:
    labels = torch.randint(0, CLASSES, (3, 6), generator=torch.Generator().manual_seed(0))
    labels[0, [0, 2, 3]] = -100
    labels[2, 4] = -100
    return labels


@packed_and_padded
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_loss_is_by_counted_token_of_the_sequences_that_these_form(family: str, inside: bool) -> None:
    model, labels = crf_model(family).eval(), labels_with_gaps()
    with packing(inside=inside):
        output = model(IDS, MASK, labels=labels)
    assert output["logits"].shape == (3, 6, CLASSES)
    counted = (MASK == 1) & (labels != -100)
    total = 0.0
    for row in range(3):
        emissions = output["logits"][row][counted[row]].detach()
        classes = labels[row][counted[row]]
        one = torch.tensor([len(classes)])
        total -= log_likelihood(emissions[None], classes[None], one, output.scores).item()
    assert output["loss"].item() == pytest.approx(total / int(counted.sum()), rel=1e-5)


def test_batches_add_up_by_their_counted_tokens() -> None:
    model, labels = crf_model().train(), labels_with_gaps()
    whole = gradients(model, model(IDS, MASK, labels=labels)["loss"])
    weights = [int(((labels[row] != -100) & (MASK[row] == 1)).sum()) for row in range(3)]
    parts = sum(
        model(IDS[row : row + 1], MASK[row : row + 1], labels=labels[row : row + 1])["loss"] * weights[row]
        for row in range(3)
    )
    assert isinstance(parts, Tensor)
    for name, gradient in gradients(model, parts / sum(weights)).items():
        assert_close(gradient, whole[name])


def test_texts_packed_by_the_caller_have_packed_labels() -> None:
    model, live, labels = crf_model().eval(), MASK == 1, labels_with_gaps()
    packed = model(IDS[live], layout=Packed.from_lengths([6, 2, 3]), labels=labels[live])
    assert_close(packed["loss"], model(IDS, MASK, labels=labels)["loss"])
    assert packed["logits"].shape == (11, CLASSES)


def test_without_counted_tokens_the_loss_is_zero_with_gradients_of_zero() -> None:
    model = crf_model()
    loss = model(IDS, MASK, labels=torch.full_like(IDS, -100))["loss"]
    found = gradients(model, loss)
    assert loss.item() == 0
    assert "heads.crf_token_classification.crf.transitions" in found
    assert not any(gradient.any() for gradient in found.values())


def test_sums_are_taken_in_float32_whatever_the_model_is_in() -> None:
    model = crf_model().eval().bfloat16()
    output = model(IDS, MASK, labels=labels_with_gaps())
    assert output["loss"].dtype == output["transitions"].dtype == torch.float32
    assert output["logits"].dtype == torch.bfloat16


def test_new_transitions_prefer_nothing() -> None:
    model = crf_model()
    initialize(model, std=0.02)
    crf = model.heads["crf_token_classification"].crf
    assert not crf.start_transitions.any()
    assert not crf.end_transitions.any()
    assert 0 < crf.transitions.abs().max() < 0.2


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_saved_crf_is_found_and_is_the_same(family: str, tmp_path: Path) -> None:
    model = crf_model(family).eval()
    save_model(model, tmp_path)
    again, report = load_model(tmp_path)
    assert list(again.heads) == ["crf_token_classification"]
    assert report.missing == report.unused == ()
    assert_same_parameters(model, again)


def test_it_is_stored_under_the_names_of_pytorch_crf_also_behind_wrappers(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "crf_token_classification")
    assert {"crf.start_transitions", "crf.transitions", "crf.end_transitions"} <= tensors.keys()
    wrapped = {f"module.{name}": tensor for name, tensor in tensors.items()}
    put(tmp_path, wrapped, stored_config("bert", "crf_token_classification"))
    again, report = load_model(tmp_path)
    assert list(again.heads) == ["crf_token_classification"]
    assert report.missing == report.unused == ()


def test_a_softmax_tagger_becomes_a_crf_that_starts_from_its_classifier(tmp_path: Path) -> None:
    tagger = tiny_model("bert", "token_classification", id2label=default_labels(CLASSES)).eval()
    save_model(tagger, tmp_path)
    model, report = load_model(tmp_path, heads=("crf_token_classification",))
    assert_close(model(IDS, MASK)["logits"], tagger(IDS, MASK)["logits"])
    assert {name.split(".")[-1] for name in report.missing} == {"start_transitions", "transitions", "end_transitions"}
