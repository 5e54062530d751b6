"""Adapters come back from files as they were, only on the base that they belong to, and whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from plm.blocks.lora import LoraConfig, adapters, add_lora, merge_lora
from plm.checkpoints.adapters import CONFIG_NAME, WEIGHTS_NAME, load_adapter, save_adapter
from plm.errors import CheckpointError
from plm.heads.model import Model
from tests.tiny_models import FAMILY_NAMES, random_ids, tiny_model

HEAD = "sequence_classification"
IDS = random_ids(4, 6)


def trained(family: str, *heads: str, **values: object) -> Model:
    """A model whose adapters and heads have learned something."""
    model = tiny_model(family, *(heads or (HEAD,)))
    config = LoraConfig(**{"rank": 3, "alpha": 6.0} | values)  # type: ignore[arg-type]
    add_lora(model, config, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD([held for held in model.parameters() if held.requires_grad], lr=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        model(IDS)[0].square().mean().backward()
        optimizer.step()
    return model.eval()


def outputs(model: Model) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(IDS)[0]
    return found


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.parametrize("targets", [LoraConfig().targets, ("*.attention.*", "*.feed_forward.up")])
def test_what_is_saved_comes_back_on_the_same_base(family: str, targets: tuple[str, ...], tmp_path: Path) -> None:
    model = trained(family, targets=targets, dropout=0.25)
    files = save_adapter(model, tmp_path / "new", base="some/base")
    assert [file.name for file in files] == [CONFIG_NAME, WEIGHTS_NAME]
    base = tiny_model(family, HEAD).eval()
    assert not torch.equal(outputs(base), outputs(model))
    state = torch.get_rng_state()
    adapter = load_adapter(base, tmp_path / "new")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(outputs(base), outputs(model))
    assert adapter.base == "some/base"
    assert (adapter.config.rank, adapter.config.alpha, adapter.config.dropout) == (3, 6.0, 0.25)
    assert sorted(adapter.config.targets) == sorted(adapters(model))
    learning = [{name for name, held in each.named_parameters() if held.requires_grad} for each in (model, base)]
    assert learning[0] == learning[1]
    save_adapter(base, tmp_path / "again", base="some/base")
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "new" / name).read_bytes()


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_loaded_adapter_merges_to_the_same_outputs(family: str, tmp_path: Path) -> None:
    model = trained(family)
    save_adapter(model, tmp_path, base="b")
    base = tiny_model(family, HEAD).eval()
    load_adapter(base, tmp_path)
    merge_lora(base)
    torch.testing.assert_close(outputs(base), outputs(model), rtol=1e-6, atol=2e-6)


def test_adapters_are_small(tmp_path: Path) -> None:
    model = trained("bert")
    save_adapter(model, tmp_path, base="b")
    saved = load_file(tmp_path / WEIGHTS_NAME)
    expected = sum(held.numel() for held in model.parameters() if held.requires_grad)
    assert sum(tensor.numel() for tensor in saved.values()) == expected < model.num_parameters() / 5


def test_names_are_those_of_peft(tmp_path: Path) -> None:
    save_adapter(trained("bert"), tmp_path, base="b")
    inside = "base_model.model.bert.encoder.layer.{}.attention.self.{}.lora_{}.weight"
    assert set(load_file(tmp_path / WEIGHTS_NAME)) == {
        *(inside.format(n, part, side) for n in range(2) for part in ("query", "value") for side in "AB"),
        "base_model.model.classifier.weight",
        "base_model.model.classifier.bias",
    }
    content = json.loads((tmp_path / CONFIG_NAME).read_text())
    assert (content["peft_type"], content["r"], content["lora_alpha"]) == ("LORA", 3, 6.0)
    assert content["modules_to_save"] == ["classifier"]


def test_names_that_only_plm_has_stay_ours(tmp_path: Path) -> None:
    save_adapter(trained("openai-gpt"), tmp_path, base="b")
    names = set(load_file(tmp_path / WEIGHTS_NAME))
    assert "base_model.model.backbone.blocks.0.attention.query.lora_A.weight" in names
    assert "base_model.model.score.weight" in names


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_several_heads_are_saved(family: str, tmp_path: Path) -> None:
    heads = (HEAD, "token_classification")
    model = trained(family, *heads)
    save_adapter(model, tmp_path, base="b")
    base = tiny_model(family, *heads, seed=0).eval()
    with torch.no_grad():
        for parameter in base.heads.parameters():
            parameter.zero_()
    load_adapter(base, tmp_path)
    for head in heads:
        assert torch.equal(base(IDS, head=head).logits, model(IDS, head=head).logits)


def refused(model: Model, folder: Path, message: str) -> None:
    """Loading fails with the message and leaves the model as it was."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_adapter(model, folder)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert all(held.requires_grad for held in model.parameters())


def test_another_base_is_refused(tmp_path: Path) -> None:
    save_adapter(trained("bert"), tmp_path, base="tiny/bert")
    message = r"was trained on 'tiny/bert', a bert with \d+ backbone parameters \(shapes \w{8}\); this model is a "
    refused(tiny_model("nezha", HEAD), tmp_path, message + "nezha")
    refused(tiny_model("bert", HEAD, num_hidden_layers=3), tmp_path, message + "bert")
    refused(tiny_model("bert", HEAD, vocab_size=32), tmp_path, message + "bert")


def test_another_head_is_refused(tmp_path: Path) -> None:
    save_adapter(trained("bert"), tmp_path, base="b")
    five = tiny_model("bert", HEAD, id2label=dict(enumerate("abcde")))
    refused(five, tmp_path, r"classifier.*is \(2,\), this model needs \(5,\)")
    refused(tiny_model("bert", "next_sentence"), tmp_path, "no place for 'classifier")


def test_without_a_note_of_the_base_shapes_decide(tmp_path: Path) -> None:
    """As in files that PEFT wrote."""
    save_adapter(trained("bert"), tmp_path, base="b")
    edit_config(tmp_path, lambda content: content.pop("plm"))
    load_adapter(tiny_model("bert", HEAD), tmp_path)
    refused(tiny_model("bert", HEAD, hidden_size=18), tmp_path, "this model needs")
    refused(
        tiny_model("bert", HEAD, num_hidden_layers=1),
        tmp_path,
        "an adapter for 'bert.encoder.layer.1.*', which is no Linear",
    )


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((folder / CONFIG_NAME).read_text())
    change(content)
    (folder / CONFIG_NAME).write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3', plm reads 'LORA'"),
        ({"use_dora": True}, "use_dora is True; plm reads plain LoRA only"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa'"),
        ({"rank_pattern": {"query": 4}}, "rank_pattern"),
        ({"r": 0}, "rank: expected a positive integer, got 0"),
        ({"r": 3.0}, "rank: expected int, got float"),
        ({"lora_alpha": "much"}, "alpha: expected float, got str"),
        ({"lora_dropout": 1.5}, "dropout: expected a probability"),
        ({"r": 4}, r"is \(3, 12\), this model needs \(4, 12\)"),
    ],
)
def test_configs_that_are_not_understood_are_refused(
    values: Mapping[str, object], message: str, tmp_path: Path
) -> None:
    save_adapter(trained("bert"), tmp_path, base="b")
    edit_config(tmp_path, lambda content: content.update(values))
    refused(tiny_model("bert", HEAD), tmp_path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop(next(name for name in held if "lora_B" in name)), "lora_b is missing"),
        (lambda held: held.pop(next(name for name in held if "lora_A" in name)), "no place for .*lora_b"),
        (lambda held: [held.pop(name) for name in list(held) if "lora" in name], "targets: name at least one module"),
        (lambda held: next(iter(held.values())).fill_(torch.nan), "values that are not finite"),
        (lambda held: held.update({"query.lora_A.weight": torch.ones(1)}), "not of an adapter: expected a name with"),
        (lambda held: held.update({"base_model.model.new": torch.ones(1)}), "no place for 'new'"),
        (
            lambda held: held.update({"base_model.model.bert.embeddings.LayerNorm.lora_A.weight": torch.ones(3, 12)}),
            "for 'backbone.embeddings.norm', which is no Linear",
        ),
    ],
)
def test_files_that_are_not_whole_are_refused(
    change: Callable[[dict[str, Tensor]], object], message: str, tmp_path: Path
) -> None:
    save_adapter(trained("bert"), tmp_path, base="b")
    held = load_file(tmp_path / WEIGHTS_NAME)
    change(held)
    save_file(held, tmp_path / WEIGHTS_NAME)
    refused(tiny_model("bert", HEAD), tmp_path, message)


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    refused(tiny_model("bert", HEAD), tmp_path, "holds no adapter that can be read")
    save_adapter(trained("bert"), tmp_path, base="b")
    (tmp_path / WEIGHTS_NAME).write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    refused(tiny_model("bert", HEAD), tmp_path, "not a valid safetensors file")
    with pytest.raises(CheckpointError, match="no adapters to save"):
        save_adapter(tiny_model("bert"), tmp_path, base="b")


def test_a_model_has_one_adapter_at_a_time(tmp_path: Path) -> None:
    model = trained("bert")
    save_adapter(model, tmp_path, base="b")
    with pytest.raises(CheckpointError, match="has adapters already"):
        load_adapter(model, tmp_path)


def test_a_save_that_fails_leaves_the_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> bytes:
        raise OSError("disk full")

    save_adapter(trained("bert"), tmp_path, base="old")
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr("plm.checkpoints.adapters.save", fail)
    with pytest.raises(CheckpointError, match="disk full"):
        save_adapter(trained("bert"), tmp_path, base="new")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
