"""Several tasks in one stream: exact shares, settled in advance, found again from any place, no example favoured."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.config import from_dict
from plm.data.batches import Batches
from plm.data.collate import pad_batch
from plm.data.features.classification import Feature
from plm.data.mixture import Mixing, Mixture
from plm.data.plan import batches_by_count, permutation
from plm.errors import ConfigError, DataError


@dataclass
class Numbered:
    """A task whose batches hold one number each, all of 0 to size - 1 in every pass, in an order of its own."""

    size: int
    seed: int = 0
    made: list[tuple[int, int]] = field(default_factory=list)

    def __len__(self) -> int:
        return self.size

    def epoch(self, number: int) -> Any:
        order, made = permutation(self.size, seed=self.seed, epoch=number), self.made

        class Pass:
            def __len__(self) -> int:
                return len(order)

            def __getitem__(self, place: int) -> dict[str, Tensor]:
                made.append((number, place))
                return {"number": torch.tensor([int(order[place])])}

        return Pass()


def mixed(
    sizes: dict[str, int], accumulation: int = 1, epochs: float | None = None, seed: int = 0, **mixing: Any
) -> Mixture:
    return Mixture(
        {name: Numbered(size) for name, size in sizes.items()},
        Mixing(**mixing),
        seed=seed,
        accumulation=accumulation,
        epochs=epochs,
    )


def tasks_of(mixture: Mixture, epoch: int) -> list[int]:
    return [int(batch["task"]) for batch in mixture.epoch(epoch)]


def numbers_of(mixture: Mixture, task: int, epochs: int) -> list[int]:
    return [
        int(batch["number"]) for epoch in range(epochs) for batch in mixture.epoch(epoch) if int(batch["task"]) == task
    ]


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)
RATIOS = st.lists(st.floats(0.05, 5.0), min_size=4, max_size=4)
MIXTURES = {
    "sizes": SIZES,
    "ratios": RATIOS,
    "exponent": st.sampled_from([0.0, 0.5, 1 / 3, 1.0]),
    "accumulation": st.integers(1, 5),
    "apart": st.booleans(),
    "order": st.sampled_from(["even", "shuffled"]),
}


def build(
    sizes: list[int], ratios: list[float], exponent: float, accumulation: int, apart: bool, order: str, **more: Any
) -> Mixture:
    names, least = "abcd"[: len(sizes)], accumulation if apart else 1
    return mixed(
        {name: max(size, least) for name, size in zip(names, sizes, strict=True)},
        accumulation=accumulation,
        ratios=dict(zip(names, ratios, strict=False)),
        size_exponent=exponent,
        one_task_per_update=apart,
        order=order,
        **more,
    )


# ---- laws


@given(**MIXTURES)
@settings(deadline=None, max_examples=60)
def test_every_task_has_its_share_rounded_up_after_every_epoch(**drawn: Any) -> None:
    mixture, block = build(**drawn), drawn["accumulation"] if drawn["apart"] else 1
    rates = {name: mixture.mixing.ratios[name] * size ** drawn["exponent"] for name, size in mixture.sizes.items()}
    leader = max(rates, key=lambda name: mixture.sizes[name] / rates[name])
    for epochs in (1, 2, 5):
        seen = Counter(task for epoch in range(epochs) for task in tasks_of(mixture, epoch))
        assert dict(zip(mixture.tasks, (seen[n] for n in range(len(rates))), strict=True)) == mixture.counts(epochs)
        for name, count in mixture.counts(epochs).items():
            share = epochs * mixture.sizes[leader] * rates[name] / rates[leader]
            assert -1e-4 <= count - share < block + 1e-4


@given(**MIXTURES)
@settings(deadline=None, max_examples=40)
def test_an_epoch_holds_every_example_and_no_example_is_favoured(**drawn: Any) -> None:
    mixture = build(**drawn)
    for task, size in enumerate(mixture.sizes.values()):
        assert set(numbers_of(mixture, task, 1)) == set(range(size))
        seen = Counter(numbers_of(mixture, task, 3))
        assert max(seen.values()) - min(seen.values()) <= 1


@given(start=st.integers(0, 500), epoch=st.integers(0, 3), **MIXTURES)
@settings(deadline=None, max_examples=40)
def test_any_place_is_found_again_without_what_was_before(start: int, epoch: int, **drawn: Any) -> None:
    whole = [(int(batch["task"]), int(batch["number"])) for batch in build(**drawn).epoch(epoch)]
    again = build(**drawn)
    source, start = again.epoch(epoch), start % len(whole)
    rest = [(int(source[n]["task"]), int(source[n]["number"])) for n in range(start, len(source))]
    assert rest == whole[start:]
    assert sum(len(task.made) for task in again.tasks.values()) == 2 * len(rest)  # type: ignore[attr-defined]


@given(sizes=SIZES, ratios=RATIOS)
@settings(deadline=None, max_examples=60)
def test_evenly_means_that_at_any_moment_every_task_has_had_its_share(sizes: list[int], ratios: list[float]) -> None:
    mixture = build(sizes, ratios, 0.0, 1, False, "even")
    order = np.array(tasks_of(mixture, 0))
    places = np.arange(1, len(order) + 1)
    for task, count in enumerate(mixture.counts().values()):
        share = count / len(order)
        assert np.abs((order == task).cumsum() - places * share).max() <= 0.5 + 0.5 * len(sizes) * share + 1e-9


@given(**MIXTURES)
@settings(deadline=None, max_examples=40)
def test_one_task_an_update_if_wanted(**drawn: Any) -> None:
    mixture, size = build(**drawn | {"apart": True}), drawn["accumulation"]
    order = tasks_of(mixture, 1)
    assert len(order) % size == 0
    assert all(len(set(order[start : start + size])) == 1 for start in range(0, len(order), size))


@given(**MIXTURES)
@settings(deadline=None, max_examples=40)
def test_what_a_run_has_seen_is_known_at_any_place(**drawn: Any) -> None:
    mixture = build(**drawn)
    seen = Counter(tasks_of(mixture, 0))
    for place, task in enumerate([*tasks_of(mixture, 1), None]):
        assert list(mixture.counts(1, place).values()) == [seen[number] for number in range(len(mixture.tasks))]
        seen[task] += 1
    assert mixture.counts(1, place) == mixture.counts(2)


# ---- what ratios mean


@pytest.mark.parametrize(
    ("mixing", "counts"),
    [
        ({}, {"a": 64, "b": 64, "c": 64}),
        ({"size_exponent": 1.0}, {"a": 64, "b": 16, "c": 4}),
        ({"size_exponent": 0.5}, {"a": 64, "b": 32, "c": 16}),
        ({"size_exponent": 0.25}, {"a": 64, "b": 46, "c": 32}),  # 45.25, rounded up
        ({"ratios": {"b": 0.25, "c": 2.0}}, {"a": 64, "b": 16, "c": 128}),
        ({"ratios": {"c": 0.5}, "size_exponent": 1.0}, {"a": 128, "b": 32, "c": 4}),  # until all of c was there
        ({"epoch_of": ("b",)}, {"a": 16, "b": 16, "c": 16}),
        ({"epoch_of": ("b", "c"), "ratios": {"a": 0.5}}, {"a": 8, "b": 16, "c": 16}),
    ],
)
def test_ratios_sizes_and_auxiliary_tasks(mixing: dict[str, Any], counts: dict[str, int]) -> None:
    assert mixed({"a": 64, "b": 16, "c": 4}, **mixing).counts() == counts


def test_in_proportion_to_size_an_epoch_is_one_pass_over_everything() -> None:
    mixture = mixed({"a": 30, "b": 7}, size_exponent=1.0)
    for task, size in enumerate((30, 7)):
        assert sorted(numbers_of(mixture, task, 1)) == list(range(size))


def test_annealed_ratios_go_from_the_first_to_the_last() -> None:
    mixture = mixed({"a": 64, "b": 16}, epochs=3, size_exponent=1.0, last_size_exponent=0.0)
    shares = [Counter(tasks_of(mixture, epoch)) for epoch in range(5)]
    assert [share[0] for share in shares] == [64] * 5
    assert [share[1] for share in shares] == [16, 32, 64, 64, 64]
    assert mixture.counts(5) == {"a": 320, "b": 240}


def test_whole_ratios_stand_in_every_update() -> None:
    order = tasks_of(mixed({"a": 40, "b": 10, "c": 20}, ratios={"a": 2.0, "c": 1.0}), 0)
    groups = [Counter(order[start : start + 4]) for start in range(0, len(order), 4)]
    assert all(group == {0: 2, 1: 1, 2: 1} for group in groups)


def test_the_order_of_tasks_depends_on_seed_and_epoch_alone() -> None:
    sizes = {"a": 20, "b": 20}
    for order in ("even", "shuffled"):
        one, other = (mixed(sizes, order=order, seed=3) for _ in range(2))
        assert tasks_of(one, 2) == tasks_of(other, 2)
    shuffled = mixed(sizes, order="shuffled", seed=3)
    assert tasks_of(shuffled, 0) != tasks_of(shuffled, 1)
    assert tasks_of(shuffled, 0) != tasks_of(mixed(sizes, order="shuffled", seed=4), 0)


def test_auxiliary_tasks_go_on_where_they_stopped() -> None:
    mixture = mixed({"main": 4, "aux": 10}, epoch_of=("main",))
    numbers = numbers_of(mixture, 1, 5)
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10))
    assert numbers[:10] != numbers[10:]  # the second pass is shuffled anew


def test_epochs_whose_passes_differ_in_length_stay_whole() -> None:
    class Changing(Numbered):
        def epoch(self, number: int) -> Any:
            return Numbered(self.size + number % 3, self.seed).epoch(number)

    mixture = Mixture({"a": Changing(5), "b": Numbered(3)})
    for epoch in range(6):
        count = 5 + epoch % 3
        batches = [batch for batch in mixture.epoch(epoch) if int(batch["task"]) == 0]
        assert sorted(int(batch["number"]) for batch in batches) == list(range(count))
        assert len(mixture.epoch(epoch)) == 2 * count


# ---- with real batches, and what people see


def real(count: int, batch_size: int) -> Batches[Feature]:
    features = [Feature([1] * (1 + n % 5), None, n % 2, n) for n in range(count)]
    lengths = [len(feature.input_ids) for feature in features]
    return Batches(
        features,
        plan=lambda epoch: batches_by_count(lengths, batch_size=batch_size, seed=1, epoch=epoch),
        collate=lambda chosen: pad_batch(chosen, pad_token_id=0),
    )


def test_batches_of_every_task_keep_their_own_size() -> None:
    mixture = Mixture({"few": real(10, 2), "many": real(40, 8)})
    for batch in mixture.epoch(0):
        assert len(batch["index"]) == (2, 8)[int(batch["task"])]
        assert (batch["task"].ndim, batch["task"].dtype, batch["task"].device.type) == (0, torch.int64, "cpu")
    assert len(mixture) == len(mixture.epoch(0)) == len(list(mixture.epoch(0))) == 10
    with pytest.raises(IndexError):
        mixture.epoch(0)[10]


def test_people_are_told_what_the_mixture_really_holds() -> None:
    assert mixed({"intent": 20, "words": 100}, epoch_of=("intent",), ratios={"words": 0.5}).lines(epochs=3) == [
        "intent: 60 of 90 batches (66.7%), 3.00 passes",
        "words: 30 of 90 batches (33.3%), 0.30 passes",
    ]


def test_a_run_is_told_from_one_on_other_data_or_in_another_mixture() -> None:
    told = Mixture({"a": real(10, 2), "b": real(40, 8)}).fingerprint()
    assert told == Mixture({"a": real(10, 2), "b": real(40, 8)}).fingerprint()
    assert told["a: examples"] == 10
    assert told != Mixture({"a": real(11, 2), "b": real(40, 8)}).fingerprint()
    assert told != Mixture({"a": real(10, 2), "b": real(40, 8)}, Mixing(ratios={"a": 2.0})).fingerprint()
    assert "a: examples" not in mixed({"a": 3}).fingerprint()


# ---- mistakes


def test_names_of_no_task_and_numbers_of_no_meaning_are_refused() -> None:
    for mixing in ({"ratios": {"sluts": 1.0}}, {"epoch_of": ("sluts",)}):
        with pytest.raises(ConfigError, match=r"no task 'sluts'; did you mean 'slots'\? \(there are: slots, intent\)"):
            mixed({"slots": 2, "intent": 3}, **mixing)
    for ratio in (0.0, -1.0):
        with pytest.raises(ConfigError, match="ratios: a: expected a positive number"):
            Mixing(ratios={"a": ratio})
    with pytest.raises(ConfigError, match="expected a finite number"):
        Mixing(ratios={"a": math.inf})
    with pytest.raises(ConfigError, match="size_exponent: expected a number from 0 to 1"):
        Mixing(size_exponent=2.0)
    with pytest.raises(ConfigError, match="order: 'evn' is not one of 'even', 'shuffled'; did you mean 'even'"):
        from_dict(Mixing, {"order": "evn"})
    with pytest.raises(ConfigError, match="needs the number of epochs of the run"):
        mixed({"a": 1}, last_size_exponent=0.2)
    with pytest.raises(ConfigError, match="at least one task"):
        mixed({})
    with pytest.raises(ConfigError, match="accumulation: expected a positive number"):
        mixed({"a": 1}, accumulation=0)
    with pytest.raises(ConfigError, match="an epoch has 3 batches of 'a', fewer than the 4 of an update"):
        mixed({"a": 3, "b": 2}, accumulation=4, one_task_per_update=True)
    with pytest.raises(DataError, match="the task 'b' has no batches"):
        mixed({"a": 1, "b": 0})


def test_a_recipe_can_hold_it() -> None:
    values = {"ratios": {"a": 2}, "size_exponent": 0.5, "epoch_of": ["a"], "one_task_per_update": True}
    assert from_dict(Mixing, values) == Mixing(
        ratios={"a": 2.0}, size_exponent=0.5, epoch_of=("a",), one_task_per_update=True
    )
