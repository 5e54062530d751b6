"""The nine GLUE tasks as classifiers that know their columns, labels and metrics."""

from __future__ import annotations

from plm.data.glue import GLUE_TASKS
from plm.errors import UnknownNameError, did_you_mean
from plm.metrics.classification import GLUE_METRICS
from plm.tasks.classification import Classification


def glue_task(name: str) -> Classification:
    """The task `name` in GLUE_TASKS, for the tsv files as they are distributed.

    Raises UnknownNameError listing the nine.
    """
    if name not in GLUE_TASKS:
        hint = did_you_mean(name, GLUE_TASKS)
        raise UnknownNameError(f"no GLUE task {name!r}{hint} (there are: {', '.join(GLUE_TASKS)})")
    columns, labels = GLUE_TASKS[name].columns, GLUE_TASKS[name].labels
    assert columns.label is not None, "the tables name labels"
    return Classification(
        text=columns.text,
        pair=columns.pair,
        label=columns.label,
        problem_type=labels.problem_type,
        labels=labels.names or None,
        metrics=GLUE_METRICS[name],
    )
