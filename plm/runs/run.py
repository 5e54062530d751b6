"""The training itself: data, labels, tokenizer, model, trainer and files put together."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from plm.auto.model import PretrainedModel
from plm.config import write_json, write_text
from plm.errors import TrainingError
from plm.runs.config import ONLY, RunConfig
from plm.runs.evaluation import TaskEvaluation
from plm.runs.preparation import Encoded, Prepared, encode, starting_point, text_length
from plm.runs.report import RunReport, predictions_table
from plm.tokenizers import Tokenizer
from plm.training import Callback, CurvePlot, JsonLines, ProgressBar, Record, Run, SupervisedStep, Trainer


def train(config: RunConfig, *, overwrite: bool = False, callbacks: Sequence[Callback] = ()) -> RunReport:
    """Train what the config says, and write everything about it into `config.output_dir`.

    That folder gets the model with its best weights (from the first evaluation on, so that a crash loses little), its
    labels and tokenizer; metrics.json; train_log.jsonl; curve.png where matplotlib is installed;
    dev_predictions.tsv, and test_predictions.tsv where there is a test file; and run.json, this config.
    overwrite: True = the folder may hold files already; those of the same names are replaced.
    callbacks: told besides the progress bar and the log.
    Ctrl-C ends the training after the current update, and what was learned is written; `training.stopped` says so.
    Raises DataError naming file and line of a label that is missing, unknown or not a number, before anything is
    trained or written; ConfigError, CheckpointError and TokenizerError for what cannot be used.
    """
    folder = _checked_folder(Path(config.output_dir), overwrite)
    prepared = Prepared.read(ONLY, config.all_tasks[ONLY])
    model, tokenizer, notes = starting_point(config, prepared.task)
    max_length = text_length(prepared.data.max_length, model, tokenizer)
    encoding = partial(encode, prepared, tokenizer=tokenizer, max_length=max_length)
    training = encoding(prepared.train, seed=config.training.seed)
    evaluations = {
        split: _evaluation(config, prepared, encoding(part, seed=None))
        for split, part in (("dev", prepared.dev), ("test", prepared.test))
        if part is not None
    }
    folder.mkdir(parents=True, exist_ok=True)
    save = partial(_save, model, tokenizer, folder)
    report = Trainer(
        model,
        config.training,
        batches=training.batches,
        step=SupervisedStep(weigh=prepared.task.weigh, factors=prepared.task.loss_factors),
        evaluate=evaluations["dev"],
        callbacks=[ProgressBar(), SaveBest(save), *_records(folder), *callbacks],
    ).train()
    save()
    result = RunReport(
        output_dir=folder,
        scores={
            split: {ONLY: _answered(model, evaluation, split, folder)} for split, evaluation in evaluations.items()
        },
        training=report,
        parameters=model.num_parameters(),
        notes=tuple(notes),
    )
    write_json(folder / "run.json", config.to_dict())
    write_json(folder / "metrics.json", result.to_dict())
    return result


class SaveBest(Callback):
    """Calls `save` whenever an evaluation finds the weights better than before."""

    def __init__(self, save: Callable[[], None]) -> None:
        self.save = save

    def on_evaluate(self, run: Run, record: Record) -> None:
        """Save if this was the best."""
        if run.best_update == run.update:
            self.save()


def _evaluation(config: RunConfig, prepared: Prepared, encoded: Encoded) -> TaskEvaluation:
    return TaskEvaluation(
        prepared.task, encoded.examples, encoded.features, encoded.batches.epoch(0), config.training.precision
    )


def _answered(model: PretrainedModel, evaluation: TaskEvaluation, split: str, folder: Path) -> dict[str, float]:
    """Write what the model answers to a split, and return what that scores."""
    answers = evaluation.answers(model)
    write_text(folder / f"{split}_predictions.tsv", predictions_table(evaluation.task, evaluation.examples, answers))
    return evaluation.task.score(evaluation.examples, answers)


def _checked_folder(folder: Path, overwrite: bool) -> Path:
    if folder.exists() and not folder.is_dir():
        raise TrainingError(f"{folder}: is a file; name a folder for the results")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise TrainingError(f"{folder}: holds files already; name a new folder, or overwrite (overwrite=True)")
    return folder


def _records(folder: Path) -> list[Callback]:
    """What is written while training."""
    curves = [CurvePlot(folder / "curve.png")] if importlib.util.find_spec("matplotlib") else []
    return [JsonLines(folder / "train_log.jsonl"), *curves]


def _save(model: PretrainedModel, tokenizer: Tokenizer, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
