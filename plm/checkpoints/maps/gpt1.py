"""Names of GPT-1: Hugging Face's (and MindNLP's), and OpenAI's own numbered arrays."""

from __future__ import annotations

from plm.checkpoints.maps.huggingface import CRF
from plm.checkpoints.maps.rules import embeddings, linears, norms, tied_decoder
from plm.checkpoints.name_map import MAPS, NameMap, Rule
from plm.checkpoints.transforms import DROP_LEADING_ONE, TRANSPOSE, Transform

QUERY_KEY_VALUE = tuple(f"blocks.{{n}}.attention.{name}" for name in ("query", "key", "value"))


def _matrices(block: str, weight: str, bias: str, transforms: tuple[Transform, ...]) -> tuple[Rule, ...]:
    """The four matrices of a block; OpenAI stores them (in, out) and queries, keys and values in one."""
    names: dict[str, tuple[str, ...]] = {
        "c_attn": QUERY_KEY_VALUE,
        "c_proj": ("blocks.{n}.attention.output",),
        "c_fc": ("blocks.{n}.feed_forward.up",),
        "mlp_proj": ("blocks.{n}.feed_forward.down",),
    }
    places = {"c_attn": "attn{s}c_attn", "c_proj": "attn{s}c_proj", "c_fc": "mlp{s}c_fc", "mlp_proj": "mlp{s}c_proj"}
    rules: list[Rule] = []
    for key, ours in names.items():
        theirs = block + places[key].replace("{s}", weight[0])
        rules.append(Rule(tuple(f"{name}.weight" for name in ours), theirs + weight, transforms))
        rules.append(Rule(tuple(f"{name}.bias" for name in ours), theirs + bias))
    return tuple(rules)


MAPS.add(
    "huggingface-gpt1",
    NameMap(
        name="huggingface-gpt1",
        families=("openai-gpt",),
        parts={
            "backbone": (
                *embeddings({"embeddings.word": "tokens_embed", "embeddings.position": "positions_embed"}),
                *norms(
                    {
                        "blocks.{n}.attention_norm": "h.{n}.ln_1",
                        "blocks.{n}.feed_forward_norm": "h.{n}.ln_2",
                        "final_norm": "ln_f",  # pre-norm models only: GPT-2's name for it
                    }
                ),
                *_matrices("h.{n}.", ".weight", ".bias", (TRANSPOSE,)),
            ),
            "language_model": (tied_decoder("lm_head.weight"),),
            "classifier": (Rule("weight", "score.weight"), Rule("bias", "score.bias")),
            "crf": CRF,
            "choice": linears({"": "multiple_choice_head.summary"}),
            "span": linears({"": "qa_outputs"}),
        },
        prefixes=("transformer.", ""),
        aliases=(
            (".embedding_table", ".weight"),  # MindNLP before it patched MindSpore's layers
            (".gamma", ".weight"),
            (".beta", ".bias"),
        ),
        ignored=(
            ("*position_ids", "a buffer of transformers before 4.31, rebuilt at run time"),
            ("*h.*.attn.bias", "the causal mask, a buffer of transformers before 5"),
        ),
        # transformers and MindNLP call the tanh form "gelu" here, and nowhere else.
        activations={"gelu": "gelu_new"},
        layouts=("huggingface",),
    ),
)

MAPS.add(
    "openai",
    NameMap(
        name="openai",
        families=("openai-gpt",),
        formats=("openai_npy",),
        parts={
            "backbone": (
                Rule("embeddings.position.weight", "positions"),
                Rule("embeddings.word.weight", "words"),
                *_matrices("h{n}/", "/w", "/b", (DROP_LEADING_ONE, TRANSPOSE)),
                *norms(
                    {"blocks.{n}.attention_norm": "h{n}/ln_1", "blocks.{n}.feed_forward_norm": "h{n}/ln_2"},
                    suffixes=("/g", "/b"),
                ),
            ),
            "language_model": (),
        },
        # In OpenAI's train.py, as in the config files that transformers writes, "gelu" is the tanh form.
        activations={"gelu": "gelu_new"},
        # train.py has these in its arguments; the number of heads is in no file.
        defaults={"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "num_attention_heads": 12},
        has_config=False,
        layouts=("openai",),
    ),
)
