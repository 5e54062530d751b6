"""Extractive question answering: the words of a text that answer a question, or that it has no answer."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from plm.config import require_choice, require_positive
from plm.data.collate import pad_batch
from plm.data.features.classification import Feature
from plm.data.features.question_answering import Places, Window, encode_questions
from plm.data.squad import Oddities, Question, gold_texts, read_questions
from plm.errors import ConfigError, DataError
from plm.metrics.cmrc import cmrc2018
from plm.metrics.squad import squad_v1, squad_v2
from plm.tasks.answers import AnswerStyle, SpanAnswer, answer_files, choose_answer
from plm.tasks.spans import SpanLogits, best_logits, best_spans, lowest_null
from plm.tasks.task import TASKS, Batch, Task
from plm.tokenizers import Tokenizer

_log = logging.getLogger(__name__)

# Google's, in WordPieces of English. Chinese has one for each character: of CMRC's questions one in twenty has only
# answers longer than 30.
_LONGEST_ANSWER = {"squad": 30, "cmrc": 64}


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering(Task[Question, Window, SpanLogits, SpanAnswer]):
    """Questions about texts, in the formats of SQuAD and CMRC (plm.data.squad).

    version_2: True = a question may have no answer (SQuAD 2.0); None = as the training file has it.
    doc_stride: tokens from the start of a window to that of the next; None = a third of max_length, as Google's 128.
    max_query_length: tokens of a question that count.
    max_answer_length: tokens of an answer at most; None = 30, or 64 for CMRC.
    n_best: starts and ends of a window that are looked at, and candidates that an answer has.
    null_threshold: how far "no answer" must be ahead of the best answer, in logits, to be said; `score` finds the best.
    metric: the official evaluator that scores: SQuAD's of that version, or CMRC 2018's.
    answer_style: "exact" = texts as they stand in the context; "google" = as run_squad.py, byte for byte.
    """

    version_2: bool | None = None
    doc_stride: int | None = None
    max_query_length: int = 64
    max_answer_length: int | None = None
    n_best: int = 20
    null_threshold: float = 0.0
    metric: Literal["squad", "cmrc"] = "squad"
    answer_style: AnswerStyle = "exact"

    def __post_init__(self) -> None:
        require_positive(self, "max_query_length", "n_best")
        for name in ("doc_stride", "max_answer_length"):
            if getattr(self, name) is not None:
                require_positive(self, name)
        require_choice(self, "metric", _LONGEST_ANSWER)
        require_choice(self, "answer_style", ("exact", "google"))
        if self.metric == "cmrc" and self.version_2:
            raise ConfigError("metric: 'cmrc' knows no questions without answer; take 'squad', or version_2 = false")

    @property
    def head(self) -> str:
        """Where does the answer start and end?"""
        return "question_answering"

    def read(self, path: Path | str) -> list[Question]:
        """See plm.data.squad.read_questions."""
        return read_questions(path)

    def learned(self, examples: Sequence[Question], *, source: str = "examples") -> QuestionAnswering:
        """The same, knowing whether questions may have no answer."""
        if self.version_2 is not None:
            return self
        return dataclasses.replace(self, version_2=any(question.is_impossible for question in examples))

    def check(self, examples: Sequence[Question], *, source: str = "examples") -> None:
        """Raise DataError for the first question without answer that should have one, naming its place.

        Logs a warning where answers do not stand where the file says, see plm.data.squad.Oddities.
        """
        for question in examples:
            if not question.answers and not (question.is_impossible and self.version_2):
                hint = (
                    "version_2 = true allows it"
                    if question.is_impossible
                    else 'if its context has none, "is_impossible" must be true'
                )
                raise DataError(f"{question.place or source}: has no answer; {hint}")
        if oddities := Oddities.of(examples):
            _log.warning("%s: %s", source, oddities)

    def model_options(self) -> dict[str, Any]:
        """None: the head has no labels."""
        return {}

    @property
    def feature_type(self) -> type[Window]:
        """See Task."""
        return Window

    def encode(
        self,
        examples: Sequence[Question],
        tokenizer: Tokenizer,
        *,
        max_length: int,
        source: str = "examples",
        has_labels: bool = True,
    ) -> list[Window]:
        """See plm.data.features.question_answering; questions whose answers stand nowhere do not count in the loss."""
        return encode_questions(
            examples,
            tokenizer,
            max_length=max_length,
            doc_stride=self.doc_stride or max(1, max_length // 3),
            max_query_length=self.max_query_length,
            has_labels=has_labels,
            google=self.answer_style == "google",
        )

    def collate(self, features: Sequence[Window], *, pad_token_id: int) -> dict[str, Tensor]:
        """See plm.data.pad_batch; for labelled windows also start_positions and end_positions, (windows,), int64."""
        rows = [Feature(window.input_ids, window.token_type_ids, None, window.index) for window in features]
        batch = pad_batch(rows, pad_token_id=pad_token_id)
        answers = [window.answer for window in features if window.answer is not None]
        if answers and len(answers) != len(features):
            raise DataError(f"{len(answers)} of {len(features)} windows in a batch are labelled; all or none must be")
        if answers:
            batch["start_positions"], batch["end_positions"] = torch.tensor(answers).unbind(1)
        return batch

    def weigh(self, batch: Batch) -> Mapping[str, float | Tensor]:
        """Windows that count; the head takes its mean over them, for starts and ends alike."""
        starts, ends = batch["start_positions"], batch["end_positions"]
        inside = (starts >= 0) & (starts < batch["input_ids"].shape[1])
        assert torch.equal(inside, (ends >= 0) & (ends < batch["input_ids"].shape[1])), "both count, or neither"
        return {"loss": inside.sum()}

    def results(self, batch: Batch, output: Any) -> dict[int, SpanLogits]:
        """The best starts and ends of each window."""
        return best_logits(batch["index"], output.start_logits, output.end_logits, count=self.n_best)

    def answers(
        self, examples: Sequence[Question], features: Sequence[Window], results: Mapping[int, SpanLogits]
    ) -> list[SpanAnswer]:
        """See Task. A question without version_2 always gets an answer, if any span was found."""
        windows: list[list[Window]] = [[] for _ in examples]
        for window in features:
            windows[window.example].append(window)
        return [self._answer(*pair, results) for pair in zip(examples, windows, strict=True)]

    def _answer(self, question: Question, windows: Sequence[Window], results: Mapping[int, SpanLogits]) -> SpanAnswer:
        logits = [results[window.index] for window in windows]
        spans = best_spans(
            windows,
            logits,
            max_answer_length=self.max_answer_length or _LONGEST_ANSWER[self.metric],
            with_null=bool(self.version_2),
        )
        return choose_answer(
            question,
            Places.of(windows),
            spans,
            n_best=self.n_best,
            style=self.answer_style,
            null=lowest_null(logits) if self.version_2 else None,
            null_threshold=self.null_threshold,
        )

    def score(self, examples: Sequence[Question], answers: Sequence[SpanAnswer]) -> dict[str, float]:
        """The official scores by their official names, as shares: f1 and exact_match; of CMRC average, f1 and em.

        SQuAD 2.0: f1, exact, the same of questions with answer (HasAns_) and without (NoAns_), and what the best
        null_threshold would reach: best_f1 and best_exact, with best_f1_thresh and best_exact_thresh in logits; as the
        official evaluator has it, 0.0 also where no answer to anything would be best.
        """
        references = gold_texts(examples)
        texts = {question.id: answer.text for question, answer in zip(examples, answers, strict=True)}
        if self.metric == "cmrc":
            cmrc = cmrc2018(references, texts)
            return {name.lower(): cmrc[name] / 100 for name in ("AVERAGE", "F1", "EM")}
        if not self.version_2:
            squad = squad_v1(references, texts)
            return {name: squad[name] / 100 for name in ("f1", "exact_match")}
        scores = squad_v2(references, texts)
        names = [f"{group}{name}" for group in ("", "HasAns_", "NoAns_") for name in ("f1", "exact")]
        return {name: scores[name] / 100 for name in names if name in scores} | _best(references, examples, answers)

    def record(self, example: Question, answer: SpanAnswer) -> dict[str, Any]:
        """See Task."""
        return {
            "id": example.id,
            "question": example.question,
            "answers": [gold.text for gold in example.answers],
            "predicted": answer.text,
            "start": answer.start,
            "end": answer.end,
            "probability": answer.probability,
            "null_score": answer.null_score,
        }

    def answer_files(self, examples: Sequence[Question], answers: Sequence[SpanAnswer]) -> dict[str, str]:
        """Name -> content of the files that the official evaluators read; see plm.tasks.answers."""
        return answer_files(examples, answers)


def _best(
    references: Mapping[str, Sequence[str]], examples: Sequence[Question], answers: Sequence[SpanAnswer]
) -> dict[str, float]:
    """What the best threshold would reach, and that threshold, on the best answers whatever was said."""
    pairs = list(zip(examples, answers, strict=True))
    texts = {question.id: answer.best_text for question, answer in pairs}
    odds = {question.id: answer.null_score or 0.0 for question, answer in pairs}
    scores = squad_v2(references, texts, null_odds=odds)
    return {
        "best_f1": scores["best_f1"] / 100,
        "best_f1_thresh": scores["best_f1_thresh"],
        "best_exact": scores["best_exact"] / 100,
        "best_exact_thresh": scores["best_exact_thresh"],
    }


TASKS.add("question_answering", QuestionAnswering)
