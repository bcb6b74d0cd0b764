"""Stage 1 on the bundled newspaper and half the reviews: what it writes is clean, leaks nothing and is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import xxhash

from noria.api.stages import StageResult
from noria.cli.demo import corpus
from noria.cli.demo.settings import Context, DemoSettings
from noria.core.folder import verify
from noria.core.progress import Report
from noria.make.corpus import bundled
from noria.make.corpus.documents import Document
from noria.text.dedup import key_of, near_pairs

SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def reviews() -> list[Document]:
    """Half the texts, each as often as it is repeated."""
    return [one for one in bundled.reviews() if xxhash.xxh3_64_intdigest(one.text.encode()) % 2]


@pytest.fixture(scope="module")
def stage(reviews: list[Document], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StageResult]:
    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundled, "reviews", lambda: reviews)
        return root / "corpus", corpus.run(Context(root, DemoSettings(), Report()))


def _rows(folder: Path, name: str) -> dict[str, list[dict[str, Any]]]:
    return {
        split: [
            json.loads(line) for line in (folder / name / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        for split in SPLITS
    }


def test_counts_reconcile(stage: tuple[Path, StageResult], reviews: list[Document]) -> None:
    folder, result = stage
    manifest = verify(folder)
    assert {source.licence for source in manifest.sources} == {"MIT"}
    for name in ("reviews", "entities", "news"):
        facts = result.facts[name]
        assert facts["rows"] == facts["kept"] + sum(facts["drops"].values())
        assert {split: len(rows) for split, rows in _rows(folder, name).items()} == facts["splits"]
        assert sum(facts["splits"].values()) == facts["kept"]
        assert 0.75 < facts["splits"]["train"] / facts["kept"] < 0.85
    assert result.facts["reviews"]["rows"] == len(reviews) > 17_000
    assert result.facts["reviews"]["drops"]["exact duplicate"] > 8_500
    assert result.facts["reviews"]["drops"]["conflicting labels"] > 50
    json.dumps(result.facts)


def test_no_review_leaks(stage: tuple[Path, StageResult]) -> None:
    rows = _rows(stage[0], "reviews")
    side = [(split, row) for split in SPLITS for row in rows[split]]
    keys = [key_of(row["text"]) for _, row in side]
    assert len(set(keys)) == len(keys)
    assert all(side[i][0] == side[j][0] for i, j in near_pairs(keys, 0.8, seed=0)[0].tolist())
    assert {row["label"] for _, row in side} == {"positive", "negative"}


def test_no_article_leaks_from_one_set_into_the_other(stage: tuple[Path, StageResult]) -> None:
    trained = "\n".join(row["text"] for row in _rows(stage[0], "news")["train"])
    held_out = [row["text"] for split in ("valid", "test") for row in _rows(stage[0], "entities")[split]]
    long = [text for text in held_out if len(text) > 60]
    assert len(long) > 1_000
    assert sum(text in trained for text in long) == 0


def test_entities_are_marked_in_the_cleaned_text(stage: tuple[Path, StageResult]) -> None:
    rows = [row for part in _rows(stage[0], "entities").values() for row in part]
    people = {
        row["text"][span["start"] : span["end"]] for row in rows for span in row["spans"] if span["label"] == "PER"
    }
    assert {"江泽民", "李鹏", "克林顿"} <= people
    assert {span["label"] for row in rows for span in row["spans"]} == {"PER", "LOC", "ORG"}
    assert any("<PHONE>" in row["text"] for row in rows)


def test_the_naive_split_flatters(stage: tuple[Path, StageResult]) -> None:
    naive, honest = stage[1].facts["naive"], stage[1].facts["honest"]
    assert naive["low"] > honest["high"]
    assert 0.8 < honest["low"] < honest["value"] < honest["high"] < 0.9
    assert all(figure.n > 0 and figure.source for figure in stage[1].figures)
    assert f"{honest['value']:.4f}" in stage[1].line
    assert "35,124" in corpus.plan(Context(stage[0].parent, DemoSettings(), Report()))


def test_wilson_agrees_with_a_published_example() -> None:
    # Newcombe (1998), "Two-sided confidence intervals for the single proportion", table I: 81 of 263
    low, high = corpus.wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
