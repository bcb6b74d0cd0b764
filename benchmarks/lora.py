"""Adapters: how long until LoRA is as good as full fine-tuning, less half a point; Noria beside transformers.Trainer with peft.

Noria's LoRA rests on the documented advice: the lower layers frozen, their states kept. peft gets the untrimmed model, once
with the defaults of Trainer and LoraConfig and once with the best settings known for processors. `race.py` tells the rest.
"""

from __future__ import annotations

from typing import Any

from . import race, trainer
from .line import Line, compare

LORA = {
    "noria": {
        "learning_rate": 2e-3,
        "tokens_per_batch": 1024,
        "adapter": {"kind": "lora", "rank": 16},
        "body": {"frozen": 8},
    },
    "epochs": 3.0,
}
PEERS: dict[str, dict[str, Any]] = {
    "transformers.Trainer with peft, defaults": {"lora": {}, "trainer": {}, "epochs": 4.0},
    "transformers.Trainer with peft, bf16 and best settings": {
        "lora": {"target_modules": "all-linear", "lora_alpha": 16},
        "trainer": {**trainer.BEST, "learning_rate": 1e-3, "warmup_steps": 10},
        "epochs": 4.0,
    },
}


def measure(*, quick: bool) -> list[Line]:
    """Return one line for Noria's own full fine-tuning and one a peer; quick takes 1 repeat on few rows, else 3 on more."""
    size: dict[str, Any] = {"repeats": 1, "rows": 2000, "held": 1000, "patience": 60.0}
    if not quick:
        size = {"repeats": 3, "rows": 6000, "held": 3000, "patience": 300.0}
    seconds, short = race.raced({"noria": LORA, **PEERS}, **size, title="lora")
    names = {"full": "Noria's full fine-tuning, to its own accuracy", **{name: name for name in PEERS}}
    if "noria" in short:
        short.add("full")
    return [
        compare(
            "lora",
            "time to full fine-tuning's accuracy less 0.5 point",
            seconds["noria"],
            seconds[key],
            name + (race.STOPPED if key in short else ""),
            "s",
            higher_is_better=False,
        )
        for key, name in names.items()
    ]
