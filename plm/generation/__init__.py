"""Generation: texts that go on, by any causal model, and poems.

config = GenerationConfig(max_new_tokens=40, temperature=0.8, top_k=40, seed=1)
Generator.from_pretrained("openai-gpt")("once upon a time", config)      # texts
generate(model, input_ids, config)                                       # tensors
Poet.from_pretrained("runs/poet").write(PoemRequest(form="七绝"))          # poems, see plm.poetry
"""

from __future__ import annotations

from plm.generation.config import GenerationConfig
from plm.generation.constraints import LogitsConstraint, LogitsProcessor
from plm.generation.decoder import Decoder
from plm.generation.generating import Sequences, generate, generate_steps
from plm.generation.generator import Generated, Generator
from plm.generation.poem import Poem
from plm.generation.poem_judge import MaskedJudge, PoemJudge
from plm.generation.poet import Poet
from plm.generation.prompts import Prompts

__all__ = [
    "Decoder",
    "Generated",
    "GenerationConfig",
    "Generator",
    "LogitsConstraint",
    "LogitsProcessor",
    "MaskedJudge",
    "Poem",
    "PoemJudge",
    "Poet",
    "Prompts",
    "Sequences",
    "generate",
    "generate_steps",
]
