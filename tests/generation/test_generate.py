"""Texts that go on: cached and uncached, alone and in batches, greedy, drawn and by beams."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from plm.errors import ConfigError, GenerationError, ShapeError
from plm.generation import GenerationConfig, generate, generate_steps
from plm.heads.model import Model
from tests.tiny_models import VOCABULARY, random_ids, tiny_model

CAUSAL = {"bert": {"attention_pattern": "causal"}, "nezha": {"attention_pattern": "causal"}, "openai-gpt": {}}

WAYS = {
    "greedy": GenerationConfig(max_new_tokens=9),
    "penalty": GenerationConfig(max_new_tokens=9, repetition_penalty=1.7, no_repeat_ngram_size=2),
    "sampling": GenerationConfig(max_new_tokens=9, temperature=1.3, seed=5),
    "top-k": GenerationConfig(max_new_tokens=9, top_k=5, num_return_sequences=3),
    "top-p": GenerationConfig(max_new_tokens=9, top_p=0.8, num_return_sequences=2),
    "min-p, typical": GenerationConfig(max_new_tokens=9, min_p=0.02, typical_p=0.9),
    "beams": GenerationConfig(max_new_tokens=9, num_beams=4, num_return_sequences=2, stop_token_ids=(7, 11)),
    "stops": GenerationConfig(
        max_new_tokens=9, temperature=2.0, num_return_sequences=6, stop_token_ids=(3, 4, 5, 6, 7)
    ),
}


def causal_model(family: str) -> Model:
    head = "causal_lm"
    return tiny_model(family, head, **CAUSAL[family]).eval()


@pytest.fixture(scope="module", params=CAUSAL)
def model(request: pytest.FixtureRequest) -> Model:
    return causal_model(request.param)


PROMPTS = ([4, 9, 2, 17, 5], [8], [21, 3, 3])


def padded(side: str) -> tuple[Tensor, Tensor]:
    width = max(map(len, PROMPTS))
    rows, masks = [], []
    for prompt in PROMPTS:
        fill, ones = [0] * (width - len(prompt)), [1] * len(prompt)
        rows.append(prompt + fill if side == "right" else fill + prompt)
        masks.append(ones + fill if side == "right" else fill + ones)
    return torch.tensor(rows), torch.tensor(masks)


@pytest.mark.parametrize("way", WAYS)
def test_cached_texts_are_uncached_texts(model: Model, way: str) -> None:
    ids, mask = padded("left")
    cached = generate(model, ids, WAYS[way], attention_mask=mask)
    plain = generate(model, ids, WAYS[way], attention_mask=mask, cached=False)
    assert torch.equal(cached.ids, plain.ids)
    assert torch.equal(cached.lengths, plain.lengths)
    assert cached.endings == plain.endings
    torch.testing.assert_close(cached.scores, plain.scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_do_not_depend_on_the_batch_or_the_side_of_padding(model: Model, way: str, side: str) -> None:
    ids, mask = padded(side)
    together = generate(model, ids, WAYS[way], attention_mask=mask)
    texts = WAYS[way].num_return_sequences
    for number, prompt in enumerate(PROMPTS):
        alone = generate(model, torch.tensor([prompt]), WAYS[way])
        for text in range(texts):
            assert together.text_ids(number * texts + text) == alone.text_ids(text)


def test_greedy_takes_the_likeliest_token_each_time(model: Model) -> None:
    ids = torch.tensor([[4, 9, 2]])
    found = generate(model, ids, GenerationConfig(max_new_tokens=5))
    for _ in range(5):
        with torch.no_grad():
            ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1, keepdim=True)], 1)
    assert found.text_ids(0) == ids[0, 3:].tolist()
    assert found.endings == ("length",)


def test_scores_are_log_probabilities_of_the_model(model: Model) -> None:
    prompt = torch.tensor([[4, 9, 2]])
    found = generate(
        model, prompt, GenerationConfig(max_new_tokens=6, temperature=1.5, top_k=4, repetition_penalty=1.2)
    )
    everything = torch.cat([prompt, found.ids], 1)
    with torch.no_grad():
        known = model(everything).logits.log_softmax(-1)[:, 2:-1].gather(2, found.ids[:, :, None]).squeeze(2)
    torch.testing.assert_close(found.scores, known, atol=1e-4, rtol=1e-4)


def test_another_seed_gives_other_texts_and_the_same_seed_the_same(model: Model) -> None:
    prompt = random_ids(1, 4)
    one, again, other = (
        generate(model, prompt, GenerationConfig(max_new_tokens=12, temperature=3.0, seed=seed)).text_ids(0)
        for seed in (1, 1, 2)
    )
    assert one == again != other


def test_a_stop_token_is_the_last_of_its_text(model: Model) -> None:
    stops = (3, 4, 5, 6, 7)
    found = generate(
        model,
        random_ids(2, 4),
        GenerationConfig(max_new_tokens=15, temperature=3.0, num_return_sequences=8, stop_token_ids=stops),
    )
    assert "stop" in found.endings
    for number, ending in enumerate(found.endings):
        text = found.text_ids(number)
        assert (text[-1] in stops) == (ending == "stop")
        assert not set(text[:-1]) & set(stops)
        assert not found.ids[number, len(text) :].any()


class Only:
    """One token alone at some steps, every even token at others."""

    def __init__(self, forced: dict[int, int]) -> None:
        self.forced, self.asked = forced, 0

    def __call__(self, step: int, ids: Tensor) -> Tensor:
        assert ids.shape[1] == step
        self.asked += 1
        allowed = torch.zeros(len(ids), VOCABULARY, dtype=torch.bool)
        allowed[:, self.forced.get(step, slice(0, None, 2))] = True
        return allowed


@pytest.mark.parametrize("way", ["greedy", "top-k", "beams"])
def test_constraints_are_kept_and_forced_tokens_cost_no_step(model: Model, way: str) -> None:
    calls = []
    handle = model.backbone.register_forward_hook(lambda *_: calls.append(1))
    found = generate(model, random_ids(2, 3), WAYS[way], constraints=[Only({2: 9, 3: 15, 4: 13})])
    handle.remove()
    for text in found.ids:
        assert text[2:5].tolist() == [9, 15, 13]
        assert all(token % 2 == 0 for place, token in enumerate(text.tolist()) if place not in (2, 3, 4))
    if way != "beams":
        assert len(calls) == 9 - 3
        assert torch.equal(found.scores[:, 2:5], torch.zeros(len(found.ids), 3))


def test_a_processor_changes_what_is_taken(model: Model) -> None:
    def favour(step: int, ids: Tensor, logits: Tensor) -> Tensor:
        logits = logits.clone()
        logits[:, 10 + step] += 1e4
        return logits

    found = generate(model, random_ids(1, 3), GenerationConfig(max_new_tokens=4), processors=[favour])
    assert found.text_ids(0) == [10, 11, 12, 13]


def test_constraints_that_allow_nothing_are_an_error(model: Model) -> None:
    def nothing(step: int, ids: Tensor) -> Tensor:
        return torch.full((len(ids), VOCABULARY), step < 2)

    for way in ("greedy", "beams"):
        with pytest.raises(GenerationError, match="no token as number 2"):
            generate(model, random_ids(2, 3), WAYS[way], constraints=[nothing])


def test_beams_whose_texts_have_all_ended_are_not_followed(model: Model) -> None:
    def stop(rows: Tensor, ids: Tensor) -> Tensor:
        return torch.full((len(ids),), ids.shape[1] == 3)

    config = GenerationConfig(max_new_tokens=9, num_beams=3, num_return_sequences=3)
    found = generate(model, random_ids(2, 4), config, stop=stop)
    assert found.lengths.tolist() == [3] * 6
    assert found.endings == ("stop",) * 6


def test_no_ngram_comes_twice(model: Model) -> None:
    prompt = torch.tensor([[4, 4, 4, 4]])
    found = generate(model, prompt, GenerationConfig(max_new_tokens=18, no_repeat_ngram_size=2))
    everything = prompt[0].tolist() + found.text_ids(0)
    pairs = list(pairwise(everything[3:]))
    assert len(pairs) == len(set(pairs))


def test_steps_are_the_texts_of_generate(model: Model) -> None:
    ids, mask = padded("right")
    steps = list(generate_steps(model, ids, WAYS["top-k"], attention_mask=mask))
    whole = generate(model, ids, WAYS["top-k"], attention_mask=mask)
    assert torch.equal(torch.stack([step.ids for step in steps], 1), whole.ids)


def test_too_few_positions_are_an_error_or_a_window() -> None:
    gpt = causal_model("openai-gpt")  # 24 positions
    with pytest.raises(ShapeError, match="24 positions"):
        generate(gpt, random_ids(1, 20), GenerationConfig(max_new_tokens=5))
    slides = GenerationConfig(max_new_tokens=60, overflow="slide")
    cached, plain = (generate(gpt, random_ids(2, 20), slides, cached=way) for way in (True, False))
    assert torch.equal(cached.ids, plain.ids)
    assert cached.ids.shape == (2, 60)
    window = torch.cat([random_ids(2, 20), cached.ids], 1)[:, 7:25]  # the first that does not fit: 18 of 24 are left
    with torch.no_grad():
        assert torch.equal(gpt(window).logits[:, -1].argmax(-1), cached.ids[:, 5])


def test_relative_positions_have_no_limit() -> None:
    found = generate(causal_model("nezha"), random_ids(1, 20), GenerationConfig(max_new_tokens=60))
    assert found.ids.shape == (1, 60)


def test_token_types_of_new_tokens_count() -> None:
    bert = causal_model("bert")
    prompt, types = random_ids(2, 3), torch.tensor([[0, 1, 1, 0, 1, 1, 0, 1], [0, 0, 0, 1, 1, 0, 0, 1]])
    config = GenerationConfig(max_new_tokens=5, temperature=1.0, num_return_sequences=2)
    new = types[:, 3:].repeat_interleave(2, 0)
    found = generate(bert, prompt, config, token_type_ids=types[:, :3], new_token_types=new)
    whole = torch.cat([prompt.repeat_interleave(2, 0), found.ids], 1)
    with torch.no_grad():
        logits = bert(whole, token_type_ids=types.repeat_interleave(2, 0)).logits
    known = logits.log_softmax(-1)[:, 2:-1].gather(2, found.ids[:, :, None]).squeeze(2)
    torch.testing.assert_close(found.scores, known, atol=1e-4, rtol=1e-4)


def test_prompts_read_both_ways_are_cached_too() -> None:
    prefix = tiny_model("bert", "causal_lm", attention_pattern="prefix").eval()
    ids, mask = padded("left")
    config = GenerationConfig(max_new_tokens=6)
    cached, plain = (generate(prefix, ids, config, attention_mask=mask, cached=way) for way in (True, False))
    assert torch.equal(cached.ids, plain.ids)


def test_models_that_cannot_go_on_say_why() -> None:
    with pytest.raises(ConfigError, match="is_decoder=True"):
        generate(tiny_model("bert", "masked_lm").eval(), random_ids(1, 3))
    with pytest.raises(ConfigError, match="AutoModelForCausalLM"):
        generate(tiny_model("openai-gpt", "sequence_classification").eval(), random_ids(1, 3))


def test_a_row_without_tokens_is_an_error(model: Model) -> None:
    with pytest.raises(ShapeError, match="row 1"):
        generate(model, random_ids(2, 3), attention_mask=torch.tensor([[1, 1, 1], [0, 0, 0]]))
    with pytest.raises(ShapeError, match="gaps"):
        generate(model, random_ids(1, 3), attention_mask=torch.tensor([[1, 0, 1]]))
