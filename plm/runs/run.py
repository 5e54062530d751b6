"""The training itself: data, labels, tokenizer, model, trainer and files put together."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from plm.auto.model import PretrainedModel
from plm.checkpoints.adapters import save_adapter
from plm.config import write_json, write_text
from plm.folders import written_aside
from plm.runs.adapting import adapt, merged
from plm.runs.config import LogKind, RunConfig
from plm.runs.folders import make_folder, require_free
from plm.runs.lessons import ByTask, Lessons, prepare_lessons, training_options
from plm.runs.preparation import Prepared, starting_point
from plm.runs.report import RunReport, flops_per_token, prediction_files
from plm.tasks import AnyTask
from plm.tasks.saving import SavedTask, save_tasks
from plm.tokenizers import Tokenizer
from plm.training import (
    Callback,
    CommaSeparated,
    CurvePlot,
    JsonLines,
    MarkdownReport,
    MixtureCounts,
    ProgressBar,
    TensorBoard,
    Trainer,
)
from plm.training.distributed import join


def train(config: RunConfig, *, overwrite: bool = False, callbacks: Sequence[Callback] = ()) -> RunReport:
    """Train what the config says, and write everything about it into `config.output_dir`.

    That folder gets the model with its best weights, its labels and tokenizer; tasks.json, with which it can be asked;
    metrics.json; report.md; train_log.jsonl, and whatever else config.log_to names; dev_predictions.tsv, and
    test_predictions.tsv where there is a test file, or one for each task, named for it; and run.json, this config. With
    config.lora the weights are merged ones, and the adapter alone stands in "adapter". While it trains, "best" and
    "last" hold the same of the best and the last evaluation, so that a crash loses little; "last" stays.
    overwrite: True = the folder may hold files already; those of the same names are replaced.
    callbacks: told besides the progress bar and the log.
    Ctrl-C and SIGTERM end the training after the current update, and what was learned is written; `training.stopped`
    says so. After SIGTERM there are no predictions and scores, as time is short then.
    With training.save_strategy the run can be continued: training.resume.
    Under torchrun all processes call this with the same config; they share the work, and the first one writes.
    Raises DataError naming file and line of a label that is missing, unknown or not a number, before anything is
    trained or written; TrainingError for a folder that cannot be written, or holds what would be lost; ConfigError,
    CheckpointError and TokenizerError for what cannot be used.
    """
    processes = join()
    folder = Path(config.output_dir)
    processes.by_main(lambda: require_free(folder, overwrite=overwrite, resume=config.training.resume))
    run = _Ready.to_train(config)
    if processes.is_main:
        make_folder(folder)
    counting = [] if run.lessons.mixture is None else [MixtureCounts(run.lessons.mixture)]
    training = Trainer(
        run.model,
        training_options(config),
        batches=run.lessons.batches,
        step=run.lessons.step,
        evaluate=run.lessons.evaluate,
        save=run.save,
        output_dir=folder,
        callbacks=[ProgressBar(), *counting, *run.records, *callbacks],
        processes=processes,
    ).train()
    # Whoever sends SIGTERM takes the machine away soon.
    answers: ByTask[Sequence[Any]] = {} if training.stopped == "terminated" else run.lessons.answers(run.model)
    report = RunReport(
        output_dir=folder,
        scores=run.lessons.scores(answers),
        judged=() if config.task is not None else config.main_tasks,
        training=training,
        parameters=run.model.num_parameters(),
        notes=(*run.notes, *(line for counts in counting for line in counts.lines())),
    )
    if processes.is_main:
        run.write(report, prediction_files(run.lessons, answers))
    processes.barrier()
    return report


@dataclass(frozen=True)
class _Ready:
    """What there is before the first update.

    notes: what people should know of it. records: of what happens. companions: files beside the model, by name.
    """

    config: RunConfig
    tasks: Mapping[str, AnyTask]
    model: PretrainedModel
    tokenizer: Tokenizer
    notes: Sequence[str]
    lessons: Lessons
    records: Sequence[Callback]
    companions: Mapping[str, bytes]

    @classmethod
    def to_train(cls, config: RunConfig) -> _Ready:
        """Everything read, checked and encoded; in the order in which it is cheap to find out what is wrong."""
        prepared = {name: Prepared.read(data) for name, data in config.all_tasks.items()}
        tasks = {name: one.task for name, one in prepared.items()}
        model, tokenizer, notes = starting_point(config, tasks)
        records = run_records(Path(config.output_dir), config.log_to, flops_per_token=partial(flops_per_token, model))
        lessons = prepare_lessons(config, prepared, model, tokenizer)
        if config.lora is not None:
            adapt(model, config.lora, seed=config.training.seed)
        if config.training.metric_for_best is not None and config.training.eval_strategy != "no":
            lessons.require_metric(config.training.metric_for_best, model)
        companions = {
            name: content
            for one in prepared.values()
            for name, content in one.task.companions(one.splits["train"].examples).items()
        }
        return cls(config, tasks, model, tokenizer, notes, lessons, records, companions)

    def save(self, target: Path) -> None:
        """Write what can be asked later: model, tokenizer, tasks."""
        self.tokenizer.save_pretrained(target)
        save_tasks(target, {name: SavedTask(task, self.lessons.lengths[name]) for name, task in self.tasks.items()})
        for name, content in self.companions.items():
            with written_aside(target / name) as aside:
                aside.write_bytes(content)
        if self.config.lora is not None:
            save_adapter(self.model, target / "adapter", base=self.config.model)
        with merged(self.model):
            self.model.save_pretrained(target)

    def write(self, report: RunReport, predictions: Mapping[str, str]) -> None:
        """Everything that is left behind. predictions: name of a file -> its content."""
        self.save(report.output_dir)
        for name, table in predictions.items():
            write_text(report.output_dir / name, table)
        write_account(report, self.config.to_dict(), has_best=self.config.training.load_best)


def run_records(folder: Path, kinds: Sequence[LogKind], *, flops_per_token: Callable[[], float]) -> list[Callback]:
    """What is written into a folder while training: a report, and logs of these kinds."""
    made: dict[str, Callable[[], Callback]] = {
        "jsonl": lambda: JsonLines(folder / "train_log.jsonl"),
        "csv": lambda: CommaSeparated(folder / "train_log.csv"),
        "tensorboard": lambda: TensorBoard(folder / "tensorboard"),
        "curve": lambda: CurvePlot(folder / "curve.png"),
    }
    asked = [name for name in kinds if name != "curve" or importlib.util.find_spec("matplotlib")]
    report = MarkdownReport(folder / "report.md", title=folder.name, flops_per_token=flops_per_token)
    return [report, *(made[name]() for name in asked)]


def write_account(report: RunReport, config: Mapping[str, Any], *, has_best: bool) -> None:
    """What was asked for, and what came of it; beside a model that is saved already.

    has_best: True = it has the best weights, so that the folder "best" is no longer needed.
    """
    if has_best:
        shutil.rmtree(report.output_dir / "best", ignore_errors=True)
    write_json(report.output_dir / "run.json", config)
    write_json(report.output_dir / "metrics.json", report.to_dict())
