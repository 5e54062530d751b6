"""What requests look like; pydantic checks them, and the page of the interface is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from plm.errors import optional_import

if TYPE_CHECKING:
    import pydantic
else:
    pydantic = optional_import("pydantic", extra="serve", purpose="plm serve")

MAX_CHOICES = 50


def _as_list(value: Any) -> Any:
    """A single input is a list of one."""
    return value if isinstance(value, list) else [value]


def _as_passage(value: Any) -> Any:
    """A string is a passage without a second text."""
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, dict):
        raise ValueError('expected a string, or {"text": "...", "pair": "..."}')
    return value


def _clean(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character (\\u0000), which no text has; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("is not valid Unicode: half of a surrogate pair stands alone") from error
    return text


Text = Annotated[str, pydantic.AfterValidator(_clean)]
Name = Annotated[Text, pydantic.Field(max_length=200)]
Positive = Annotated[int, pydantic.Field(ge=1, le=100_000)]
Share = Annotated[float, pydantic.Field(gt=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, pydantic.Field(ge=0, lt=2**63)]
Temperature = Annotated[float, pydantic.Field(gt=0, le=100, allow_inf_nan=False)]


class _Strict(pydantic.BaseModel):
    """Types are taken as they are, and unknown fields are errors."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")


class Passage(_Strict):
    """A text, or a pair of texts that are read together."""

    text: Text
    pair: Text | None = None


class Question(_Strict):
    """A question and the text that may answer it."""

    question: Text
    context: Text


class Request(_Strict):
    """What all requests have."""

    model: Name | None = pydantic.Field(default=None, description="A name of /v1/models; may be omitted if one fits.")


OnePassage = Annotated[Passage, pydantic.BeforeValidator(_as_passage, json_schema_input_type=Text | Passage)]
Passages = Annotated[
    list[OnePassage],
    pydantic.Field(min_length=1),
    pydantic.BeforeValidator(_as_list, json_schema_input_type=Text | Passage | list[Text | Passage]),
]
Texts = Annotated[
    list[Text],
    pydantic.Field(min_length=1),
    pydantic.BeforeValidator(_as_list, json_schema_input_type=Text | list[Text]),
]
TextOrWords = Annotated[
    Annotated[Text, pydantic.Tag("<text>")] | Annotated[list[Text], pydantic.Tag("<words>")],
    pydantic.Discriminator(lambda value: "<words>" if isinstance(value, list) else "<text>"),
]


class PassagesRequest(Request):
    """Texts, or pairs of texts."""

    inputs: Passages = pydantic.Field(examples=[["a good day", {"text": "a premise", "pair": "a hypothesis"}]])
    truncate: bool = pydantic.Field(default=False, description="Cut texts that are too long; else they are errors.")


class ClassifyRequest(PassagesRequest):
    """Texts, or pairs of texts, to their classes."""

    scores: bool = pydantic.Field(default=False, description="Tell the probability of every class, too.")


class EmbedRequest(PassagesRequest):
    """Texts to vectors: the mean of the last hidden states."""

    normalize: bool = pydantic.Field(default=False, description="Scale vectors to length 1.")


class TagRequest(Request):
    """Texts to the entities in them; lists of words to their tags."""

    inputs: Annotated[
        list[TextOrWords],
        pydantic.Field(min_length=1),
        pydantic.BeforeValidator(_as_list, json_schema_input_type=Text | list[Text | list[Text]]),
    ] = pydantic.Field(examples=[["Angela Merkel lives in Berlin.", ["words", "one", "by", "one"]]])


class AnswerRequest(Request):
    """Questions about texts to the words that answer them."""

    inputs: Annotated[
        list[Question],
        pydantic.Field(min_length=1),
        pydantic.BeforeValidator(_as_list, json_schema_input_type=Question | list[Question]),
    ] = pydantic.Field(examples=[[{"question": "Who lives in Berlin?", "context": "Angela Merkel lives in Berlin."}]])


class FillMaskRequest(Request):
    """Texts with masks to the tokens that fit."""

    inputs: Texts = pydantic.Field(examples=[["the [MASK] was good"]])
    top_k: int = pydantic.Field(default=5, ge=1, le=MAX_CHOICES, description="Tokens for each mask.")


class GenerateRequest(Request):
    """Prompts to texts that go on with them. Without any of the next fields: greedy, 64 tokens."""

    inputs: Texts = pydantic.Field(examples=[["Once upon a time"]])
    stream: bool = pydantic.Field(default=False, description="Send the text in pieces, as server-sent events.")
    max_new_tokens: Positive = 64
    temperature: Temperature | None = None
    top_k: Positive | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    num_beams: Annotated[int, pydantic.Field(ge=1, le=16)] = 1
    length_penalty: Annotated[float, pydantic.Field(ge=-10, le=10, allow_inf_nan=False)] = 1.0
    repetition_penalty: Annotated[float, pydantic.Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    no_repeat_ngram_size: Annotated[int, pydantic.Field(ge=0, le=1000)] = 0
    stop_strings: Annotated[list[Text], pydantic.Field(max_length=16)] = pydantic.Field(default_factory=list)
    num_return_sequences: Annotated[int, pydantic.Field(ge=1, le=16)] = 1
    seed: Seed = 0
    overflow: Literal["error", "slide"] = "error"


class PoemRequest(Request):
    """Wishes for poems; see plm.poetry.request.PoemRequest."""

    mode: Literal["random", "continue", "acrostic"] = "random"
    form: Name | None = pydantic.Field(default=None, examples=["七绝"])
    text: Annotated[Text, pydantic.Field(max_length=500)] = pydantic.Field(default="", examples=["人工智能"])
    tails: Annotated[Text, pydantic.Field(max_length=500)] = ""
    title: Annotated[Text, pydantic.Field(max_length=100)] = ""
    line_length: Annotated[int, pydantic.Field(ge=1, le=50)] | None = None
    lines: Annotated[int, pydantic.Field(ge=1, le=100)] | None = None
    order: Name | None = None
    rhyme: Name | None = None
    book: Name = "pingshui"
    licences: Annotated[list[Name], pydantic.Field(max_length=16)] = pydantic.Field(default_factory=list)
    strict: bool = True
    n: Annotated[int, pydantic.Field(ge=1)] = 1
    candidates: Annotated[int, pydantic.Field(ge=1, le=256)] = 8
    seed: Seed = 0
    temperature: Temperature = 1.0
    top_k: Positive | None = None
    top_p: Share | None = 0.9
    repetition: Annotated[float, pydantic.Field(ge=0, le=100, allow_inf_nan=False)] = 1.5
    may_copy: bool = False
    script: Literal["simplified", "traditional"] = "simplified"


class ErrorDetail(_Strict):
    """What went wrong. retry_after: seconds."""

    type: str
    message: str
    retry_after: float | None = None


class ErrorAnswer(_Strict):
    """The one shape of errors."""

    error: ErrorDetail


class Answers(_Strict):
    """One answer for each input, in order. truncated: places of inputs that were cut. tokens: of the inputs."""

    model: str
    answers: list[Any]
    tokens: int
    truncated: list[int]


class Poems(_Strict):
    """Poems, the best first."""

    model: str
    poems: list[Any]


class ModelCard(_Strict):
    """A served model. abilities: endpoints below /v1 that it answers. max_tokens: of a text; null = no limit.

    mask_token: what stands for a hole in texts for fill-mask; null = it fills in none.
    """

    name: str
    abilities: list[str]
    family: str
    parameters: int
    max_tokens: int | None
    mask_token: str | None


class Models(_Strict):
    """What is served."""

    models: list[ModelCard]
