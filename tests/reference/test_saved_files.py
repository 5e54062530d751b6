"""Folders that plm writes open in transformers, and the other way round, with equal outputs and equal conventions."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plm.auto import models
from plm.checkpoints.formats import safetensors
from plm.checkpoints.loading import load_model
from plm.checkpoints.saving import save_model
from plm.models.config import default_labels
from tests.tiny_models import VOCABULARY, random_ids, randomized, tiny_model
from tests.tolerances import assert_close

transformers = pytest.importorskip("transformers", reason="files are compared where transformers is installed")

BERT = {
    "BertModel": "AutoModel",
    "BertForPreTraining": "AutoModelForPreTraining",
    "BertForMaskedLM": "AutoModelForMaskedLM",
    "BertLMHeadModel": "AutoModelForCausalLM",
    "BertForNextSentencePrediction": "AutoModelForNextSentencePrediction",
    "BertForSequenceClassification": "AutoModelForSequenceClassification",
    "BertForTokenClassification": "AutoModelForTokenClassification",
    "BertForQuestionAnswering": "AutoModelForQuestionAnswering",
    "BertForMultipleChoice": "AutoModelForMultipleChoice",
}
GPT1 = {
    "OpenAIGPTModel": "AutoModel",
    "OpenAIGPTLMHeadModel": "AutoModelForCausalLM",
    "OpenAIGPTForSequenceClassification": "AutoModelForSequenceClassification",
    "OpenAIGPTDoubleHeadsModel": "AutoModelForDoubleHeads",
}
KINDS = [("bert", *names) for names in BERT.items()] + [("openai-gpt", *names) for names in GPT1.items()]
every_kind = pytest.mark.parametrize(("family", "theirs", "ours"), KINDS, ids=[kind[1] for kind in KINDS])


@pytest.fixture(autouse=True)
def quiet() -> None:
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


def inputs(kind: str) -> dict[str, Tensor]:
    """Ids, with padding on the right where that is the same thing in both libraries."""
    has_choices = kind.endswith(("MultipleChoice", "DoubleHeadsModel"))
    ids = random_ids(2, 3, 6) if has_choices else random_ids(3, 6)
    if has_choices and kind.startswith("OpenAI"):
        return {"input_ids": ids, "mc_token_ids": torch.full(ids.shape[:-1], 5)}
    mask = torch.ones_like(ids)
    if kind.startswith("Bert"):
        mask[0, ..., 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def live(name: str, output: Tensor, mask: Tensor | None) -> Tensor:
    """An output without its values at padding, which libraries fill as they like."""
    by_token = name in ("last_hidden_state", "prediction_logits", "start_logits", "end_logits") or (
        mask is not None and output.shape[: mask.dim()] == mask.shape
    )
    return output[mask.bool()] if by_token and mask is not None else output


def assert_same_outputs(ours: nn.Module, theirs: nn.Module, batch: dict[str, Tensor]) -> None:
    with torch.no_grad():
        mine, reference = ours(**batch), theirs(**batch)
    mask = batch.get("attention_mask")
    for name in mine:
        if name != "pooler_output" or reference.get(name) is not None:
            assert_close(live(name, mine[name], mask), live(name, reference[name], mask))


def our_model(family: str, ours: str, **changes: Any) -> Any:
    cls = getattr(models, ours)
    if family == "openai-gpt":
        changes = {"intermediate_size": 48, **changes}  # the only width that OpenAIGPTConfig knows
    if ours == "AutoModelForSequenceClassification":
        changes["id2label"] = default_labels(3)
    return tiny_model(family, *cls.heads, **changes).eval()


def their_config(family: str, **changes: Any) -> Any:
    if family == "bert":
        sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 20,
                 "max_position_embeddings": 24}  # fmt: skip
        return transformers.BertConfig(vocab_size=VOCABULARY, **sizes, **changes)
    return transformers.OpenAIGPTConfig(
        vocab_size=VOCABULARY, n_embd=12, n_layer=2, n_head=3, n_positions=24, pad_token_id=0, **changes
    )


@every_kind
def test_what_plm_saves_opens_in_transformers_with_the_same_outputs(
    family: str, theirs: str, ours: str, tmp_path: Path
) -> None:
    model = our_model(family, ours, pad_token_id=0, **({"attention_pattern": "causal"} if "LMHead" in theirs else {}))
    save_model(model, tmp_path)
    reference, report = getattr(transformers, theirs).from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["mismatched_keys"]
    assert all("pooler" in name for name in report["unexpected_keys"])
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == [theirs]
    assert_same_outputs(model, reference.eval(), inputs(theirs))


@every_kind
def test_what_transformers_saves_opens_in_plm_with_the_same_outputs(
    family: str, theirs: str, ours: str, tmp_path: Path
) -> None:
    changes = {"is_decoder": True} if theirs == "BertLMHeadModel" else {}
    reference = randomized(getattr(transformers, theirs)(their_config(family, **changes))).eval()
    reference.save_pretrained(tmp_path)
    model = getattr(models, ours).from_pretrained(tmp_path)
    assert (model.loaded.missing, model.loaded.mismatched, model.loaded.unused) == ((), (), ())
    assert_same_outputs(model, reference, inputs(theirs))
    assert load_model(tmp_path)[0].config == model.config


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_variants_of_a_masked_language_model_open_on_both_sides(activation: str, is_tied: bool, tmp_path: Path) -> None:
    model = tiny_model("bert", "masked_lm", hidden_act=activation, tie_word_embeddings=is_tied, layer_norm_eps=1e-7)
    save_model(model.eval(), tmp_path / "ours", max_shard_size=6000)
    assert (tmp_path / "ours" / "model.safetensors.index.json").is_file()
    reference = transformers.BertForMaskedLM.from_pretrained(tmp_path / "ours").eval()
    assert_same_outputs(model, reference, inputs("BertForMaskedLM"))
    with torch.no_grad():
        randomized(reference, seed=1)
    reference.save_pretrained(tmp_path / "theirs")
    again = models.AutoModelForMaskedLM.from_pretrained(tmp_path / "theirs")
    assert_same_outputs(again, reference, inputs("BertForMaskedLM"))


@pytest.mark.parametrize("is_tied", [True, False])
def test_variants_of_a_causal_language_model_open_on_both_sides(is_tied: bool, tmp_path: Path) -> None:
    reference = randomized(transformers.OpenAIGPTLMHeadModel(their_config("openai-gpt", tie_word_embeddings=is_tied)))
    reference.eval().save_pretrained(tmp_path / "theirs")
    model = models.AutoModelForCausalLM.from_pretrained(tmp_path / "theirs")
    assert_same_outputs(model, reference, inputs("OpenAIGPTLMHeadModel"))
    model.save_pretrained(tmp_path / "ours")
    again = transformers.OpenAIGPTLMHeadModel.from_pretrained(tmp_path / "ours").eval()
    assert_same_outputs(model, again, inputs("OpenAIGPTLMHeadModel"))


@pytest.mark.parametrize(
    ("family", "theirs"), [("bert", "BertForTokenClassification"), ("openai-gpt", "OpenAIGPTModel")]
)
@pytest.mark.parametrize("max_shard_size", [10**9, 6000])
def test_a_save_and_load_by_plm_keeps_the_files_of_transformers(
    family: str, theirs: str, max_shard_size: int, tmp_path: Path
) -> None:
    """Names, values and the config: sorted keys, two spaces, final newline, every field that transformers writes."""
    labels = {"id2label": {0: "O", 1: "PER", 2: "LOC"}, "label2id": {"O": 0, "PER": 1, "LOC": 2}}
    reference = randomized(getattr(transformers, theirs)(their_config(family, problem_type="regression", **labels)))
    reference.save_pretrained(tmp_path / "theirs", max_shard_size=max_shard_size)
    model, _ = load_model(tmp_path / "theirs", heads=("token_classification",) if "Token" in theirs else ())
    save_model(model, tmp_path / "ours", max_shard_size=max_shard_size)
    entry = "model.safetensors" if max_shard_size > 6000 else "model.safetensors.index.json"
    mine, original = (safetensors.read(tmp_path / side / entry) for side in ("ours", "theirs"))
    assert set(mine) == set(original)
    assert all(torch.equal(mine[name], original[name]) for name in mine)
    text = (tmp_path / "ours" / "config.json").read_text()
    content = json.loads(text)
    assert text == json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    expected = json.loads((tmp_path / "theirs" / "config.json").read_text())
    idle = {"transformers_version", "use_cache", "bos_token_id", "eos_token_id", "add_cross_attention", "summary_type",
            "summary_use_proj", "summary_activation", "summary_proj_to_labels"}  # fmt: skip
    assert {name: value for name, value in expected.items() if name not in idle and content.get(name) != value} == {}
    assert content.keys() <= expected.keys()


def test_an_index_looks_as_transformers_writes_it(tmp_path: Path) -> None:
    reference = transformers.BertModel(their_config("bert"))
    reference.save_pretrained(tmp_path / "theirs", max_shard_size=6000)
    save_model(load_model(tmp_path / "theirs")[0], tmp_path / "ours", max_shard_size=6000)
    mine, theirs = (tmp_path / side / "model.safetensors.index.json" for side in ("ours", "theirs"))
    first, second = json.loads(mine.read_text()), json.loads(theirs.read_text())
    assert mine.read_text() == json.dumps(first, indent=2, sort_keys=True) + "\n"
    assert first["metadata"] == second["metadata"]
    assert first["weight_map"].keys() == second["weight_map"].keys()
    pattern = r"model-\d{5}-of-\d{5}\.safetensors"
    assert all(re.fullmatch(pattern, file) for file in {*first["weight_map"].values(), *second["weight_map"].values()})
