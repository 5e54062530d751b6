"""Fine-tuning a text classifier: from a checkpoint and two files to a folder that `plm.pipeline` reads.

    config = FinetuneConfig(model="plm/tiny-en", train_file="train.tsv", dev_file="dev.tsv", output_dir="reviews")
    print(*finetune_classifier(config).lines(), sep="\n")

`plm finetune` is the same from the command line.
"""

from __future__ import annotations

from plm.finetuning.classifier import finetune_classifier, starting_point
from plm.finetuning.config import FinetuneConfig
from plm.finetuning.report import FinetuneReport, predictions_table

__all__ = ["FinetuneConfig", "FinetuneReport", "finetune_classifier", "predictions_table", "starting_point"]
