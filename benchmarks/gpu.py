"""BERT, NEZHA and GPT-1 on one GPU: plm against transformers, real tokens a second and the share of the GPU's peak.

    python -m benchmarks gpu [--only encode train nezha latency generate] [--check] [--peak 989] [--repetitions 5]
        [--attention-dropout 0.1] [--compile-peer] [--device cuda:0] [--tiny]

Both sides have the same weights and texts, in bfloat16; outputs of encoding are compared before anything is timed.
"transformers" is sdpa with batches of 32 in arrival order, padded; "best" is the same sorted by length, in batches of
as many padded tokens as plm takes, compiled with --compile-peer. Lengths are all 128, all 512, or about those of SQuAD.
A share of the peak (MFU) counts the multiplications and additions that real tokens need, three times for training, and
never those of padding; --peak gives the peak in TFLOP/s where the name of the GPU does not tell. --check runs
benchmarks.gpu_checks first. --device cpu --tiny shows that the script works, and no speed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import gpu_checks
from benchmarks.gpu_bench import BASE, LENGTHS, Bench, Size, padded
from plm.auto.models import AutoModelForCausalLM, AutoModelForMaskedLM
from plm.blocks.labels import IGNORED_LABEL
from plm.blocks.layout import Packed
from plm.generation import GenerationConfig, generate
from plm.models.bert import BertConfig
from plm.models.nezha import NezhaConfig
from plm.pipelines import batches_by_length
from plm.training.config import TrainingConfig
from plm.training.optimizers import build_optimizer

MASKED_SHARE = 0.15
PROMPT, NEW = 32, 64


# ---- encoding


def encode(bench: Bench) -> None:
    """Last hidden states of texts."""
    for name, size in bench.sizes.items():
        with bench.pair("BertModel", size) as (peer, ours):
            peer, ours = peer.bfloat16(), ours.bfloat16().eval()
            best = torch.compile(peer, dynamic=True) if bench.options.compile_peer else peer
            for lengths in LENGTHS:
                encode_lengths(bench, (peer, best, ours), lengths, size=size, model=name)


def encode_lengths(bench: Bench, models: tuple[Any, Any, Any], name: str, *, size: Size, model: str) -> None:
    """One distribution of lengths. models: theirs, theirs at its best, ours."""
    peer, best, ours = models
    texts = bench.texts(LENGTHS[name](size.texts), size)
    lengths = [len(text) for text in texts]
    arrival = list(range(len(texts)))
    by_32 = [arrival[start : start + 32] for start in range(0, len(arrival), 32)]
    sides: dict[str, Callable[[], list[Tensor]]] = {
        "plm": partial(encode_packed, ours, texts, size.tokens),
        "transformers": partial(encode_padded, peer, texts, by_32),
        "best": partial(encode_padded, best, texts, by_length(lengths, size.tokens)),
    }
    found, expected = (torch.cat(sides[side]()).float() for side in ("plm", "transformers"))
    likeness = float(torch.cosine_similarity(found, expected).mean())
    assert likeness > 0.99, f"outputs differ: cosine {likeness}"
    about = {"model": model, "lengths": name, "cosine": round(likeness, 5)}
    bench.report("encode", bench.run(sides), tokens=sum(lengths), flops=size.flops(lengths), **about)


def by_length(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Places of texts, longest first, in batches of so many tokens when padded."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    batches = []
    while order:
        count = max(1, tokens // lengths[order[0]])
        batches.append(order[:count])
        order = order[count:]
    return batches


@torch.inference_mode()
def encode_packed(model: Any, texts: Sequence[Tensor], tokens: int) -> list[Tensor]:
    """States of each text, in order, on the model's device."""
    states: list[Any] = [None] * len(texts)
    for places in batches_by_length([len(text) for text in texts], tokens):
        lengths = [len(texts[place]) for place in places]
        ids = torch.cat([texts[place] for place in places]).to(model.device, non_blocking=True)
        layout = Packed.from_lengths(lengths, pattern=model.config.attention_pattern, device=model.device)
        rows = model(ids, layout=layout).last_hidden_state
        for place, part in zip(places, torch.split(rows, lengths), strict=True):
            states[place] = part
    return states


@torch.inference_mode()
def encode_padded(model: Any, texts: Sequence[Tensor], batches: Sequence[Sequence[int]]) -> list[Tensor]:
    """The same with a model of transformers; batches: places of their texts."""
    states: list[Any] = [None] * len(texts)
    device = next(model.parameters()).device
    for places in batches:
        ids, mask = padded([texts[place] for place in places])
        hidden = model(ids.to(device), attention_mask=mask.to(device)).last_hidden_state
        for row, place in enumerate(places):
            states[place] = hidden[row, : len(texts[place])]
    return states


# ---- training


def train(bench: Bench) -> None:
    """Updates of masked language modelling: bf16 autocast, clipped gradients, fused AdamW, batches in random order."""
    dropout = {"attention_probs_dropout_prob": bench.options.attention_dropout}
    for name, size in bench.sizes.items():
        with bench.pair("BertForMaskedLM", size, **dropout) as (peer, ours):
            for lengths_name, lengths_of in LENGTHS.items():
                lengths = within(lengths_of(size.texts), size.trained_tokens)
                batch = masked_batch(bench.texts(lengths, size), bench.device)
                masked = int((batch["labels"] != IGNORED_LABEL).sum())
                bench.report(
                    "train",
                    bench.run({"plm": updates(ours, batch), "transformers": updates(peer, batch)}),
                    tokens=sum(lengths),
                    flops=3 * (size.flops(lengths) + size.head_flops(masked)),
                    model=name,
                    lengths=lengths_name,
                    attention_dropout=bench.options.attention_dropout,
                )


def within(lengths: Sequence[int], tokens: int) -> list[int]:
    """As many of them as have so many tokens when all are padded to the longest."""
    return list(lengths[: max(1, tokens // max(lengths))])


def masked_batch(texts: Sequence[Tensor], device: torch.device) -> dict[str, Tensor]:
    """Padded texts with labels at random places."""
    ids, mask = padded(texts)
    chosen = (torch.rand(ids.shape, generator=torch.Generator().manual_seed(2)) < MASKED_SHARE) & (mask == 1)
    chosen[:, 0] = True  # one at least
    batch = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(~chosen, IGNORED_LABEL)}
    return {key: tensor.to(device) for key, tensor in batch.items()}


def updates(model: Any, batch: Mapping[str, Tensor]) -> Callable[[], None]:
    """One update of a model, plm's or transformers', with the optimizer that plm's configs give."""
    optimizer = build_optimizer(model.train(), TrainingConfig(learning_rate=1e-5))
    device = batch["input_ids"].device

    def update() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return update


# ---- NEZHA, single texts, generation


def nezha(bench: Bench) -> None:
    """NEZHA beside our own BERT of the same size; training without dropout of probabilities."""
    name, size = next(iter(bench.sizes.items()))
    still = {"attention_probs_dropout_prob": 0.0}
    arguments = {key: value for key, value in size.arguments.items() if key != "max_position_embeddings"}
    models = {
        kind: AutoModelForMaskedLM.from_config(config(**arguments, **still)).to(bench.device)
        for kind, config in (("nezha", NezhaConfig), ("bert", BertConfig))
    }
    for lengths_name, lengths_of in LENGTHS.items():
        lengths = within(lengths_of(size.texts), size.trained_tokens)
        batch = masked_batch(bench.texts(lengths, size), bench.device)
        work = {"tokens": sum(lengths), "model": name, "lengths": lengths_name}
        seconds = bench.run({kind: updates(model, batch) for kind, model in models.items()})
        bench.report("nezha-train", seconds, flops=3 * size.flops(lengths), **work)
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
        seconds = bench.run({kind: forward(model, inputs) for kind, model in models.items()})
        bench.report("nezha-encode", seconds, flops=size.flops(lengths), **work)


def forward(model: Any, inputs: Mapping[str, Tensor]) -> Callable[[], object]:
    """One pass of the backbone in evaluation mode."""

    @torch.inference_mode()
    def run() -> object:
        with torch.autocast(inputs["input_ids"].device.type, dtype=torch.bfloat16):
            return model.eval().backbone(**inputs).hidden

    return run


def latency(bench: Bench) -> None:
    """One text of 128 tokens: as it is, and on GPUs as a CUDA graph, which takes the launching of operators away."""
    for name, size in bench.sizes.items():
        with bench.pair("BertModel", size) as (peer, ours):
            peer, ours = peer.bfloat16(), ours.bfloat16().eval()
            ids = torch.randint(5, size.vocabulary, (1, 128)).to(bench.device)
            sides = {"plm": inference(ours, ids), "transformers": inference(peer, ids)}
            if bench.device.type == "cuda":
                sides["plm_graph"] = gpu_checks.graphed(sides["plm"])
            bench.report("latency", bench.run(sides), tokens=128, flops=size.flops([128]), model=name)


def inference(model: Any, ids: Tensor) -> Callable[[], Any]:
    """A pass over full texts."""

    @torch.inference_mode()
    def run() -> Any:
        return model(ids).last_hidden_state

    return run


def generation(bench: Bench) -> None:
    """GPT-1 of 117M going on with prompts, greedy; transformers has no cache for it."""
    import transformers

    tiny = {"n_embd": 32, "n_layer": 1, "n_head": 2, "vocab_size": 100} if bench.options.tiny else {}
    torch.manual_seed(0)
    peer = transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**tiny)).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        ours = AutoModelForCausalLM.from_pretrained(Path(folder), device=bench.device).bfloat16().eval()
    peer = peer.to(bench.device, torch.bfloat16)
    new = 4 if bench.options.tiny else NEW
    size = replace(BASE, vocabulary=40478)
    for count in (1, 2) if bench.options.tiny else (1, 4, 16, 64, 256):
        ids = torch.randint(0, ours.config.vocab_size, (count, PROMPT)).to(bench.device)
        sides: dict[str, Callable[[], object]] = {
            "plm": lambda ids=ids: generate(ours, ids, GenerationConfig(max_new_tokens=new)),
            "transformers": lambda ids=ids: peer.generate(
                ids, max_new_tokens=new, do_sample=False, eos_token_id=None, pad_token_id=0
            ),
        }
        flops = size.flops([PROMPT + new] * count) + size.head_flops(new * count)
        bench.report("generate", bench.run(sides), tokens=count * new, flops=flops, batch=count)


MEASUREMENTS: Mapping[str, Callable[[Bench], None]] = {
    "encode": encode,
    "train": train,
    "nezha": nezha,
    "latency": latency,
    "generate": generation,
}


def main() -> None:
    """Check, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="+", choices=list(MEASUREMENTS), default=list(MEASUREMENTS))
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--peak", type=float, help="TFLOP/s in bfloat16, dense")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--attention-dropout", type=float, default=0.1)
    parser.add_argument("--compile-peer", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if options.check:
        gpu_checks.check_all(torch.device(options.device))
    bench = Bench(options)
    for name in options.only:
        MEASUREMENTS[name](bench)


if __name__ == "__main__":
    main()
