"""A masked model as judge: each character masked in its turn, and the mean of what the rest says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plm.checkpoints.saving import save_model
from plm.errors import CheckpointError
from plm.generation.poem_judge import MaskedJudge
from plm.heads.model import Model
from tests.tiny_models import tiny_model
from tests.tiny_poets import tiny_tokenizer

TEXTS = ["春花秋月，夜山水明。", "人工智能。", "龘花春夏秋，李白乾坤东。"]


def model(*heads: str, pattern: str = "full") -> Model:
    return tiny_model("bert", *heads, vocab_size=len(tiny_tokenizer()), attention_pattern=pattern).eval()


@pytest.fixture(scope="module")
def judge() -> MaskedJudge:
    return MaskedJudge(model("masked_lm"), tiny_tokenizer())


def one_by_one(judge: MaskedJudge, text: str) -> float:
    """The definition, without batches."""
    ids = judge.tokenizer.convert_tokens_to_ids(["[CLS]", *text, "[SEP]"])
    found = []
    for place, one in enumerate(text, start=1):
        if one in "，。":
            continue
        masked = [*ids[:place], judge.tokenizer.mask_token_id, *ids[place + 1 :]]
        with torch.inference_mode():
            logits = judge.model(input_ids=torch.tensor([masked])).logits[0, place]
        found.append(float(logits.log_softmax(-1)[ids[place]]))
    return sum(found) / len(found)


def test_verdicts_are_those_of_the_definition(judge: MaskedJudge) -> None:
    assert judge(TEXTS) == pytest.approx([one_by_one(judge, text) for text in TEXTS], abs=1e-5)


def test_verdicts_do_not_depend_on_the_batch(judge: MaskedJudge) -> None:
    small = MaskedJudge(judge.model, judge.tokenizer, rows=3)
    assert small(TEXTS) == pytest.approx(judge(TEXTS), abs=1e-5)
    assert judge([]) == []


@pytest.mark.parametrize(
    ("heads", "pattern", "message"),
    [(("causal_lm",), "causal", "this has causal_lm, causal attention"), ((), "full", "this has no head")],
)
def test_models_of_another_kind_are_refused(heads: tuple[str, ...], pattern: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MaskedJudge(model(*heads, pattern=pattern), tiny_tokenizer())


def test_a_folder_gives_the_same_judge(judge: MaskedJudge, tmp_path: Path) -> None:
    save_model(judge.model, tmp_path)
    judge.tokenizer.save_pretrained(tmp_path)
    assert MaskedJudge.from_pretrained(tmp_path)(TEXTS) == pytest.approx(judge(TEXTS), abs=1e-5)


def test_a_folder_without_the_head_is_refused(tmp_path: Path) -> None:
    save_model(model(), tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="not a judge of poems, it lacks"):
        MaskedJudge.from_pretrained(tmp_path)
