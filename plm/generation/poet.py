"""A poet: a causal model of poems that writes what it is asked for, in correct form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from plm.blocks.dtype_names import INT8
from plm.checkpoints.dtypes import as_dtype
from plm.checkpoints.hub import resolve
from plm.checkpoints.loading import load_model
from plm.errors import CheckpointError, ConfigError, PoemError
from plm.generation.config import GenerationConfig
from plm.generation.generating import Sequences, generate
from plm.generation.poem import Poem, best, mark
from plm.generation.poem_constraint import FewRepetitions, Lexicon, PlanConstraint
from plm.generation.poem_judge import PoemJudge
from plm.heads.engine import CausalEngine, ModelEngine
from plm.heads.model import Model
from plm.heads.preparing import decoding_engine
from plm.poetry.checking import check
from plm.poetry.known_lines import KnownLines
from plm.poetry.plan import Plan, Planner
from plm.poetry.prompt import CLS, FORM_TOKENS, MARKS, SEP, TYPES
from plm.poetry.request import MOST_CANDIDATES, PoemRequest
from plm.tokenizers import Tokenizer, load_tokenizer

EMBEDDED = "plm/poet"


class Poet:
    """Writes poems.

        poet = Poet.from_pretrained("plm/poet")
        print(poet.write(PoemRequest(mode="acrostic", text="人工智能", seed=7))[0].text)

    model: causal, trained by `plm train` with the task "poems", of which what is kept shares its parameters; or the
        engine of a backend. int8: True = with weights rounded to eight bits. known: lines that it has learned; None =
        not told.
    judge: has a say in which candidates are the best, besides the model; its word counts judge_weight times.
    rows: poems that are made at once, at most.
    Raises CheckpointError for a model that was not trained so, ConfigError for one that is not causal.
    """

    def __init__(
        self,
        model: Model | CausalEngine,
        tokenizer: Tokenizer,
        *,
        known: KnownLines | None = None,
        judge: PoemJudge | None = None,
        judge_weight: float = 1.0,
        rows: int = 64,
        int8: bool = False,
    ) -> None:
        ids = tokenizer.get_vocab()
        if missing := [token for token in (CLS, *FORM_TOKENS.values(), *MARKS) if token not in ids]:
            raise CheckpointError(f"not a model of poems: its vocabulary lacks {', '.join(missing)}")
        if model.config.type_vocab_size < TYPES:
            raise CheckpointError(f"not a model of poems: it knows {model.config.type_vocab_size} of {TYPES} wishes")
        self.engine, self.tokenizer, self.known, self.rows = decoding_engine(model, int8=int8), tokenizer, known, rows
        self.judge, self.judge_weight = judge, judge_weight
        self._lexicon = Lexicon(ids, model.config.vocab_size, model.device)
        self.characters = frozenset(self._lexicon.characters)
        """The characters that it knows."""

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path = EMBEDDED,
        *,
        dtype: str = "float32",
        judge: PoemJudge | None = None,
        judge_weight: float = 1.0,
        rows: int = 64,
    ) -> Poet:
        """From a folder that `plm train` wrote, a hub name, or the one that comes with plm.

        dtype: "float32", "bfloat16", "float16", or "int8" = weights of eight bits, which is not quite exact.
        """
        folder = resolve(name_or_path)
        model, report = load_model(folder, heads=("causal_lm",), dtype=as_dtype("float32" if dtype == INT8 else dtype))
        if random := [*report.missing, *report.mismatched]:
            raise CheckpointError(f"{report.source}: not a model of poems, it lacks {', '.join(random[:3])}")
        return cls(
            model,
            load_tokenizer(folder),
            known=KnownLines.load(folder),
            judge=judge,
            judge_weight=judge_weight,
            rows=rows,
            int8=dtype == INT8,
        )

    @property
    def model(self) -> Model:
        """What it asks, as a Model. Raises ConfigError for a poet over the engine of another backend."""
        if isinstance(self.engine, ModelEngine):
            return self.engine.model
        raise ConfigError(f"{type(self.engine).__name__} shows no model of PyTorch: open the poet with backend torch")

    def write(self, request: PoemRequest) -> list[Poem]:
        """The n best of the candidates, best first; fewer where candidates are alike.

        Raises PoemError for a wish that no poem can meet, UnknownNameError for unknown names.
        """
        return self.write_all([request])[0]

    def write_all(self, requests: Sequence[PoemRequest]) -> list[list[Poem]]:
        """The same for many wishes at once. A poem does not depend on what else is written."""
        planners = [Planner(request, self.characters) for request in requests]
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for place, planner in enumerate(planners):
            groups[self._alike(planner)].append(place)
        found: dict[int, list[Poem]] = {}
        batches = [batch for group in groups.values() for batch in _batches(group, requests, self.rows)]
        for batch in tqdm(batches, desc="writing", unit="batch", disable=None if len(batches) > 3 else True):
            found |= zip(batch, self._written([planners[place] for place in batch]), strict=True)
        return [found[place] for place in range(len(requests))]

    def _alike(self, planner: Planner) -> tuple[Any, ...]:
        """What has to be equal for wishes to be met in one batch: the sampling; lengths, if positions are counted."""
        wish, limit = planner.request, self.engine.positions
        sampling = wish.temperature, wish.top_k, wish.top_p, wish.repetition
        if limit is None:
            return sampling
        prompt = len(planner.prompt)
        if prompt + planner.tokens > limit:
            raise PoemError(
                f"{planner.form.name} of {len(planner.form.lengths)} lines takes {prompt + planner.tokens} tokens with "
                f"its title, and the model has positions for {limit}: wish for fewer lines, or a shorter title"
            )
        return *sampling, prompt, planner.tokens

    def _written(self, planners: Sequence[Planner]) -> list[list[Poem]]:
        """Poems of wishes that are sampled alike."""
        wish = planners[0].request
        drafts = [
            _Draft(planner, planner.plan(number), number)
            for planner in planners
            for number in range(_candidates(planner.request))
        ]
        prompts = [[self._lexicon.ids[token] for token in draft.planner.prompt] for draft in drafts]
        width, steps = max(map(len, prompts)), max(len(draft.plan.slots) for draft in drafts)
        made = generate(
            self.engine,
            self._rows([0] * (width - len(prompt)) + prompt for prompt in prompts),
            GenerationConfig(
                max_new_tokens=steps,
                do_sample=True,
                temperature=wish.temperature,
                top_k=wish.top_k,
                top_p=wish.top_p,
                stop_token_ids=(self._lexicon.ids[SEP],),
            ),
            attention_mask=self._rows([0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts),
            token_type_ids=self._rows([0] * (width - 1) + draft.numbers[:1] for draft in drafts),
            new_token_types=self._rows(draft.numbers[1:] + [0] * (steps + 1 - len(draft.numbers)) for draft in drafts),
            seeds=[draft.seed for draft in drafts],
            constraints=[PlanConstraint([(draft.plan, draft.planner.book) for draft in drafts], self._lexicon)],
            processors=[FewRepetitions(wish.repetition, self._lexicon)] if wish.repetition else [],
        )
        poems = iter(self._judged([self._poem(draft, made, row) for row, draft in enumerate(drafts)]))
        wishes = [planner.request for planner in planners]
        return [
            best(list(islice(poems, _candidates(wish))), wish.n, may_copy=wish.may_copy, judge_weight=self.judge_weight)
            for wish in wishes
        ]

    def _rows(self, rows: Iterable[list[int]]) -> Tensor:
        return torch.tensor(list(rows), device=self.engine.device)

    def _judged(self, poems: Sequence[Poem]) -> Sequence[Poem]:
        if self.judge is None:
            return poems
        verdicts = self.judge(["".join(mark(poem.report.lines)) for poem in poems])
        return [replace(poem, judged=verdict) for poem, verdict in zip(poems, verdicts, strict=True)]

    def _poem(self, draft: _Draft, made: Sequences, row: int) -> Poem:
        request, plan, planner = draft.planner.request, draft.plan, draft.planner
        tokens = self.tokenizer.convert_ids_to_tokens(made.text_ids(row))
        written = [(slot, token) for slot, token in zip(plan.slots, tokens, strict=True) if slot.wish.mark is None]
        lines = [
            "".join(token for slot, token in written if slot.line == line) for line in range(len(plan.form.lengths))
        ]
        shown = [planner.shown(line, number) for number, line in enumerate(lines)]
        chosen = {slot.line for slot, _ in written if slot.given is None}
        free = [place for place, slot in enumerate(plan.slots) if slot.given is None]
        return Poem(
            lines=tuple(shown),
            form=plan.form.name,
            title=request.title,
            score=float(made.scores[row, free].mean()),
            report=check(
                lines,
                plan.form,
                book=planner.book,
                order=plan.order.name,
                strict=request.strict,
                judged="all" if request.strict else "pivots",
                licences=request.licences,
            ),
            copied=tuple(
                shown[line] for line in sorted(chosen) if self.known is not None and lines[line] in self.known
            ),
            given=tuple((line + 1, column + 1) for line, column in sorted(planner.given)),
            notes=planner.notes,
        )


@dataclass(frozen=True)
class _Draft:
    """A poem that is to be written: candidate `number` of a wish."""

    planner: Planner
    plan: Plan
    number: int

    @property
    def seed(self) -> int:
        return self.planner.request.seed * MOST_CANDIDATES + self.number

    @property
    def numbers(self) -> list[int]:
        """Of the wishes for all tokens."""
        return [slot.wish.number for slot in self.plan.slots]


def _batches(places: Sequence[int], requests: Sequence[PoemRequest], rows: int) -> Iterator[list[int]]:
    """Wishes whose candidates are `rows` at most, or single ones."""
    batch: list[int] = []
    filled = 0
    for place in places:
        wanted = _candidates(requests[place])
        if batch and filled + wanted > rows:
            yield batch
            batch, filled = [], 0
        batch.append(place)
        filled += wanted
    if batch:
        yield batch


def _candidates(request: PoemRequest) -> int:
    return max(request.n, request.candidates)
