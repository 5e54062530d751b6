"""Every parameter of a loaded model comes from the file, or is initialised and reported; nothing is taken silently."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from plm.checkpoints.formats import safetensors
from plm.checkpoints.loading import fill_model, load_model
from plm.checkpoints.saving import save_model
from plm.checkpoints.store import open_checkpoint
from plm.config import write_json
from plm.errors import CheckpointError
from plm.heads.model import Model
from plm.models.families import FAMILIES
from tests.checkpoints.tiny_checkpoints import assert_same_parameters, put, stored_config, stored_tensors
from tests.tiny_models import FAMILY_NAMES, random_ids, tiny_model

WORDS = "bert.embeddings.word_embeddings.weight"
DECODER = "cls.predictions.decoder.weight"
HEADS = [(family, head) for family in FAMILY_NAMES for head in FAMILIES.get(family).heads]


@pytest.fixture
def poison() -> Iterator[None]:
    """Memory that nobody filled holds NaN."""
    torch.use_deterministic_algorithms(True)
    assert bool(torch.empty(9).isnan().all())
    yield
    torch.use_deterministic_algorithms(False)


def has_only_finite(model: Model) -> bool:
    return all(bool(parameter.isfinite().all()) for parameter in model.parameters())


@pytest.mark.parametrize(("family", "head"), HEADS)
def test_a_saved_model_comes_back_whole(family: str, head: str, tmp_path: Path) -> None:
    model = tiny_model(family, head)
    put(tmp_path, stored_tensors(family, head), stored_config(family, head))
    again, report = load_model(tmp_path)
    assert_same_parameters(model, again)
    assert set(report.loaded) == {name for name, _ in model.named_parameters()}
    assert (report.missing, report.mismatched, report.unused, report.ignored, report.notes) == ((), (), (), {}, ())
    assert again.config == model.config
    assert not again.training
    assert all(parameter.requires_grad for parameter in again.parameters())


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: f"module.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: f"model.{name}",
        lambda name: name.removeprefix("bert."),
        lambda name: name.removeprefix("bert.") if "LayerNorm" in name else name,
        lambda name: f"nezha.{name.removeprefix('bert.')}" if name.startswith("bert.") else name,
        lambda name: name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    ],
)
def test_prefixes_and_old_spellings_change_nothing(rename: Callable[[str], str], tmp_path: Path) -> None:
    tensors = {rename(name): tensor for name, tensor in stored_tensors("bert", "pretraining").items()}
    extra = {"optimizer.step": torch.ones(1)}
    put(tmp_path, {**tensors, **extra}, stored_config("bert", "pretraining"))
    model, report = load_model(tmp_path)
    assert_same_parameters(tiny_model("bert", "pretraining"), model)
    assert report.unused == ("optimizer.step",)
    assert str(report).count("\n") <= 2


def test_a_wrapper_is_named_in_the_report(tmp_path: Path) -> None:
    tensors = {f"module.{name}": tensor for name, tensor in stored_tensors().items()}
    _, report = load_model(put(tmp_path, tensors, stored_config()))
    assert report.wrapper == "module."
    assert "prefix 'module.' of a training framework was taken off" in str(report)


def test_a_missing_backbone_tensor_is_an_error_with_its_nearest_name(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    tensors["bert.encoder.layer.1.output.dense.bais"] = tensors.pop("bert.encoder.layer.1.output.dense.bias")
    put(tmp_path, tensors, stored_config("bert", "masked_lm"))
    with pytest.raises(
        CheckpointError, match=r"1 backbone tensors are missing, first .*dense\.bias.*did you mean .*bais"
    ):
        load_model(tmp_path)


def test_a_backbone_tensor_of_another_shape_names_both_shapes(tmp_path: Path) -> None:
    tensors = stored_tensors()
    tensors["encoder.layer.1.output.dense.bias"] = torch.zeros(13)
    put(tmp_path, tensors, stored_config())
    with pytest.raises(CheckpointError) as error:
        load_model(tmp_path)
    for part in ("encoder.layer.1.output.dense.bias", "(12,)", "backbone.blocks.1.feed_forward.down.bias", "(13,)"):
        assert part in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_weights_that_are_no_floating_point_numbers_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    tensors["cls.predictions.bias"] = tensors["cls.predictions.bias"].to(dtype)
    put(tmp_path, tensors, stored_config("bert", "masked_lm"))
    with pytest.raises(CheckpointError, match=r"cls\.predictions\.bias: .* found \(31,\), (int64|bool)"):
        load_model(tmp_path)


def test_a_head_for_other_labels_starts_anew_and_is_reported(poison: None, tmp_path: Path) -> None:
    saved = tiny_model("bert", "sequence_classification")
    put(tmp_path, stored_tensors("bert", "sequence_classification"), stored_config("bert", "sequence_classification"))
    model, report = load_model(tmp_path, heads=("sequence_classification",), overrides={"num_labels": 5})
    head = "heads.sequence_classification.classifier.linear"
    assert report.mismatched == (
        f"{head}.weight (stored (2, 12), wanted (5, 12))", f"{head}.bias (stored (2,), wanted (5,))",
    )  # fmt: skip
    assert report.missing == ()
    assert "other shape, initialised" in str(report)
    assert model.config.num_labels == 5
    assert model(random_ids(2, 4)).logits.shape == (2, 5)
    assert has_only_finite(model)
    assert torch.equal(model.backbone.pooler.dense.weight, saved.backbone.pooler.dense.weight)


def test_a_backbone_without_pooler_gives_no_pooler_output(tmp_path: Path) -> None:
    put(tmp_path, stored_tensors("bert", "masked_lm"), stored_config("bert", "masked_lm"))
    model, report = load_model(tmp_path, heads=())
    assert model(random_ids(1, 3)).pooler_output is None
    assert report.notes == ("no pooler is stored, so the model has no pooler_output",)
    assert report.missing == ()


@pytest.mark.usefixtures("poison")
def test_a_classifier_on_a_language_model_reports_its_new_pooler(tmp_path: Path) -> None:
    put(tmp_path, stored_tensors("bert", "masked_lm"), stored_config("bert", "masked_lm"))
    model, report = load_model(tmp_path, heads=("sequence_classification",))
    assert report.missing == (
        "backbone.pooler.dense.weight",
        "backbone.pooler.dense.bias",
        "heads.sequence_classification.classifier.linear.weight",
        "heads.sequence_classification.classifier.linear.bias",
    )
    assert has_only_finite(model)
    assert all(name.startswith("cls.") for name in report.unused)


def test_a_stored_pooler_is_kept_though_no_head_reads_it(tmp_path: Path) -> None:
    put(tmp_path, stored_tensors("bert", "pretraining"), stored_config("bert", "pretraining"))
    model, _ = load_model(tmp_path, heads=("masked_lm",))
    assert model.backbone.pooler is not None


@pytest.mark.usefixtures("poison")
@pytest.mark.parametrize("head", ["pretraining", "sequence_classification", "masked_lm"])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_missing_no_parameter_stays_unfilled(head: str, tmp_path: Path, data: st.DataObject) -> None:
    tensors = stored_tensors("bert", "pretraining")
    outside = sorted(name for name in tensors if name.startswith(("cls.", "bert.pooler")))
    lost = data.draw(st.sets(st.sampled_from(outside)) | st.sets(st.sampled_from(sorted(tensors)), max_size=3))
    kept = {name: tensor for name, tensor in tensors.items() if name not in lost}
    put(tmp_path, kept, stored_config("bert", "pretraining"))
    if lost - set(outside):
        with pytest.raises(CheckpointError, match="backbone tensors are missing"):
            load_model(tmp_path, heads=(head,))
        return
    model, report = load_model(tmp_path, heads=(head,))
    assert has_only_finite(model)
    assert set(report.missing) | set(report.loaded) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("family", FAMILY_NAMES)
@pytest.mark.usefixtures("poison")
def test_a_bare_backbone_takes_any_head(family: str, tmp_path: Path) -> None:
    put(tmp_path, stored_tensors(family), stored_config(family))
    for head in FAMILIES.get(family).heads:
        model, report = load_model(tmp_path, heads=(head,))
        assert has_only_finite(model)
        assert all(name.startswith("heads.") for name in report.missing)


# ---------------------------------------------------------------------------------------------------- tied weights


def test_a_stored_copy_of_the_word_embeddings_must_equal_them(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    put(tmp_path, {**tensors, DECODER: tensors[WORDS].clone()}, stored_config("bert", "masked_lm"))
    assert load_model(tmp_path)[1].unused == ()
    put(tmp_path, {**tensors, DECODER: tensors[WORDS] + 1}, stored_config("bert", "masked_lm"))
    with pytest.raises(CheckpointError, match=r"should repeat the word embeddings .* pass tie_word_embeddings=False"):
        load_model(tmp_path)
    model, _ = load_model(tmp_path, overrides={"tie_word_embeddings": False})
    assert torch.equal(model.heads["masked_lm"].language_model.decoder.weight, tensors[WORDS] + 1)


def test_an_output_table_that_is_not_stored_starts_as_a_copy(tmp_path: Path) -> None:
    put(tmp_path, stored_tensors("bert", "masked_lm"), stored_config("bert", "masked_lm"))
    model, report = load_model(tmp_path, overrides={"tie_word_embeddings": False})
    words, decoder = model.backbone.embeddings.word.weight, model.heads["masked_lm"].language_model.decoder.weight
    assert torch.equal(words, decoder)
    assert words.data_ptr() != decoder.data_ptr()
    assert any("starts as a copy of the word embeddings" in note for note in report.notes)


def test_an_output_table_that_shares_memory_in_the_file_gets_its_own(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    torch.save({**tensors, DECODER: tensors[WORDS]}, tmp_path / "pytorch_model.bin")
    write_json(tmp_path / "config.json", stored_config("bert", "masked_lm"))
    model, _ = load_model(tmp_path, overrides={"tie_word_embeddings": False})
    words, decoder = model.backbone.embeddings.word.weight, model.heads["masked_lm"].language_model.decoder.weight
    assert words.data_ptr() != decoder.data_ptr()


def test_an_output_table_of_another_size_is_reported(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    tensors[DECODER] = torch.zeros(40, 12)
    put(tmp_path, tensors, stored_config("bert", "masked_lm"))
    _, report = load_model(tmp_path, overrides={"tie_word_embeddings": False})
    assert report.mismatched == ("heads.masked_lm.language_model.decoder.weight (stored (40, 12), wanted (31, 12))",)


@pytest.mark.parametrize("heads", [(), ("masked_lm",), ("sequence_classification",)])
def test_a_copy_alone_takes_the_place_of_the_word_embeddings(heads: tuple[str, ...], tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm")
    words = tensors.pop(WORDS)
    put(tmp_path, {**tensors, DECODER: words}, stored_config("bert", "masked_lm"))
    model, report = load_model(tmp_path, heads=heads)
    assert torch.equal(model.backbone.embeddings.word.weight, words)
    assert DECODER not in report.unused


def test_the_bias_of_an_output_table_of_its_own_is_that_of_the_decoder_layer(tmp_path: Path) -> None:
    tensors = stored_tensors("bert", "masked_lm", tie_word_embeddings=False)
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"] + 1  # transformers 5 keeps an idle one
    put(tmp_path, tensors, stored_config("bert", "masked_lm", tie_word_embeddings=False))
    model, report = load_model(tmp_path)
    assert torch.equal(model.heads["masked_lm"].language_model.bias, tensors["cls.predictions.decoder.bias"])
    assert report.unused == ()


# ---------------------------------------------------------------------------------------------- numbers and memory


def as_safetensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    safetensors.write(folder, tensors)


def as_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    assert len(safetensors.write(folder, tensors, max_shard_size=3000)) > 2


def as_bin(folder: Path, tensors: dict[str, Tensor]) -> None:
    torch.save(tensors, folder / "pytorch_model.bin")


@pytest.mark.parametrize("write", [as_safetensors, as_shards, as_bin])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nan_and_infinity_are_refused_in_every_container(
    write: Callable[[Path, dict[str, Tensor]], None], value: float, dtype: torch.dtype, tmp_path: Path
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in stored_tensors("bert", "masked_lm").items()}
    write_json(tmp_path / "config.json", stored_config("bert", "masked_lm"))
    name = "bert.encoder.layer.1.intermediate.dense.weight"
    tensors[name][3, 4] = value
    write(tmp_path, tensors)
    with pytest.raises(CheckpointError, match=f"NaN or infinity in {name}: the file is damaged"):
        load_model(tmp_path)


@pytest.mark.parametrize("write", [as_safetensors, as_shards, as_bin])
def test_nan_in_a_head_that_nobody_wants_does_no_harm(
    write: Callable[[Path, dict[str, Tensor]], None], tmp_path: Path
) -> None:
    tensors = stored_tensors("bert", "pretraining")
    tensors["cls.predictions.bias"].fill_(float("nan"))
    write_json(tmp_path / "config.json", stored_config("bert", "pretraining"))
    write(tmp_path, tensors)
    load_model(tmp_path, heads=())
    with pytest.raises(CheckpointError, match=r"NaN or infinity in cls\.predictions\.bias"):
        load_model(tmp_path)


def test_large_finite_numbers_are_no_infinity(tmp_path: Path) -> None:
    tensors = stored_tensors()
    tensors["pooler.dense.weight"].fill_(3e38)
    load_model(put(tmp_path, tensors, stored_config()))


def test_weights_are_float32_unless_another_type_is_asked_for(tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in stored_tensors("bert", "masked_lm").items()}
    put(tmp_path, tensors, stored_config("bert", "masked_lm"))

    def types(dtype: torch.dtype | None, **options: tuple[str, ...]) -> set[torch.dtype]:
        model, _ = load_model(tmp_path, dtype=dtype, **options)
        return {parameter.dtype for parameter in model.parameters()}

    assert types(torch.float32) == {torch.float32}
    assert types(torch.bfloat16) == {torch.bfloat16}
    assert types(None) == {torch.float16}
    assert types(None, heads=("sequence_classification",)) == {torch.float16}  # new parameters too
    tensors[WORDS] = tensors[WORDS].to(torch.bfloat16)
    put(tmp_path, tensors, stored_config("bert", "masked_lm"))
    assert types(None) == {torch.float32}  # holds both without loss


def test_mapped_tensors_become_parameters_without_a_copy(tmp_path: Path) -> None:
    put(tmp_path, stored_tensors("bert", "masked_lm"), stored_config("bert", "masked_lm"))
    checkpoint = open_checkpoint(tmp_path)
    model, _ = fill_model(checkpoint, heads=None, dtype=torch.float32, device="cpu")
    stored = {tensor.data_ptr() for tensor in checkpoint.tensors.values()}
    assert {parameter.data_ptr() for parameter in model.parameters()} == stored


def test_training_a_loaded_model_leaves_its_file_alone(tmp_path: Path) -> None:
    model = tiny_model("bert", "sequence_classification")
    save_model(model, tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    loaded, _ = load_model(tmp_path)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.add_(1.0)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert_same_parameters(load_model(tmp_path)[0], model)


def test_loading_imports_no_compiler(tmp_path: Path) -> None:
    """torch._dynamo alone takes longer to import than a model takes to load."""
    put(tmp_path, stored_tensors(), stored_config())
    program = """
import json, sys, plm
plm.AutoModel.from_pretrained(sys.argv[1])
print(json.dumps([name for name in sys.modules if name.startswith(("torch._dynamo", "sympy", "transformers"))]))
"""
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
