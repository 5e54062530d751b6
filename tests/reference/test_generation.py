"""The same texts as transformers' `generate` on tiny random models, and the same filters."""

from __future__ import annotations

import pytest
import torch

from plm.generation import GenerationConfig, generate
from plm.generation.sampling import filtered
from tests.reference.test_transformers import FULL, IDS, LEFT, bert_pair, gpt1_pair

transformers = pytest.importorskip("transformers", reason="parity is checked where transformers is installed")
pytestmark = pytest.mark.filterwarnings("ignore")

STOPS = (3, 7, 11)
WAYS = {
    "greedy": {},
    "penalty": {"repetition_penalty": 1.4},
    "n-grams": {"no_repeat_ngram_size": 2},
    "beams": {"num_beams": 3},
    "several beams": {"num_beams": 4, "num_return_sequences": 3},
    "long beams": {"num_beams": 4, "length_penalty": 2.5},
    "short beams": {"num_beams": 4, "length_penalty": 0.0},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", ["openai-gpt", "bert"])
def test_texts_are_those_of_transformers(way: str, family: str) -> None:
    if family == "bert":
        ours, theirs = bert_pair("BertLMHeadModel", "causal_lm", attention_pattern="causal")
    else:
        ours, theirs = gpt1_pair("OpenAIGPTLMHeadModel", "causal_lm")
    ours.eval(), theirs.eval()
    mask = FULL if way in ("penalty", "n-grams") else LEFT  # theirs counts tokens of the padding as seen
    expected = theirs.generate(
        IDS, attention_mask=mask, max_new_tokens=10, eos_token_id=list(STOPS), pad_token_id=0, **WAYS[way]
    )
    config = GenerationConfig(max_new_tokens=10, stop_token_ids=STOPS, **WAYS[way])
    found = generate(ours, IDS, config, attention_mask=mask)
    for number, text in enumerate(expected[:, IDS.shape[1] :].tolist()):
        end = next((place + 1 for place, token in enumerate(text) if token in STOPS), len(text))
        assert found.text_ids(number) == text[:end]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"top_p": 0.7}, ["TopPLogitsWarper(0.7)"]),
        ({"min_p": 0.15}, ["MinPLogitsWarper(0.15)"]),
        ({"typical_p": 0.6}, ["TypicalLogitsWarper(0.6)"]),
        (
            {"top_p": 0.9, "min_p": 0.05},
            ["TopPLogitsWarper(0.9)", "MinPLogitsWarper(0.05)"],
        ),
    ],
)
def test_filters_keep_the_tokens_that_those_of_transformers_keep(ours: dict[str, float], theirs: list[str]) -> None:
    logits = torch.randn(50, 40, generator=torch.Generator().manual_seed(3)).mul(2).sort(descending=True).values
    expected = logits
    for name in theirs:
        kind, value = name.rstrip(")").split("(")
        expected = getattr(transformers, kind)(float(value))(None, expected)
    torch.testing.assert_close(filtered(logits.softmax(1), GenerationConfig(**ours)), expected.softmax(1))
