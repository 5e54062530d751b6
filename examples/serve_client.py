"""Ask a service what its models can be asked.

plm serve reviews=my-classifier stories=openai-gpt        # in one terminal
python examples/serve_client.py http://127.0.0.1:8000      # in another
"""

from __future__ import annotations

import os
import sys

from plm.serving import Client, ServiceError

TEXT = "The food was good, and the waiter in Berlin told us a story."


def main(url: str) -> None:
    """Ask each model about one text."""
    client = Client(url, token=os.environ.get("PLM_SERVE_TOKEN"))
    for card in client.models():
        name, abilities = card["name"], card["abilities"]
        print(f"{name}: {card['family']}, {card['parameters']:,} parameters, can {', '.join(abilities)}")
        if "classify" in abilities:
            print("  class:", client.classify(TEXT, model=name, truncate=True)[0])
        if "tag" in abilities:
            print("  entities:", client.tag(TEXT, model=name)[0])
        if "answer" in abilities:
            print("  answer:", client.answer({"question": "Who told a story?", "context": TEXT}, model=name)[0])
        if "fill-mask" in abilities:
            for choice in client.fill_mask("The food was [MASK].", model=name, top_k=3)[0][0]:
                print(f"  fits: {choice['token']} ({choice['score']:.3f})")
        if "generate" in abilities:
            print("  goes on:", end=" ")
            for piece in client.stream("The food was", model=name, options={"max_new_tokens": 10, "overflow": "slide"}):
                print(piece, end="", flush=True)
            print()
        if "poem" in abilities:
            print("  poem:", client.poem(model=name, wishes={"form": "五绝"})[0]["lines"])


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
    except ServiceError as error:
        sys.exit(f"{error.kind}: {error}")
