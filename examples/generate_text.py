"""Make a BERT causal, train it a little, and let it go on with a text: likeliest words, drawn ones, beams, a stream.

python examples/generate_text.py [--model openai-gpt] [--prompt "once upon a time"]       (--model is not trained)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

import plm
from plm.data import Batches, Columns, batches_by_count, pad_sequences, read_examples

REQUESTS = Path(__file__).parent / "data" / "snips" / "train.tsv"
WAYS = {
    "likeliest": plm.GenerationConfig(max_new_tokens=12),
    "drawn": plm.GenerationConfig(max_new_tokens=12, temperature=0.8, top_k=40, num_return_sequences=3, seed=1),
    "beams": plm.GenerationConfig(max_new_tokens=12, num_beams=4, num_return_sequences=2),
}


def main() -> None:
    """A prompt, and how it may go on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="a causal model, folder or hub name [one that is trained now]")
    parser.add_argument("--prompt", default="i want to")
    parser.add_argument("--updates", type=int, default=100, help="of the model that is trained now")
    options = parser.parse_args()
    generator = plm.Generator.from_pretrained(options.model) if options.model else trained(options.updates)
    for way, config in WAYS.items():
        for text in generator(options.prompt, config)[0]:
            print(f"{way:10} {text.score:7.2f}  {options.prompt} ...{text.text}")
    print(f"{'stream':18}  {options.prompt} ...", end="")
    for piece in generator.stream(options.prompt, plm.GenerationConfig(max_new_tokens=12, top_p=0.8)):
        print(piece, end="", flush=True)
    print()


def trained(updates: int) -> plm.Generator:
    """A BERT that has learned what people say to an assistant."""
    tokenizer = plm.AutoTokenizer.from_pretrained("plm/tiny-en")
    model = plm.AutoModelForCausalLM.from_pretrained("plm/tiny-en", is_decoder=True)
    rows = tokenizer([request.text for request in read_examples(REQUESTS, Columns(text="text"))])["input_ids"]
    batches = Batches(rows, lambda epoch: batches_by_count(list(map(len, rows)), batch_size=32, seed=epoch), collate)
    plm.Trainer(model, plm.TrainingConfig(learning_rate=1e-3, max_steps=updates), batches=batches).train()
    return plm.Generator(model, tokenizer)


def collate(rows: Sequence[list[int]]) -> dict[str, Tensor]:
    """A batch in which every token is to be foreseen; 0 is [PAD], from which nothing is learned."""
    ids = pad_sequences(rows, value=0)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": ids}


if __name__ == "__main__":
    main()
