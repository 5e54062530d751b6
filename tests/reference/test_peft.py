"""Adapters open in PEFT, and PEFT's open here, with the same outputs. Runs where peft is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from plm.blocks.lora import LoraConfig, adapters, add_lora
from plm.checkpoints.adapters import load_adapter, save_adapter
from plm.checkpoints.saving import save_model
from plm.heads.model import Model
from tests.tiny_models import random_ids, tiny_model

transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the two libraries about each other

IDS = random_ids(3, 7)


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=IDS).logits
    return found


def learned(model: Model) -> Model:
    add_lora(model, LoraConfig(rank=4, alpha=10.0, targets=("*.attention.*", "*.feed_forward.up")))
    with torch.no_grad():
        for linear in adapters(model).values():
            linear.lora_b.normal_(0.0, 0.3)
        for parameter in model.heads.parameters():
            parameter.add_(0.1)
    return model


@pytest.mark.parametrize("head", ["sequence_classification", "token_classification", "question_answering"])
def test_ours_opens_in_peft(head: str, tmp_path: Path) -> None:
    model = tiny_model("bert", head)
    save_model(model, tmp_path / "base")
    save_adapter(learned(model), tmp_path / "adapter", base=str(tmp_path / "base"))
    suffix = {"sequence_classification": "Sequence", "token_classification": "Token"}.get(head)
    name = f"AutoModelFor{suffix}Classification" if suffix else "AutoModelForQuestionAnswering"
    theirs = getattr(transformers, name).from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    with torch.no_grad():
        ours, found = model.eval()(IDS), theirs(input_ids=IDS)
    field = "logits" if suffix else "end_logits"
    torch.testing.assert_close(getattr(found, field), getattr(ours, field), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("modules", [["classifier"], ["classifier", "pooler"]])
def test_theirs_opens_here(modules: list[str], tmp_path: Path) -> None:
    base = tiny_model("bert", "sequence_classification")
    save_model(base, tmp_path / "base")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    config = peft.LoraConfig(
        r=3, lora_alpha=9, lora_dropout=0.1, target_modules=["query", "value", "intermediate.dense"],
        modules_to_save=modules,
    )  # fmt: skip
    theirs = peft.get_peft_model(theirs, config)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    theirs.save_pretrained(tmp_path / "adapter")
    ours = tiny_model("bert", "sequence_classification")
    adapter = load_adapter(ours, tmp_path / "adapter")
    assert (adapter.config.rank, adapter.config.dropout, len(adapter.config.targets)) == (3, 0.1, 6)
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-5)
