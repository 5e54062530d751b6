"""The training itself: data, labels, tokenizer, model, trainer and files put together."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from plm.auto.model import PretrainedModel
from plm.checkpoints.adapters import save_adapter
from plm.config import write_json, write_text
from plm.runs.adapting import adapt, merged
from plm.runs.config import RunConfig
from plm.runs.folders import make_folder, require_free
from plm.runs.lessons import prepare_lessons, training_options
from plm.runs.preparation import Prepared, starting_point
from plm.runs.report import RunReport, flops_per_token, prediction_files
from plm.tasks.saving import SavedTask, save_tasks
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
    Ctrl-C ends the training after the current update, and what was learned is written; `training.stopped` says so.
    With training.save_strategy the run can be continued: training.resume.
    Under torchrun all processes call this with the same config; they share the work, and the first one writes.
    Raises DataError naming file and line of a label that is missing, unknown or not a number, before anything is
    trained or written; TrainingError for a folder that cannot be written, or holds what would be lost; ConfigError,
    CheckpointError and TokenizerError for what cannot be used.
    """
    processes = join()
    folder = Path(config.output_dir)
    processes.by_main(lambda: require_free(folder, overwrite=overwrite, resume=config.training.resume))
    prepared = {name: Prepared.read(data) for name, data in config.all_tasks.items()}
    tasks = {name: one.task for name, one in prepared.items()}
    model, tokenizer, notes = starting_point(config, tasks)
    records = _records(config, model)
    lessons = prepare_lessons(config, prepared, model, tokenizer)
    if config.lora is not None:
        adapt(model, config.lora, seed=config.training.seed)
    if config.training.metric_for_best is not None and config.training.eval_strategy != "no":
        lessons.require_metric(config.training.metric_for_best, model)

    def save(target: Path) -> None:
        tokenizer.save_pretrained(target)
        save_tasks(target, {name: SavedTask(task, lessons.lengths[name]) for name, task in tasks.items()})
        if config.lora is not None:
            save_adapter(model, target / "adapter", base=config.model)
        with merged(model):
            model.save_pretrained(target)

    if processes.is_main:
        make_folder(folder)
    counting = [] if lessons.mixture is None else [MixtureCounts(lessons.mixture)]
    report = Trainer(
        model,
        training_options(config),
        batches=lessons.batches,
        step=lessons.step,
        evaluate=lessons.evaluate,
        save=save,
        output_dir=folder,
        callbacks=[ProgressBar(), *counting, *records, *callbacks],
        processes=processes,
    ).train()
    said = lessons.answers(model)
    result = RunReport(
        output_dir=folder,
        scores=lessons.scores(said),
        training=report,
        parameters=model.num_parameters(),
        notes=(*notes, *(line for counts in counting for line in counts.lines())),
    )
    if processes.is_main:
        save(folder)
        if config.training.load_best:  # the folder itself has them now
            shutil.rmtree(folder / "best", ignore_errors=True)
        for name, table in prediction_files(lessons, said).items():
            write_text(folder / name, table)
        write_json(folder / "run.json", config.to_dict())
        write_json(folder / "metrics.json", result.to_dict())
    processes.barrier()
    return result


def _records(config: RunConfig, model: PretrainedModel) -> list[Callback]:
    """What is written while training."""
    folder = Path(config.output_dir)
    kinds: dict[str, Callable[[], Callback]] = {
        "jsonl": lambda: JsonLines(folder / "train_log.jsonl"),
        "csv": lambda: CommaSeparated(folder / "train_log.csv"),
        "tensorboard": lambda: TensorBoard(folder / "tensorboard"),
        "curve": lambda: CurvePlot(folder / "curve.png"),
    }
    asked = [name for name in config.log_to if name != "curve" or importlib.util.find_spec("matplotlib")]
    report = MarkdownReport(folder / "report.md", title=folder.name, flops_per_token=partial(flops_per_token, model))
    return [report, *(kinds[name]() for name in asked)]
