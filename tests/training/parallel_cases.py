"""What one process and several must do alike: updates, predictions and messages, run by `parallel_worker`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from plm.heads.matching import comparable
from plm.training import SupervisedStep, gradient_sum, predict, supervised_step
from plm.training.distributed import Processes
from plm.training.evaluation import collect
from plm.training.gradient_sum import GradientSum
from plm.training.losses import Kind
from plm.training.mixture_step import MixtureStep, OneHead
from plm.training.sharded import sharded, whole
from plm.training.step import Batch, Step
from plm.training.update import Updater
from tests.tiny_models import random_ids, tiny_model
from tests.training.test_accumulation import CASES, ROWS, Case, classes, live_labels, some
from tests.training.test_mixture_step import batch_of, several, steps
from tests.training.tiny import config

Outcome = tuple[dict[str, Tensor], list[dict[str, Any]]]
"""Tensors and records to compare."""

InParallel = Callable[[Processes, str], Outcome]
"""(processes, "ddp" or "fsdp") -> what comes of a case."""


def updates(
    model: nn.Module, step: Step, groups: list[list[Batch]], processes: Processes, *, parallel: str, **values: object
) -> Outcome:
    """Weights after an update for each group, by plain gradient descent, which shows every difference, and the logs."""
    is_sharded = parallel == "fsdp" and processes.count > 1
    updater = Updater(sharded(model, processes) if is_sharded else model, config(**values), step, processes)
    updater.optimizer, updater.peaks = torch.optim.SGD(updater.parameters, lr=0.1), [0.1]
    logs: list[dict[str, Any]] = []
    for number, group in enumerate(groups, 1):
        logged = updater(group, number=number, factor=1.0)
        logs.append(logged | {"tokens": updater.tokens, "positions": updater.positions})
    return whole(updater.model.state_dict(), keep=True), logs


def split(batch: Batch, *sizes: int) -> list[Batch]:
    """A batch in parts of these numbers of rows; a number goes into all of them."""
    columns = (
        tensor[: sum(sizes)].split(list(sizes)) if tensor.ndim else [tensor] * len(sizes) for tensor in batch.values()
    )
    cut = zip(*columns, strict=True)
    return [dict(zip(batch, tensors, strict=True)) for tensors in cut]


MORE_CASES = {
    "tag sequences": dataclasses.replace(CASES["tags"], head="crf_token_classification"),
    "matching": Case(
        "matching",
        lambda: {"labels": some(3, ROWS, 3, ignored=0.2)},
        weigh=lambda batch: {"loss": comparable(batch["labels"]).sum()},
        choices=3,
    ),
}


def of_head(
    name: str,
    sizes: list[list[int]],
    processes: Processes,
    parallel: str,
    *,
    kind: Kind | None = None,
    **values: object,
) -> Outcome:
    """Updates of a head. sizes: rows of the batches of each update. kind: of its labels. values: of the config."""
    case = (CASES | MORE_CASES)[name]
    groups = [split(case.batch(), *each) for each in sizes]
    step = supervised_step(config(**values), weigh=case.weigh, factors=case.factors or {}, kind=kind)
    return updates(case.model(), step, groups, processes, parallel=parallel, **values)


def of_mixture(processes: Processes, parallel: str) -> Outcome:
    """Tasks with heads of their own, of which a process may lack one, and a head that nothing trains."""
    steps: dict[str, Step] = {
        "sequence_classification": supervised_step(config(label_smoothing=0.2), kind="single"),
        "crf_token_classification": SupervisedStep(weigh=live_labels),
        "pretraining": CASES["masked words and next sentence"].step(),
    }
    cases = [CASES["classes"], MORE_CASES["tag sequences"], CASES["masked words and next sentence"]]
    parts = [
        {**batch, "task": torch.tensor(task)}
        for task, sizes in enumerate([(3, 1, 4), (1, 2), (2, 5)])
        for batch in split(cases[task].batch(), *sizes)
    ]
    order = [parts[number] for number in (0, 3, 5, 1, 4, 2, 6)]
    model = tiny_model("bert", *steps, "next_sentence", **classes(4))
    groups = [order, order[:1], order[1:2], order[2:5]]
    return updates(model, MixtureStep(steps, {"pretraining": 0.5}), groups, processes, parallel=parallel)


def of_several_heads(processes: Processes, parallel: str) -> Outcome:
    """Tasks with losses of several denominators, mixed inside an update and one by one; scores with one head each."""
    groups = [[batch_of("intent", 4), batch_of("slots", 2), batch_of("spans")], [batch_of("slots", 5)]]
    model = several()
    weights, logs = updates(model, steps(loss_weights={"slots": 0.5}), groups, processes, parallel=parallel)
    used = sharded(several(), processes) if parallel == "fsdp" and processes.count > 1 else several()
    texts = {name: tensor for name, tensor in batch_of("intent", 5).items() if name != "task"}
    logits, _ = predict(OneHead(used, "intent"), split(texts, 2, 2, 1), processes=processes)
    return {**weights, "logits": logits}, logs


def with_dropout(processes: Processes, parallel: str) -> Outcome:
    """Whole batches, whose dropout does not depend on who computes them."""
    case = CASES["masked words"]
    model = tiny_model("bert", case.head, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    groups = [split(case.batch(), 3, 1, 2, 2), split(case.batch(), 2, 5)]
    return updates(model, case.step(), groups, processes, parallel=parallel)


def recomputed(processes: Processes, parallel: str) -> Outcome:
    """Blocks computed again in the backward pass."""
    case = CASES["masked words"]
    groups = [split(case.batch(), 3, 5)]
    return updates(
        case.model(), case.step(), groups, processes, parallel=parallel, gradient_checkpointing=True, precision="bf16"
    )


def failing(processes: Processes, parallel: str) -> Outcome:
    """A loss that is not finite in one process."""
    model = tiny_model("bert", "sequence_classification")
    texts: Batch = {"input_ids": random_ids(4, 5), "labels": torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None].expand(4, 2)}
    batch = {**texts, "labels": texts["labels"].clone(), "index": torch.arange(10, 14)}
    batch["labels"][3] = torch.inf
    try:
        updates(model, SupervisedStep(), [split(batch, 2, 1, 1)], processes, parallel=parallel)
    except RuntimeError as error:
        return {}, [{"error": str(error)}]
    raise AssertionError("an infinite loss must end the run")


def predictions(processes: Processes, parallel: str) -> Outcome:
    """13 examples in 5 batches."""
    model = tiny_model("bert", "sequence_classification")
    used = sharded(model, processes) if parallel == "fsdp" and processes.count > 1 else model
    batch = {"input_ids": random_ids(13, 6), "labels": torch.arange(13) % 2, "index": torch.arange(13).flip(0)}
    batches = split(batch, 4, 3, 3, 2, 1)
    logits, labels = predict(used, batches, processes=processes)
    assert labels is not None
    kept = collect(used, batches, lambda batch, output: dict.fromkeys(batch["index"].tolist(), 1), processes=processes)
    bare = [{"input_ids": each["input_ids"]} for each in batches]
    in_order, _ = predict(used, bare, processes=processes)
    return {"logits": logits, "labels": labels, "in order": in_order}, [{"kept": list(kept)}]


def messages(processes: Processes, parallel: str) -> Outcome:
    """What processes tell each other; alone, this says what it should come to."""
    rank, count = processes.rank, processes.count
    both = processes.sums({"common": 0.5 if count == 2 else 1.0} | ({"only the first": 3.0} if rank == 0 else {}))
    again = processes.sums({"common": 1.0 / count})
    reasons = [processes.agree("stop" if rank == count - 1 else None), processes.agree(None)]
    told = processes.from_main(["from", rank])
    gathered = [value for values in processes.gather([rank] if count == 2 else [0, 1]) for value in values]
    processes.barrier()
    records = [both, again, {"reasons": reasons, "told": told, "gathered": gathered}]
    return {}, records


def gradients(processes: Processes, parallel: str) -> Outcome:
    """Gradients that one process lacks, that all lack, and more numbers than travel together."""
    rank, count = processes.rank, processes.count
    parameters = [torch.zeros(3), torch.zeros(2, 2), torch.zeros(4), torch.zeros(5, dtype=torch.bfloat16)]
    if rank == 0:
        parameters[0].grad = torch.tensor([1.0, 2.0, 3.0])
    parameters[1].grad = torch.full((2, 2), 1.0 / count)
    parameters[3].grad = torch.ones(5, dtype=torch.bfloat16) / count
    with mock.patch.object(gradient_sum, "_BUCKET", 4):
        GradientSum(parameters, processes).finish()
    assert parameters[2].grad is None
    return {str(number): each.grad for number, each in enumerate(parameters) if each.grad is not None}, []


UNEQUAL = [[3, 1, 2], [2, 6], [8]]

TASKS_IN_PARALLEL: dict[str, InParallel] = {
    "classes": functools.partial(of_head, "classes", UNEQUAL),
    "classes, smoothed": functools.partial(of_head, "classes", UNEQUAL, kind="single", label_smoothing=0.2),
    "several classes": functools.partial(of_head, "several classes", UNEQUAL),
    "several classes, smoothed": functools.partial(
        of_head, "several classes", UNEQUAL, kind="multi", label_smoothing=0.2
    ),
    "scores": functools.partial(of_head, "scores", UNEQUAL),
    "tags": functools.partial(of_head, "tags", [[1, 1, 1, 2], [5, 2]]),
    "tags, smoothed": functools.partial(of_head, "tags", UNEQUAL, kind="single", label_smoothing=0.2),
    "tag sequences": functools.partial(of_head, "tag sequences", UNEQUAL),
    "spans": functools.partial(of_head, "spans", [[1], [1, 1, 1], [3, 2, 3]]),
    "choices": functools.partial(of_head, "choices", UNEQUAL),
    "choices, smoothed": functools.partial(of_head, "choices", UNEQUAL, kind="choice", label_smoothing=0.2),
    "matching": functools.partial(of_head, "matching", UNEQUAL),
    "masked words": functools.partial(of_head, "masked words", UNEQUAL),
    "masked words and next sentence": functools.partial(of_head, "masked words and next sentence", [[1, 4, 3], [3]]),
    "choice and next words": functools.partial(of_head, "choice and next words", [[2, 3, 1]]),
    "mixture": of_mixture,
    "several heads": of_several_heads,
}

CASES_IN_PARALLEL: dict[str, InParallel] = {
    **TASKS_IN_PARALLEL,
    "adversarial passes": functools.partial(of_head, "classes", [[3, 1, 2], [8]], adversarial="pgd"),
    "every example twice": functools.partial(of_head, "tags", [[3, 1, 2], [2, 5]], r_drop=1.0),
    "dropout": with_dropout,
    "recomputed": recomputed,
    "failing": failing,
    "predictions": predictions,
    "messages": messages,
    "gradients": gradients,
}
