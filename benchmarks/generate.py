"""Going on with texts by GPT-1: plm against transformers' generate, which has no cache for this model.

    python -m benchmarks generate [--threads 1] [--batch 1] [--prompt 32] [--new 64] [--repetitions 3]

Random weights of the real shape (117M), greedy. transformers runs in float32. Where float32 gives other tokens than
transformers, the benchmark stops. For a batch of 1 it also tells how near decoding comes to the bound: every weight is
read once for each token, at the rate at which the same weights are read and summed.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable

import torch

from benchmarks.measure import emit, interleave, ratios
from plm.auto.models import AutoModelForCausalLM
from plm.blocks.int8 import int8_supported
from plm.generation import GenerationConfig, generate
from plm.heads.model import Model
from plm.heads.preparing import for_decoding


def reading_seconds(model: Model, *, dtype: torch.dtype) -> float:
    """Least seconds in which the threads set now read all weights once."""
    weights = torch.cat([parameter.detach().flatten() for parameter in model.parameters()]).to(dtype)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        weights.sum()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    import transformers

    torch.manual_seed(0)
    peer = transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig()).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder)
        model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)  # out of the file that goes
    ids = torch.randint(0, 40478, (options.batch, options.prompt))
    settings = {name: getattr(options, name) for name in ("batch", "prompt", "new")}

    def theirs() -> torch.Tensor:
        made = peer.generate(ids, max_new_tokens=options.new, do_sample=False, eos_token_id=None, pad_token_id=0)
        tokens: torch.Tensor = made[:, options.prompt :]
        return tokens

    def ours(ready: Model) -> Callable[[], torch.Tensor]:
        return lambda: generate(ready, ids, GenerationConfig(max_new_tokens=options.new)).ids

    sides = {"transformers": theirs, "float32": ours(for_decoding(model))}
    if not torch.equal(sides["float32"](), theirs()):
        raise SystemExit("the texts differ: nothing to compare")
    sides["bfloat16"] = ours(for_decoding(copy.deepcopy(model).to(torch.bfloat16)))
    if int8_supported():
        sides["int8"] = ours(for_decoding(model, int8=True))
    seconds = interleave(sides, repetitions=options.repetitions)
    for name in list(sides)[1:]:
        rate = options.batch * options.new / min(seconds[name])
        ratio = ratios(seconds, of=name, to="transformers")
        emit("generate", side=name, tokens_per_second=round(rate, 1), ratio=ratio, **settings)
    if options.batch == 1:
        bound = 1.0 / reading_seconds(model, dtype=torch.float32)
        share = options.new / min(seconds["float32"]) / bound
        emit("generate-bound", tokens_per_second=round(bound, 1), reached=round(share, 3), **settings)


if __name__ == "__main__":
    main()
