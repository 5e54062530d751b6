"""How each field of a golden.npz is computed with plm: one table, so that no field is passed over in silence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import plm
from plm.heads.model import Model
from plm.heads.output import Output

# Fields that are inputs of the original run, not results.
INPUTS = {
    "input_ids",
    "attention_mask",
    "token_type_ids",
    "mc_token_ids",
    "pad_token_id",
    "labels",
    "masked_lm_positions",
    "masked_lm_ids",
    "masked_lm_weights",
    "next_sentence_labels",
    "mc_input_ids",
    "mc_mask",
    "mc_lengths",
    "mc_classify_position",
    "plain_input_ids",
    "special_embedding_rows",
    "clf_w",
    "clf_b",
}

# Results that are not compared, each with the reason.
NOT_COMPARED = {
    "logits_without_relu_on_pooled_FOR_COMPARISON_ONLY": "what the model must not return",
    "mc_lm_losses_original_softmax_over_vocab_special_and_positions": (
        "OpenAI's loss normalises over position rows too, which are no words; the logits behind it are compared"
    ),
}


@dataclass
class Case:
    """One golden file and the model that should reproduce it.

    Values at padding are left out of every comparison: frameworks fill it with what they like.
    """

    model: Model
    golden: Mapping[str, np.ndarray]

    def tensor(self, name: str) -> Tensor:
        """An input as a tensor."""
        return torch.from_numpy(np.asarray(self.golden[name]))

    @cached_property
    def batch(self) -> dict[str, Tensor]:
        """The inputs of the original forward pass."""
        names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in self.golden]
        batch = {name: self.tensor(name) for name in names}
        if "multiple_choice" in self.model.heads and "logits" in self.golden:
            shape = (*self.golden["logits"].shape, -1)  # transformers flattens choices before it returns them
            batch = {name: value.reshape(shape) for name, value in batch.items()}
        return batch

    @cached_property
    def live(self) -> np.ndarray:
        """(batch, length), True where a token is no padding."""
        if "attention_mask" in self.golden:
            return np.asarray(self.golden["attention_mask"]) != 0
        return np.ones_like(self.golden["input_ids"], dtype=bool)

    def run(self, head: str, **targets: Tensor) -> Output:
        """The output of one head; AutoModel's for "" (the backbone alone)."""
        with torch.inference_mode():
            if head:
                return self.model(**self.batch, head=head, **targets)
            return Model(self.model.config, self.model.backbone, {}).eval()(**self.batch)

    def first_head(self, *names: str) -> str:
        """The first of the heads that the model has."""
        return next(name for name in names if name in self.model.heads)

    @cached_property
    def states(self) -> list[Tensor]:
        """Hidden states: the embeddings' output and that of every block."""
        names = ["embeddings", *(f"blocks.{n}.output" for n in range(self.model.config.num_hidden_layers))]
        tap = plm.Tap(self.model, *names)
        with torch.inference_mode():
            self.model.backbone(**self.batch, tap=tap)
        return [tap[name] for name in names]

    def projected(self, state: int) -> Tensor:
        """A hidden state in the teacher's space."""
        with torch.inference_mode():
            return self.model.heads["hidden_projection"].project(self.states[state], state)

    def scores(self, block: int) -> Tensor:
        """Attention scores before the mask."""
        tap = plm.Tap(self.model, f"blocks.{block}.scores")
        with torch.inference_mode():
            self.model.backbone(**self.batch, tap=tap)
        return tap[f"blocks.{block}.scores"]

    def blocks_count_embeddings(self) -> bool:
        """True when `layer_0_output` is the embeddings' output: then there is one more than blocks."""
        return f"layer_{self.model.config.num_hidden_layers}_output" in self.golden


def _logits(case: Case) -> Tensor:
    head = case.first_head(
        "sequence_classification",
        "token_classification",
        "multiple_choice",
        "double_heads",
        "next_sentence",
        "masked_lm",
        "causal_lm",
    )
    targets = {"mc_token_ids": case.tensor("mc_token_ids")} if "mc_token_ids" in case.golden else {}
    return case.run(head, **targets).logits


def _masked_lm_logits(case: Case) -> Tensor:
    head = case.first_head("pretraining", "masked_lm", "causal_lm")
    output = case.run(head)
    return output["prediction_logits" if head == "pretraining" else "logits"]


def _next_sentence_logits(case: Case) -> Tensor:
    head = case.first_head("pretraining", "next_sentence")
    return case.run(head)["seq_relationship_logits" if head == "pretraining" else "logits"]


def _at_positions(case: Case, logits: Tensor) -> Tensor:
    positions = case.tensor("masked_lm_positions").long()
    return torch.gather(logits, 1, positions[..., None].expand(-1, -1, logits.shape[-1]))


def _masked_lm_loss(case: Case) -> Tensor:
    """Google's weighted mean, with its guard against no masked token."""
    logits = _at_positions(case, _masked_lm_logits(case))
    weights = case.tensor("masked_lm_weights")
    losses = F.cross_entropy(logits.flatten(0, 1), case.tensor("masked_lm_ids").long().flatten(), reduction="none")
    return (losses * weights.flatten()).sum() / (weights.sum() + 1e-5)


def _plain(case: Case) -> Output:
    with torch.inference_mode():
        return case.model(case.tensor("plain_input_ids"), head="causal_lm")


def _plain_hidden(case: Case) -> Tensor:
    with torch.inference_mode():
        return case.model.backbone(case.tensor("plain_input_ids")).last_hidden_state


def _double_heads(case: Case) -> Model:
    """OpenAI's fine-tuning graph: three rows more, and a choice head from the golden file."""
    rows = case.tensor("special_embedding_rows")
    config = case.model.config
    model = plm.AutoModelForDoubleHeads.from_config(config).eval()
    model.backbone.load_state_dict(case.model.backbone.state_dict())
    model.resize_token_embeddings(config.vocab_size + len(rows))
    with torch.no_grad():
        model.backbone.embeddings.word.weight[config.vocab_size :] = rows
        model.heads["double_heads"].choice.weight.copy_(case.tensor("clf_w").T)
        model.heads["double_heads"].choice.bias.copy_(case.tensor("clf_b"))
    return model


def _choices(case: Case) -> Output:
    with torch.inference_mode():
        return _double_heads(case)(
            case.tensor("mc_input_ids"), case.tensor("mc_mask"), mc_token_ids=case.tensor("mc_classify_position")
        )


def _choices_hidden(case: Case) -> Tensor:
    with torch.inference_mode():
        return _double_heads(case).backbone(case.tensor("mc_input_ids"), case.tensor("mc_mask")).last_hidden_state


# Field -> (what it is computed from, how its values lie: "tokens" means (batch, length, ...), else whole).
FIELDS: dict[str, tuple[Callable[[Case], Tensor], str]] = {
    "last_hidden_state": (lambda case: case.states[-1], "tokens"),
    "embedding_output": (lambda case: case.states[0], "tokens"),
    "pooler_output": (lambda case: case.run("").pooler_output, "whole"),
    "logits": (_logits, "auto"),
    "classifier_logits": (lambda case: case.run("sequence_classification").logits, "whole"),
    "prediction_logits": (_masked_lm_logits, "tokens"),
    "mlm_logits": (_masked_lm_logits, "tokens"),
    "seq_relationship_logits": (_next_sentence_logits, "whole"),
    "nsp_logits": (_next_sentence_logits, "whole"),
    "mlm_logits_at_positions": (lambda case: _at_positions(case, _masked_lm_logits(case)), "whole"),
    "mlm_loss": (_masked_lm_loss, "whole"),
    "nsp_loss": (
        lambda case: F.cross_entropy(_next_sentence_logits(case), case.tensor("next_sentence_labels").long().flatten()),
        "whole",
    ),
    "start_logits": (lambda case: case.run("question_answering").start_logits, "tokens"),
    "end_logits": (lambda case: case.run("question_answering").end_logits, "tokens"),
    "start_log_probs": (lambda case: case.run("question_answering").start_logits.log_softmax(-1), "tokens"),
    "end_log_probs": (lambda case: case.run("question_answering").end_logits.log_softmax(-1), "tokens"),
    "log_probs": (lambda case: _logits(case).log_softmax(-1), "auto"),
    "mlm_log_probs": (lambda case: _at_positions(case, _masked_lm_logits(case)).log_softmax(-1), "whole"),
    "nsp_log_probs": (lambda case: _next_sentence_logits(case).log_softmax(-1), "whole"),
    "probabilities": (lambda case: _logits(case).softmax(-1), "whole"),
    "loss": (
        lambda case: (
            case.run(
                case.first_head("sequence_classification", "token_classification"), labels=case.tensor("labels")
            ).loss
        ),
        "whole",
    ),
    "mc_logits": (
        lambda case: (
            _choices(case).mc_logits
            if "mc_classify_position" in case.golden
            else case.run("double_heads", mc_token_ids=case.tensor("mc_token_ids")).mc_logits
        ),
        "whole",
    ),
    "mc_clf_losses": (
        lambda case: F.cross_entropy(_choices(case).mc_logits, case.tensor("labels"), reduction="none"),
        "whole",
    ),
    "mc_last_hidden_state": (_choices_hidden, "choices"),
    "mc_lm_logits_vocab_and_special": (lambda case: _choices(case).logits[..., :-1, :].flatten(0, 1), "choices"),
    "plain_last_hidden_state": (_plain_hidden, "whole"),
    "plain_lm_logits_first_T_minus_1": (lambda case: _plain(case).logits[:, :-1], "whole"),
}

# The same for numbered fields.
NUMBERED: list[tuple[str, Callable[[Case, int], Tensor], str]] = [
    (r"hidden_states_(\d+)", lambda case, n: case.states[n], "tokens"),
    (r"layer_(\d+)_output", lambda case, n: case.states[n if case.blocks_count_embeddings() else n + 1], "tokens"),
    (r"hidden_state_(\d+)_before_fit", lambda case, n: case.states[n], "tokens"),
    (
        r"fit_hidden_state_(\d+)",
        lambda case, n: case.projected(n),
        "tokens",
    ),
    (r"attention_scores_(\d+)", lambda case, n: case.scores(n), "scores"),
]


def compute(case: Case, field: str) -> tuple[np.ndarray, np.ndarray] | None:
    """(ours, theirs) for one field, both at live tokens only; None for inputs and fields with a reason not to.

    Raises KeyError for a field that no table knows.
    """
    if field in INPUTS or field in NOT_COMPARED:
        return None
    if field in FIELDS:
        function, kind = FIELDS[field]
        ours = function(case)
    else:
        hits = [(match, *rest) for pattern, *rest in NUMBERED if (match := re.fullmatch(pattern, field))]
        if not hits:
            raise KeyError(f"{field}: no rule says how plm computes it")
        match, numbered, kind = hits[0]
        ours = numbered(case, int(match[1]))
    theirs = np.asarray(case.golden[field])
    return _live_only(case, ours.float().numpy(), theirs, kind)


def _live_only(case: Case, ours: np.ndarray, theirs: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    if kind == "auto":
        kind = "tokens" if ours.ndim == case.live.ndim + 1 and ours.shape[:-1] == case.live.shape else "whole"
    if kind == "tokens":
        live = case.live
        theirs = theirs.reshape(ours.shape)  # MindSpore's tagger returns (batch * length, labels)
        return ours[live], theirs[live]
    if kind == "scores":
        # Upstream adds -10000 at masked keys; ours are before the mask.
        keys = np.broadcast_to(case.live[:, None, None, :], ours.shape)
        queries = np.broadcast_to(case.live[:, None, :, None], ours.shape)
        return ours[keys & queries], theirs[keys & queries]
    if kind == "choices":
        live = np.asarray(case.golden["mc_mask"]) != 0
        live = live if theirs.ndim == 4 else live.reshape(-1, live.shape[-1])[:, : theirs.shape[1]]
        return ours[live], theirs[live]
    return ours, theirs
