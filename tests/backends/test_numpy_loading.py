"""Folders are read without torch: what save_pretrained writes, what transformers wrote, and what must be refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plm.backends import BACKENDS
from plm.backends.eager import TorchRunner, load_torch
from plm.backends.numpy.loading import load_numpy
from plm.checkpoints.saving import save_model
from plm.errors import CheckpointError, ConfigError, PlmError
from plm.heads.model import Model, build_model
from plm.heads.several import HeadPlan
from plm.models.families import FAMILIES
from tests.backends.batch_forms import assert_same, packed, padded
from tests.golden_files import checkpoint
from tests.tiny_models import FAMILY_NAMES, randomized, tiny_config, tiny_model

CLOSE = 2e-5
OF_CHOICES = ("multiple_choice", "double_heads", "multiple_choice_with_lm")
EVERY_HEAD = [(family, head) for family in FAMILY_NAMES for head in (None, *FAMILIES.get(family).heads)]

GOLDEN = {
    "hf_bert_bf16": "masked_lm",
    "hf_bert_extra_keys": "token_classification",
    "hf_bert_fp16": "sequence_classification",
    "hf_bert_lmhead_causal": "causal_lm",
    "hf_bert_maskedlm": "masked_lm",
    "hf_bert_model": None,
    "hf_bert_multiple_choice": "multiple_choice",
    "hf_bert_next_sentence": "next_sentence",
    "hf_bert_pretraining": "pretraining",
    "hf_bert_question_answering": "question_answering",
    "hf_bert_sequence_classification": "sequence_classification",
    "hf_bert_sequence_classification_regression": "sequence_classification",
    "hf_bert_sharded": "masked_lm",
    "hf_bert_token_classification": "token_classification",
    "hf4_nezha_maskedlm_safetensors": "masked_lm",
    "hf4_nezha_token_classification_safetensors": "token_classification",
    "hf_openai_gpt_double_heads": "double_heads",
    "hf_openai_gpt_lm": "causal_lm",
    "hf_openai_gpt_model": None,
    "hf_openai_gpt_sequence_classification": "sequence_classification",
}


def save(model: Model, folder: Path, **options: Any) -> Path:
    save_model(model.eval(), folder, **options)
    return folder


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    values = {**json.loads(file.read_text()), **changes}
    file.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}))


def change_weights(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """None takes a tensor out."""
    file = folder / "model.safetensors"
    tensors = {**load_file(file), **changes}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)


def assert_equals_torch(folder: Path, head: str | None) -> None:
    expected, actual = load_torch(folder, head, "float32"), load_numpy(folder, head, "float32")
    choices = [padded(mask, choices=True) for mask in ("right", "absent")]
    for batch in choices if head in OF_CHOICES else [padded("left"), padded(None), packed()]:
        assert_same(actual.run(batch), expected.run(batch), batch, most=CLOSE)


@pytest.mark.parametrize(("family", "head"), EVERY_HEAD)
def test_saved_models_give_the_numbers_of_torch(family: str, head: str | None, tmp_path: Path) -> None:
    save(tiny_model(family, *([] if head is None else [head])), tmp_path)
    assert_equals_torch(tmp_path, head)


@pytest.mark.parametrize(
    ("family", "head", "changes"),
    [
        ("bert", "masked_lm", {"norm": "pre", "tie_word_embeddings": False, "hidden_act": "gelu_new"}),
        ("bert", "causal_lm", {"attention_pattern": "causal", "hidden_act": "relu"}),
        ("nezha", "causal_lm", {"attention_pattern": "causal", "language_model_transform": False}),
        ("bert", "sequence_classification", {"classifier_pooling": "last_token", "classifier_bias": False}),
        ("nezha", "crf_token_classification", {"id2label": dict(enumerate("abcde")), "pad_token_id": None}),
        ("openai-gpt", "classification_with_lm", {"id2label": dict(enumerate("abc")), "classifier_bias": True}),
        ("openai-gpt", "causal_lm", {"tie_word_embeddings": False, "norm": "pre", "type_vocab_size": 0}),
        ("openai-gpt", "token_classification", {"hidden_act": "gelu", "intermediate_size": 40}),
        ("tinybert", "hidden_projection", {"fit": "shared", "hidden_act": "silu"}),
        ("tinybert", "hidden_projection", {"fit": "per_layer", "classifier_activation": "none"}),
    ],
)
def test_options_survive_the_way_through_config_json(
    family: str, head: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    save(tiny_model(family, head, **changes), tmp_path)
    assert_equals_torch(tmp_path, head)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened(dtype: torch.dtype, tmp_path: Path) -> None:
    save(tiny_model("openai-gpt", "causal_lm").to(dtype), tmp_path)
    assert_equals_torch(tmp_path, "causal_lm")


def test_shards_are_one_model(tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path, max_shard_size=3000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    assert_equals_torch(tmp_path, "masked_lm")


@pytest.mark.parametrize("head", ["intent", "sequence_classification", "slots", "old"])
def test_each_of_several_stored_heads_is_found_by_name_or_kind(head: str, tmp_path: Path) -> None:
    plans = {
        "intent": HeadPlan("sequence_classification", {"num_labels": 5}),
        "slots": HeadPlan("token_classification", {"labels": ("O", "B", "I"), "dropout": 0.2}),
        "old": HeadPlan(shared_with="slots"),
    }
    model = save_and_return(randomized(build_model(tiny_config("bert"), plans)).eval(), tmp_path)
    batch = padded("right")
    name = "intent" if head == "sequence_classification" else head
    with torch.inference_mode():
        expected = model(**{key: torch.from_numpy(array) for key, array in batch.items()}, head=name)
    answers = load_numpy(tmp_path, head, "float32").run(batch)
    assert_same(answers, {"logits": expected.logits.numpy()}, batch, most=CLOSE)
    with pytest.raises(CheckpointError, match="no head 'masked_lm' \\(it has: intent, slots, old\\)"):
        load_numpy(tmp_path, "masked_lm", "float32")


def save_and_return(model: Model, folder: Path) -> Model:
    save(model, folder)
    return model


@pytest.mark.parametrize(("name", "head"), GOLDEN.items())
def test_checkpoints_of_transformers_give_its_own_numbers(name: str, head: str | None) -> None:
    folder = checkpoint(name)
    golden = np.load(folder / "golden.npz")
    batch = {key: golden[key] for key in ("input_ids", "attention_mask", "token_type_ids") if key in golden}
    if head == "multiple_choice":
        batch = {key: array[None] for key, array in batch.items()}
    answers = load_numpy(folder, head, "float32").run(batch)
    known = [key for key in answers if key in golden]
    assert known
    assert_same({key: answers[key] for key in known}, {key: golden[key] for key in known}, batch, most=CLOSE)


def test_neither_loading_nor_running_imports_torch(tmp_path: Path) -> None:
    save(tiny_model("nezha", "sequence_classification").bfloat16(), tmp_path)
    code = (
        "import sys, pathlib, numpy as np\n"
        "from plm.backends import BACKENDS\n"
        f"runner = BACKENDS.get('numpy').load(pathlib.Path({str(tmp_path)!r}), 'sequence_classification', 'float32')\n"
        "runner.run({'input_ids': np.ones((2, 3), np.int64)})\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_config_is_that_of_torch_models(tmp_path: Path) -> None:
    model = save_and_return(tiny_model("tinybert", "masked_lm"), tmp_path)
    runner = BACKENDS.get("numpy").load(tmp_path, "masked_lm", "auto")
    assert runner.config == model.config
    assert runner.takes_packed


def test_a_backbone_without_stored_pooler_has_no_pooler_output(tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path)
    runner = load_numpy(tmp_path, None, "float32")
    assert (
        list(runner.run(packed())) == list(load_torch(tmp_path, None, "float32").run(packed())) == ["last_hidden_state"]
    )


def test_sizes_that_the_file_does_not_say_are_those_of_the_tensors(tmp_path: Path) -> None:
    save(tiny_model("bert", "sequence_classification", id2label=dict(enumerate("abcd"))), tmp_path)
    named = ("intermediate_size", "max_position_embeddings", "type_vocab_size", "id2label", "label2id")
    change_config(tmp_path, **dict.fromkeys(named, ...))
    assert_equals_torch(tmp_path, "sequence_classification")


def test_either_side_of_a_tie_may_be_stored(tmp_path: Path) -> None:
    model = save_and_return(tiny_model("openai-gpt", "causal_lm"), tmp_path)
    words = model.backbone.embeddings.word.weight.detach().clone()
    change_weights(tmp_path, {"transformer.tokens_embed.weight": None, "lm_head.weight": words})
    expected = TorchRunner(model).run(packed())
    assert_same(load_numpy(tmp_path, "causal_lm", "float32").run(packed()), expected, packed(), most=CLOSE)
    change_weights(tmp_path, {"transformer.tokens_embed.weight": words + 1})
    with pytest.raises(CheckpointError, match=r"'lm_head.weight' should repeat the word embeddings"):
        load_numpy(tmp_path, "causal_lm", "float32")


def test_a_head_that_is_not_stored_is_refused(tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path)
    with pytest.raises(CheckpointError, match=r"has no trained sequence_classification.*'classifier.weight'"):
        load_numpy(tmp_path, "sequence_classification", "float32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bert.encoder.layer.1.output.dense.bias": None}, "1 tensors are missing, first '.*output.dense.bias'"),
        ({"bert.encoder.layer.1.output.dense.bias": torch.ones(13)}, r"is \(13,\), and .* asks for \(12,\)"),
        ({"bert.encoder.layer.1.output.dense.bias": torch.full((12,), torch.nan)}, "NaN or infinity in"),
        ({"bert.encoder.layer.1.output.dense.bias": torch.ones(12, dtype=torch.int64)}, "is stored as I64"),
        ({"bert.embeddings.word_embeddings.weight": torch.ones(30, 12)}, r"is \(30, 12\)"),
        ({"bert.encoder.layer.2.output.LayerNorm.weight": torch.ones(12)}, "has more blocks than the 2"),
        ({"bert.encoder.layer.1.output.LayerNorm.weight": None}, "has fewer blocks than the 2"),
        ({"bert.encoder.layer.0.output.LayerNorm.weight": None}, "no tensors under names of the Hugging Face layout"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    changes: dict[str, torch.Tensor | None], message: str, tmp_path: Path
) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path)
    change_weights(tmp_path, changes)
    with pytest.raises(CheckpointError, match=message):
        load_numpy(tmp_path, "masked_lm", "float32")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bort"}, "model_type 'bort' is not one of .*; did you mean 'bert'\\?"),
        ({"model_type": ...}, "plm convert"),
        ({"vocab_size": ...}, "missing field 'vocab_size'"),
        ({"hidden_size": "12"}, "hidden_size: expected int"),
        ({"num_attention_heads": 5}, "must be a multiple of num_attention_heads"),
        ({"num_hidden_layers": 10**9}, "has fewer blocks than the 1000000000"),
        ({"hidden_act": "elu"}, "activation 'elu'"),
        ({"attention_pattern": "prefix"}, 'load the model with backend="torch"'),
        ({"position_embedding_type": "relative_key"}, "only 'absolute' is known here"),
        ({"exported": {"backend": "int8"}}, "load it with 'int8'"),
        ({"heads": [{"kind": "masked_lm"}]}, r"heads\[0\]: missing field 'name'"),
    ],
)
def test_configs_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path)
    change_config(tmp_path, **changes)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        load_numpy(tmp_path, "masked_lm", "float32")


def test_dtypes_that_numpy_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'float32' or 'float64', got 'bfloat16'"):
        load_numpy(tmp_path, None, "bfloat16")


def test_other_layouts_are_to_be_converted_first(tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path, layout="huawei")
    with pytest.raises(CheckpointError, match="convert it first"):
        load_numpy(tmp_path, "masked_lm", "float32")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_numpy(tmp_path / "nowhere", None, "float32")


@pytest.mark.parametrize("shard", ["../model.safetensors", "/model.safetensors", "..", "a\\b", "", 3])
def test_an_index_cannot_leave_its_folder(shard: Any, tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path / "inside")
    (tmp_path / "inside" / "model.safetensors").rename(tmp_path / "model.safetensors")
    names = load_file(tmp_path / "model.safetensors")
    index = tmp_path / "inside" / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(names, shard)}))
    with pytest.raises(CheckpointError, match="only plain names of files beside the index"):
        load_numpy(tmp_path / "inside", "masked_lm", "float32")


def test_an_index_and_its_files_must_agree(tmp_path: Path) -> None:
    save(tiny_model("bert", "masked_lm"), tmp_path, max_shard_size=3000)
    index = tmp_path / "model.safetensors.index.json"
    promised = json.loads(index.read_text())["weight_map"]
    name = next(iter(promised))
    index.write_text(json.dumps({"weight_map": {other: shard for other, shard in promised.items() if other != name}}))
    with pytest.raises(CheckpointError, match="does not list there"):
        load_numpy(tmp_path, "masked_lm", "float32")
    index.write_text(json.dumps({"weight_map": promised | {"ghost": promised[name]}}))
    with pytest.raises(CheckpointError, match="lacks 'ghost'"):
        load_numpy(tmp_path, "masked_lm", "float32")


@pytest.mark.parametrize(
    "name",
    [
        "st_truncated_data",
        "st_header_length_huge",
        "st_overlapping_offsets",
        "st_unknown_dtype",
        "index_path_traversal",
        "index_absolute_path",
        "weights_nan",
        "weights_no_key_matches",
        "weights_shape_mismatch",
        "config_wrong_types",
        "config_missing_fields",
        "config_negative_size",
        "config_heads_not_dividing",
        "config_unknown_model_type",
    ],
)
def test_damaged_and_hostile_folders_are_refused(name: str) -> None:
    with pytest.raises(PlmError):
        load_numpy(checkpoint(f"adversarial/{name}"), "sequence_classification", "float32")
