"""What to fine-tune, on what, and how: one table that a recipe file can hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from plm.config import require_positive
from plm.data import Columns
from plm.metrics.classification import ProblemType
from plm.training import TrainingConfig


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """What to fine-tune, on what, how.

    model: a checkpoint of any known layout: a folder, a file, a name on the hub.
    train_file, dev_file: tsv, csv or jsonl. output_dir: the folder to write.
    text, pair, label: columns: names of line 1, JSON keys or numbers from 0. label_separator: splits a cell with
        several labels. format, header: as plm.data.read_examples.
    problem_type: one class a text, several, or a number. metrics: names in METRICS, the one that picks the best
        weights first; None = the usual ones.
    max_length: tokens that texts are cut to; None = 128, or what the model takes if that is less.
    batch_size: texts in a batch. device: None = the GPU if there is one.
    training: everything else.
    """

    model: str
    train_file: str
    dev_file: str
    output_dir: str
    text: str | int = "text"
    pair: str | int | None = None
    label: str | int = "label"
    label_separator: str | None = None
    format: str | None = None
    header: bool | None = None
    problem_type: ProblemType = "single_label_classification"
    metrics: tuple[str, ...] | None = None
    max_length: int | None = None
    batch_size: int = 32
    device: str | None = None
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        require_positive(self, "batch_size")
        if self.max_length is not None:
            require_positive(self, "max_length")

    @property
    def columns(self) -> Columns:
        """Which column of the files holds what."""
        return Columns(text=self.text, pair=self.pair, label=self.label, label_separator=self.label_separator)
