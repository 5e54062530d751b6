"""The model that a pretraining begins with: drawn from the seed, or a checkpoint with the vocabulary of the corpus."""

from __future__ import annotations

import copy

import torch

from plm.auto.model import PretrainedModel
from plm.auto.models import AutoConfig
from plm.auto.tokenizer import AutoTokenizer
from plm.errors import ConfigError
from plm.runs.architectures import architecture_file
from plm.runs.pretraining_config import PretrainingConfig
from plm.tokenizers import Tokenizer
from plm.tokenizers.identity import tokenizer_state, vocabulary_digest


def starting_model(config: PretrainingConfig, tokenizer: Tokenizer) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """The model, the tokenizer to save with it, and what people should know of both.

    tokenizer: of the corpus. Raises ConfigError for an architecture that is not there, and for a model with other words
    or for other examples.
    """
    device = config.device or ("cuda" if torch.cuda.is_available() else "cpu")
    make = _from_scratch if config.model.endswith(".json") else _continued
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        model, kept, notes = make(config, tokenizer)
    config.examples.objective.check(model)
    return model.to(device), kept, notes


def require_same_vocabulary(other: Tokenizer, tokenizer: Tokenizer, *, source: str) -> None:
    """Raise ConfigError naming the first difference when the ids of two tokenizers do not mean the same tokens.

    other: of `source`; tokenizer: of the training corpus.
    """
    if vocabulary_digest(other) == vocabulary_digest(tokenizer):
        return
    theirs, ours = ({id_: token for token, id_ in one.get_vocab().items()} for one in (other, tokenizer))
    first = min(id_ for id_ in {*theirs, *ours} if theirs.get(id_) != ours.get(id_))
    raise ConfigError(
        f"{source}: its vocabulary is not that of the training corpus: {len(other)} tokens there, {len(tokenizer)} in "
        f"the corpus, and id {first} is {theirs.get(first)!r} there and {ours.get(first)!r} in the corpus; prepare the "
        "corpus with its tokenizer"
    )


def _from_scratch(config: PretrainingConfig, tokenizer: Tokenizer) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """Weights drawn from the global random state, and a tokenizer that knows the length of the model."""
    architecture = AutoConfig.from_pretrained(
        architecture_file(config.model), vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id
    )
    tokenizer = copy.copy(tokenizer)
    if architecture.longest_text is not None:
        tokenizer.model_max_length = architecture.longest_text
    return config.examples.objective.auto.from_config(architecture), tokenizer, []


def _continued(config: PretrainingConfig, tokenizer: Tokenizer) -> tuple[PretrainedModel, Tokenizer, list[str]]:
    """A checkpoint and its tokenizer."""
    own = AutoTokenizer.from_pretrained(config.model)
    require_same_vocabulary(own, tokenizer, source=f"model: {config.model}")
    model = config.examples.objective.auto.from_pretrained(config.model)
    if len(own) > model.config.vocab_size:
        model.resize_token_embeddings(len(own))
    assert model.loaded is not None, "made by from_pretrained"
    drawn = [name for name in model.loaded.missing if name.startswith("heads.")]
    notes = [f"the checkpoint lacks {', '.join(drawn)}: drawn anew"] if drawn else []
    if _rules(own) != _rules(tokenizer):
        notes.append("the tokenizer of the checkpoint splits or lower-cases texts otherwise than that of the corpus")
    return model, own, notes


def _rules(tokenizer: Tokenizer) -> list[object]:
    """How texts are prepared before they are looked up."""
    state = tokenizer_state(tokenizer)
    return [state["backend"]["normalizer"], state["backend"]["pre_tokenizer"], state["openai_words"]]
