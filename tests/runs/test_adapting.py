"""A run with LoRA trains adapters and heads alone, and leaves a plain model and a small adapter that agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import plm
from plm.blocks.lora import LoraConfig, adapters
from plm.checkpoints.adapters import load_adapter
from plm.errors import ConfigError
from plm.runs import RunConfig, TaskData, train
from plm.tasks import Classification
from plm.training import TrainingConfig
from tests.tiny_folders import tiny_folder, write_rows


def config_for(tmp_path: Path, lora: LoraConfig) -> RunConfig:
    if not (tmp_path / "start").exists():
        tiny_folder(tmp_path / "start", "bert")
        rows = [("label", "text"), *[("good", "the good film"), ("bad", "the bad film")] * 8]
        write_rows(tmp_path / "t.tsv", rows)
    data = TaskData(task=Classification(), train=str(tmp_path / "t.tsv"), dev=str(tmp_path / "t.tsv"), batch_size=4)
    return RunConfig(
        model=str(tmp_path / "start"),
        output_dir=str(tmp_path / "out"),
        task=data,
        lora=lora,
        log_to=("csv",),
        training=TrainingConfig(learning_rate=1e-2, num_train_epochs=6, weight_decay=0.1),
    )


def test_the_saved_model_is_plain_and_equal_to_base_and_adapter(tmp_path: Path) -> None:
    report = train(config_for(tmp_path, LoraConfig(rank=4)))
    assert report.metrics["accuracy"] == 1.0
    saved = plm.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    base = plm.AutoModelForSequenceClassification.from_pretrained(tmp_path / "start", id2label={0: "bad", 1: "good"})
    untouched = base.state_dict()["backbone.blocks.0.feed_forward.up.weight"]
    assert torch.equal(saved.state_dict()["backbone.blocks.0.feed_forward.up.weight"], untouched)
    assert not adapters(saved)
    load_adapter(base, tmp_path / "out" / "adapter")
    ids = torch.tensor([[2, 5, 7, 3]])
    torch.testing.assert_close(base.eval()(ids).logits, saved(ids).logits)
    adapter, model = (tmp_path / "out" / name for name in ("adapter/adapter_model.safetensors", "model.safetensors"))
    assert adapter.stat().st_size < model.stat().st_size
    assert (tmp_path / "out" / "train_log.csv").exists()


def test_a_recipe_can_ask_for_it(tmp_path: Path) -> None:
    config = config_for(tmp_path, LoraConfig(targets=("*.feed_forward.up",)))
    assert RunConfig.from_dict(config.to_dict()) == config
    wrong = config_for(tmp_path, LoraConfig(targets=("*.feed_foward.up",)))
    with pytest.raises(ConfigError, match=r"targets: '\*\.feed_foward\.up' fits nothing"):
        train(wrong)
    assert not (tmp_path / "out").exists()
