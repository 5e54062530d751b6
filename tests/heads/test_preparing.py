"""Models made ready to go on with texts."""

from __future__ import annotations

import copy

import pytest
import torch

from plm.blocks.int8 import int8_supported
from plm.generation import GenerationConfig, generate
from plm.heads.preparing import for_decoding
from tests.generation.test_generate import CAUSAL, causal_model
from tests.tiny_models import random_ids


@pytest.mark.parametrize("family", CAUSAL)
def test_a_prepared_model_writes_the_same_and_leaves_the_given_one_as_it_is(family: str) -> None:
    model = causal_model(family).train()
    before = copy.deepcopy(model.state_dict())
    prepared = for_decoding(model)
    assert model.training
    assert not prepared.training
    config = GenerationConfig(max_new_tokens=9, temperature=1.0, num_return_sequences=3)
    found, expected = generate(prepared, random_ids(2, 4), config), generate(model.eval(), random_ids(2, 4), config)
    assert torch.equal(found.ids, expected.ids)
    torch.testing.assert_close(found.scores, expected.scores, atol=1e-4, rtol=1e-4)
    assert model.state_dict().keys() == before.keys()
    torch.testing.assert_close(model.state_dict(), before)


def test_a_prepared_model_follows_the_weights_of_the_given_one() -> None:
    model = causal_model("openai-gpt")
    prepared = for_decoding(model)
    with torch.no_grad():
        prepared(random_ids(6, 4))
        model.backbone.embeddings.word.weight.normal_()
        torch.testing.assert_close(prepared(random_ids(6, 4)).logits, model(random_ids(6, 4)).logits)


@pytest.mark.skipif(not int8_supported(), reason="this torch has no kernels for eight bits here")
@pytest.mark.parametrize("family", CAUSAL)
@torch.inference_mode()
def test_eight_bits_are_near_the_exact_scores(family: str) -> None:
    model, ids = causal_model(family), random_ids(3, 6)
    exact, rounded = model(ids).logits, for_decoding(model, int8=True)(ids).logits
    assert (exact - rounded).norm() < 0.1 * exact.norm()
