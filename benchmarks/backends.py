"""One model on every backend against transformers and against onnxruntime with its own tools.

    python -m benchmarks backends [--work sentences|single|full] [--shape base|tiny] [--threads 1] [--layers N]
                                  [--backends torch:float32 int8:int8 ...] [--repetitions 5]

sentences: texts of real lengths; transformers takes batches of 32 in arrival order, "sorted" the same by length,
onnxruntime's own int8 model batches of 32 by length. single: one text of 128 tokens. full: 32 texts of 128.
base: BERT-base; tiny: TinyBERT's 4 layers of 312, which stands beside transformers' BERT-base and our own.
Outputs are compared with those of transformers in the same run: largest difference, and lowest cosine of a token.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.encode import encode_packed, encode_padded
from benchmarks.measure import emit, interleave, ratios, sentence_lengths
from plm.backends import BACKENDS
from plm.backends.runner import Runner
from plm.errors import BackendUnavailable
from plm.pipelines import TOKENS_PER_BATCH, batches_by_length

Array = np.ndarray[Any, Any]
Run = Callable[[Sequence[Array]], list[Array]]

SHAPES = {
    "base": {"num_hidden_layers": 12},
    "tiny": {"num_hidden_layers": 4, "hidden_size": 312, "num_attention_heads": 12, "intermediate_size": 1200},
}
DEFAULT_BACKENDS = ("torch:float32", "torch:bfloat16", "int8:int8", "onnx:float32", "onnx:int8")
BATCH = 32


def texts_of(work: str, count: int) -> list[Array]:
    """Token ids, without special ones."""
    lengths = {"sentences": sentence_lengths(count), "single": [128], "full": [128] * BATCH}[work]
    rng = np.random.default_rng(1)
    return [rng.integers(1000, 30000, length) for length in lengths]


def padded(texts: Sequence[Array], places: Sequence[int]) -> dict[str, Array]:
    """input_ids and attention_mask of some texts."""
    longest = max(len(texts[place]) for place in places)
    ids = np.zeros((len(places), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, place in enumerate(places):
        ids[row, : len(texts[place])] = texts[place]
        mask[row, : len(texts[place])] = 1
    return {"input_ids": ids, "attention_mask": mask}


def by_length(texts: Sequence[Array]) -> list[int]:
    """Places, longest first."""
    return sorted(range(len(texts)), key=lambda place: -len(texts[place]))


def ours(runner: Runner, texts: Sequence[Array]) -> list[Array]:
    """What a pipeline does behind its tokenizer: packed, or padded where the backend takes nothing else."""
    if runner.takes_packed:
        return encode_packed(runner, texts)
    states: list[Any] = [None] * len(texts)
    for places in batches_by_length([len(text) for text in texts], TOKENS_PER_BATCH):
        rows = runner.run(padded(texts, places))["last_hidden_state"]
        for row, place in enumerate(places):
            states[place] = rows[row, : len(texts[place])]
    return states


def peer_onnx(model: torch.nn.Module, folder: Path, *, threads: int) -> Run:
    """transformers' model through torch.onnx, onnxruntime's optimizer for BERT and its dynamic quantization."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import quantize_dynamic
    from onnxruntime.transformers import optimizer

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.model(input_ids, attention_mask=attention_mask).last_hidden_state
            return states

    sample = torch.ones(2, 16, dtype=torch.long)
    mask = torch.ones_like(sample)
    mask[0, 9:] = 0
    axes = {0: "batch", 1: "length"}
    torch.onnx.export(
        States().eval(), (sample, mask), str(folder / "peer.onnx"), dynamo=False, opset_version=17,
        input_names=["input_ids", "attention_mask"], output_names=["states"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "states": axes},
    )  # fmt: skip
    config = model.config
    fused = optimizer.optimize_model(
        str(folder / "peer.onnx"), model_type="bert", num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
    )  # fmt: skip
    fused.save_model_to_file(str(folder / "fused.onnx"))
    quantize_dynamic(
        folder / "fused.onnx", folder / "int8.onnx", extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT}
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "int8.onnx", options)

    def run(texts: Sequence[Array]) -> list[Array]:
        states: list[Any] = [None] * len(texts)
        order = by_length(texts)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            rows = session.run(None, padded(texts, places))[0]
            for row, place in enumerate(places):
                states[place] = rows[row, : len(texts[place])]
        return states

    return run


def agreement(found: Sequence[Array], wanted: Sequence[Array]) -> dict[str, float]:
    """Largest difference, and the lowest cosine of the states of a token."""
    left, right = (np.concatenate(list(side)).astype(np.float64) for side in (found, wanted))
    cosines = (left * right).sum(1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1))
    return {"largest_difference": float(np.abs(left - right).max()), "lowest_cosine": round(float(cosines.min()), 6)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", choices=("sentences", "single", "full"), default="sentences")
    parser.add_argument("--shape", choices=tuple(SHAPES), default="base")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--sentences", type=int, default=1000)
    parser.add_argument("--backends", nargs="+", default=list(DEFAULT_BACKENDS))
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Build all sides, compare their outputs, time them in turn."""
    texts = texts_of(options.work, options.sentences)
    peer = _transformers(SHAPES["base"], options.layers)
    runs: dict[str, Run] = {"transformers": partial(_padded, peer, list(range(len(texts))))}
    if options.work == "sentences":
        runs["transformers sorted"] = partial(_padded, peer, by_length(texts))
    wanted = runs["transformers"](texts)
    if options.shape == "base":
        model = peer
    else:
        model = _transformers(SHAPES[options.shape], None)
        wanted = _padded(model, by_length(texts), texts)
        peer.save_pretrained(folder / "base")
        for backend in options.backends:
            runs[f"base {backend}"] = _ours(folder / "base", backend)
    model.save_pretrained(folder / "model")
    for backend in options.backends:
        runs[backend] = _ours(folder / "model", backend)
    if options.shape == "base":
        eager = _transformers(SHAPES["base"], options.layers, attention="eager")
        eager.load_state_dict(peer.state_dict())
        runs["onnxruntime int8 sorted"] = peer_onnx(eager, folder, threads=options.threads)
    alike = options.backends if options.shape != "base" else list(runs)
    compared = {name: agreement(runs[name](texts), wanted) for name in alike}
    seconds = interleave(
        {name: partial(run, texts) for name, run in runs.items()}, repetitions=options.repetitions, rest=0.1
    )
    for name in runs:
        references = [other for other in runs if other != name and _compares(name, other)]
        emit(
            "backends", work=options.work, shape=options.shape, side=name, layers=options.layers or "all",
            seconds=round(float(np.median(seconds[name])), 4), **compared.get(name, {}),
            faster_than={other: ratios(seconds, of=name, to=other) for other in references},
        )  # fmt: skip


def _compares(name: str, other: str) -> bool:
    """Peers are what everything is compared with; a small model with the large one on the same backend as well."""
    return other.startswith(("transformers", "onnxruntime")) or other == f"base {name}"


def _transformers(sizes: dict[str, int], layers: int | None, *, attention: str = "sdpa") -> Any:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    changed = sizes if layers is None else {**sizes, "num_hidden_layers": layers}
    config = transformers.BertConfig(**changed, attn_implementation=attention)
    return transformers.BertModel(config, add_pooling_layer=False).eval()


def _padded(model: Any, order: Sequence[int], texts: Sequence[Array]) -> list[Array]:
    return encode_padded(model, texts, order)


def _ours(folder: Path, backend: str) -> Run:
    name, _, dtype = backend.partition(":")
    try:
        return partial(ours, BACKENDS.get(name).load(folder, None, dtype or "float32"))
    except BackendUnavailable as error:
        raise SystemExit(f"{backend}: {error}") from error


if __name__ == "__main__":
    main()
