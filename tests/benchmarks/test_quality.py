"""The quality table: targets stand beside the measure they name, and rows of sets are mended without losing any."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.quality import SETS, Set, read, tweets, wanted
from noria.core.figure import Figure


def figures(*names: str) -> list[Figure]:
    return [Figure(name, 0.5, 10, 0.4, 0.6, source="a test") for name in names]


def test_a_target_stands_beside_the_measure_it_names():
    found = figures("accuracy", "macro F1", "accuracy above baseline")
    told = [wanted(SETS["fin-tweets"], one.name, found) for one in found]
    assert told == ["", "macro F1 >= 0.80", ""]
    assert [bool(wanted(SETS["clinc150"], one.name, found)) for one in found] == [True, False, False]
    reported = Set("translate", lambda data: {}, "none", "reported")
    assert [wanted(reported, one, figures("BLEU", "chrF")) for one in ("BLEU", "chrF")] == ["reported", ""]


def test_every_target_names_a_measure_or_says_that_it_is_only_reported():
    for name, one in SETS.items():
        assert one.wanted == "reported" or " >= " in one.wanted, name


def test_a_line_separator_within_a_text_ends_no_row(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"text": "one\u2028two"}, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read(file) == [{"text": "one\u2028two"}]


def test_tweets_lose_addresses_repeats_and_what_training_has(tmp_path: Path):
    folder = tmp_path / "monitor" / "fin-tweets"
    folder.mkdir(parents=True)
    rows = {
        "train": [
            ("A up https://t.co/1", "bullish"),
            ("A up https://t.co/2", "bullish"),
            ("B", "bearish"),
            ("B", "bullish"),
        ],
        "valid": [("A up https://t.co/3", "bullish"), ("C down", "bearish")],
    }
    for name, texts in rows.items():
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in texts), encoding="utf-8"
        )
    assert tweets(tmp_path) == {
        "train": [{"text": "A up", "label": "bullish"}],
        "test": [{"text": "C down", "label": "bearish"}],
    }
