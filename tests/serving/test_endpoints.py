"""Every endpoint answers as the pipelines do, and says in one shape what is wrong with a request."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import plm
from plm.generation.config import GenerationConfig
from plm.serving import ServiceError
from plm.serving.opening import Opened
from tests.serving.running import Letters, Rhymer, Running, serving
from tests.tolerances import assert_close

TEXTS = ["the good film", "bad", "the old book was not very good"]
QUESTIONS = [{"question": "the film", "context": "the old red film was slow"}]


def post(service: Running, path: str, body: bytes | Any, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Status and JSON of the answer to a raw request."""
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, {"Content-Type": "application/json"} | (headers or {}))
    response = connection.getresponse()
    told = json.loads(response.read())
    connection.close()
    return response.status, told


def assert_same(first: Any, second: Any) -> None:
    """Equal but for the rounding of floats."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_same(first[name], second[name])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    elif isinstance(first, float):
        assert_close(first, second)
    else:
        assert first == second


def test_classes_are_those_of_the_pipeline(service: Running, folders: dict[str, Path]) -> None:
    classify = plm.pipeline("text-classification", folders["reviews"])
    pairs = [(text, "red") for text in TEXTS]
    assert_same(service.client.classify(TEXTS), classify(TEXTS))
    assert_same(service.client.classify(pairs), classify(pairs))
    assert_same(service.client.classify([TEXTS[0], pairs[0]]), [*classify(TEXTS[0]), *classify(pairs[0])])
    assert_same(service.client.classify(TEXTS[0]), classify(TEXTS[0]))


def test_all_classes_are_told_where_it_is_asked_for(service: Running) -> None:
    for answer in service.client.classify(TEXTS, scores=True):
        assert next(iter(answer["scores"])) == answer["label"]
        assert answer["scores"][answer["label"]] == answer["score"]
        assert sum(answer["scores"].values()) == pytest.approx(1.0)
        assert len(answer["scores"]) == 2


def test_entities_and_tags_are_those_of_the_pipeline(service: Running, folders: dict[str, Path]) -> None:
    values = [*TEXTS, ["old", "red", "book"]]
    assert_same(service.client.tag(values), plm.pipeline("ner", folders["names"])(values))


def test_answers_are_those_of_the_pipeline(service: Running, folders: dict[str, Path]) -> None:
    assert_same(service.client.answer(QUESTIONS), plm.pipeline("question-answering", folders["questions"])(QUESTIONS))


def test_vectors_are_those_of_the_pipeline(service: Running, folders: dict[str, Path]) -> None:
    expected = plm.pipeline("sentence-embedding", folders["words"])(TEXTS)
    assert_close(service.client.embed(TEXTS, model="words"), np.stack(expected))
    normal = service.client.embed(TEXTS, model="words", normalize=True)
    assert_close([sum(value * value for value in vector) for vector in normal], [1.0] * len(TEXTS))


def test_words_for_masks_are_those_of_the_model(service: Running, folders: dict[str, Path]) -> None:
    model = plm.AutoModelForMaskedLM.from_pretrained(folders["words"])
    tokenizer = plm.AutoTokenizer.from_pretrained(folders["words"])
    tokenizer.parse_special_tokens = True
    texts = ["the [MASK] was [MASK]", "[MASK] day"]
    told = service.client.fill_mask(texts, top_k=4)
    for text, masks in zip(texts, told, strict=True):
        batch = tokenizer(text, return_tensors="pt")
        chances = model(**batch).logits.softmax(-1)[batch["input_ids"] == tokenizer.mask_token_id]
        best = chances.topk(4)
        assert [[one["token"] for one in mask] for mask in masks] == [
            tokenizer.convert_ids_to_tokens(row) for row in best.indices.tolist()
        ]
        assert_close([[one["score"] for one in mask] for mask in masks], best.values)


def test_texts_are_those_of_the_generator_whole_and_in_pieces(service: Running, folders: dict[str, Path]) -> None:
    from plm.generation.generator import Generator

    generator = Generator.from_pretrained(folders["stories"])
    config = GenerationConfig(max_new_tokens=6)
    expected = [texts[0].text for texts in generator(TEXTS, config)]
    told = service.client.generate(TEXTS, options={"max_new_tokens": 6})
    assert [texts[0]["text"] for texts in told] == expected
    assert "".join(service.client.stream(TEXTS[0], options={"max_new_tokens": 6})) == expected[0]


def test_models_say_what_they_can_be_asked(service: Running) -> None:
    cards = {card["name"]: card for card in service.client.models()}
    assert {name: card["abilities"] for name, card in cards.items()} == {
        "reviews": ["classify", "embed"],
        "names": ["tag", "embed"],
        "questions": ["answer", "embed"],
        "words": ["embed", "fill-mask"],
        "stories": ["embed", "generate"],
    }
    assert cards["words"]["family"] == "nezha"
    assert cards["reviews"]["max_tokens"] == 40
    assert cards["words"]["max_tokens"] is None
    assert [cards[name]["mask_token"] for name in ("words", "stories")] == ["[MASK]", None]


def test_a_model_that_is_not_named_must_be_the_only_one(service: Running) -> None:
    with pytest.raises(ServiceError, match=r"several models answer /v1/embed: .* one of reviews, names"):
        service.client.embed("good")
    with pytest.raises(ServiceError, match=r"'review' is not served; did you mean 'reviews'\?") as caught:
        service.client.classify("good", model="review")
    assert (caught.value.kind, caught.value.status) == ("unknown_model", 404)
    with pytest.raises(ServiceError, match="'names' does not answer /v1/classify"):
        service.client.classify("good", model="names")
    with pytest.raises(ServiceError, match="no model here answers /v1/poem"):
        service.client.poem()


HOSTILE = {
    b"[" * 50_000: (400, "not JSON"),
    b'{"inputs": ': (400, "the body is not JSON: .* at character 11"),
    b"\xff\xfe": (400, "not JSON"),
    b"": (422, "body: field required"),
    b"[]": (422, "body: "),
    b"{}": (422, "inputs: field required"),
    b'{"inputs": []}': (422, "inputs: list should have at least 1 item"),
    b'{"inputs": 3}': (422, r"inputs\[0\]: expected a string, or \{"),
    b'{"inputs": [null]}': (422, r"inputs\[0\]: expected a string"),
    b'{"inputs": ["a", {"text": "a", "pair": 1}]}': (422, r"inputs\[1\].pair: input should be a valid string"),
    b'{"inputs": "a", "truncate": "yes"}': (422, "truncate: input should be a valid boolean"),
    b'{"inputs": "a", "file": "/etc/passwd"}': (422, "file: extra inputs are not permitted"),
    b'{"inputs": "\\ud800"}': (422, r"inputs\[0\].text: is not valid Unicode"),
    b'{"inputs": "a", "\\ud800": 1}': (422, "body: .* unicode"),
    b'{"inputs": "a", "model": "\\udfff"}': (422, "model: is not valid Unicode"),
    b'{"inputs": "a\\u0000b"}': (422, r"inputs\[0\].text: holds a NUL character"),
    b'{"inputs": "' + b"x" * 200_000 + b'"}': (422, r"inputs\[0\]: has 200000 characters, more than 100000"),
    b'{"inputs": "' + b"x" * (1 << 20) + b'"}': (413, "larger than 1048576 bytes"),
    json.dumps({"inputs": "good " * 50}).encode(): (422, r'\[0\]: has 52 tokens, and reviews takes 40; .*"truncate"'),
    json.dumps({"inputs": ["a"] * 257}).encode(): (422, "inputs: 257 are more than 256 at once"),
}


@pytest.mark.parametrize("body", HOSTILE, ids=[repr(body[:24]) for body in HOSTILE])
def test_hostile_requests_are_refused_with_a_reason(service: Running, body: bytes) -> None:
    status, told = post(service, "/v1/classify", body)
    assert told.keys() == {"error"}
    expected, message = HOSTILE[body]
    assert status == expected, told
    assert re.search(message, told["error"]["message"]), told


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("tag", {"inputs": [["good", 3]]}, r"inputs\[0\]\[1\]: input should be a valid string"),
        ("tag", {"inputs": [["good", ""]]}, "expected a string, or a list of words that are not empty"),
        ("answer", {"inputs": "good"}, r"inputs\[0\]: "),
        ("answer", {"inputs": {"question": "a"}}, r"inputs\[0\].context: field required"),
        ("fill-mask", {"inputs": ["[MASK]", "good"]}, r"has no \[MASK\]"),
        ("fill-mask", {"inputs": "[MASK]", "top_k": 51}, "top_k: input should be less than or equal to 50"),
        ("generate", {"inputs": "good", "temperature": -1}, "temperature: input should be greater than 0"),
        ("generate", {"inputs": "good", "seed": 10**40}, "seed: "),
        ("generate", {"inputs": "good", "max_new_tokens": 3000}, "asks for 3000 new tokens .* 2048 may be"),
        ("generate", {"inputs": "good", "num_return_sequences": 2}, "greedy texts of one prompt are all"),
        ("generate", {"inputs": "good " * 39, "max_new_tokens": 30}, "position"),
        ("generate", {"inputs": ["a", "b"], "stream": True}, "stream: one prompt"),
        ("generate", {"inputs": "", "stream": True}, "is empty"),
    ],
)
def test_what_cannot_be_done_is_told(service: Running, path: str, body: Any, message: str) -> None:
    status, told = post(service, f"/v1/{path}", body)
    assert status == 422, told
    assert re.search(message, told["error"]["message"]), told


def test_nan_is_no_number(service: Running) -> None:
    status, told = post(service, "/v1/generate", b'{"inputs": "a", "temperature": NaN}')
    assert (status, told["error"]["type"]) == (422, "invalid_request")


def test_other_paths_methods_and_types_are_errors_of_the_same_shape(service: Running) -> None:
    assert post(service, "/v1/nothing", {})[1]["error"]["type"] == "not_found"
    assert post(service, "/v1/models", {})[1]["error"]["type"] == "method_not_allowed"
    assert post(service, "/v1/reload", {})[1]["error"]["type"] == "not_found"  # no token, no reload
    status, told = post(service, "/v1/classify", {"inputs": "good"}, {"Content-Type": "text/plain"})
    assert status == 422, told
    assert post(service, "/static/../app.py", {})[0] in (404, 405)


def test_texts_that_are_too_long_are_cut_on_request_and_it_is_said(service: Running, folders: dict[str, Path]) -> None:
    long = "good " * 100
    status, told = post(service, "/v1/classify", {"inputs": ["bad", long], "truncate": True})
    assert (status, told["truncated"], told["tokens"]) == (200, [1], 3 + 40)
    assert_same(told["answers"], plm.pipeline("text-classification", folders["reviews"])(["bad", long]))


@pytest.fixture(scope="module")
def writing() -> Iterator[tuple[Running, Letters]]:
    """A service of made-up writers."""
    letters = Letters()
    with serving({"a": lambda: Opened(doors={}, writer=letters, poet=Rhymer())}) as running:
        yield running, letters


def test_poems_are_those_of_the_poet(writing: tuple[Running, Letters]) -> None:
    service, _ = writing
    poems = service.client.poem(wishes={"mode": "acrostic", "form": "七绝", "text": "人工智能", "n": 2})
    assert [poem["lines"] for poem in poems] == [["人工智能"]] * 2
    with pytest.raises(ServiceError, match="'sonnet' is not one of"):
        service.client.poem(wishes={"form": "sonnet"})
    with pytest.raises(ServiceError, match="n: 9 poems at once are more than 8"):
        service.client.poem(wishes={"n": 9})
    with pytest.raises(ServiceError, match="mode: input should be 'random', 'continue' or 'acrostic'"):
        service.client.poem(wishes={"mode": "limerick"})


def test_streams_end_with_an_error_when_the_writer_breaks(writing: tuple[Running, Letters]) -> None:
    service, _ = writing
    pieces: list[str] = []
    with pytest.raises(ServiceError, match="the service failed; its log says more") as caught:
        pieces.extend(piece for piece in service.client.stream("breaks"))
    assert caught.value.kind == "internal"
    with pytest.raises(ServiceError, match="prompt 0: is bad") as caught:
        list(service.client.stream("bad"))
    assert caught.value.status == 422


def test_the_schema_has_examples_that_are_valid(service: Running) -> None:
    connection = http.client.HTTPConnection(service.url.removeprefix("http://"), timeout=30)
    connection.request("GET", "/openapi.json")
    schema = json.loads(connection.getresponse().read())
    connection.close()
    parts = schema["components"]["schemas"]
    names = {"classify": "Classify", "tag": "Tag", "answer": "Answer", "embed": "Embed", "fill-mask": "FillMask"}
    for path, name in names.items():
        example = parts[f"{name}Request"]["properties"]["inputs"]["examples"][0]
        status, told = post(
            service, f"/v1/{path}", {"inputs": example, **({"model": "names"} if path == "embed" else {})}
        )
        assert status == 200, told
        assert "422" in schema["paths"][f"/v1/{path}"]["post"]["responses"]
