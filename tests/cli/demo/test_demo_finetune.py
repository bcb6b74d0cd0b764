"""The fine-tuning stages of the main job: base, sentiment and entities on a small corpus, and what the ledger says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noria.cli.demo import finetune
from noria.cli.demo.settings import Context, DemoSettings
from noria.core.figure import Figure
from noria.core.folder import new_folder, read_manifest
from noria.core.progress import Report

FACTS = {"verdict": "beats the baseline", "steps": 700, "epochs": 2.04, "tokens_per_second": 4_800.0}


def figures(value: float, low: float, high: float) -> list[Figure]:
    """Return the figures of a model that differs from its baseline by `value`."""
    return [
        Figure("accuracy", 0.85 + value, 1_000, 0.8, 0.9, baseline=0.85),
        Figure("calibration error", 0.021, 1_000, 0.01, 0.03),
        Figure("accuracy above baseline", value, 1_000, low, high),
    ]


def test_the_ledger_says_who_wins():
    line = finetune.ledger_line(FACTS, figures(0.03, 0.012, 0.047))
    assert "accuracy 0.88" in line
    assert "+0.030 [+0.012, +0.047]: beats the baseline" in line
    assert "700 steps, 2.0 epochs at 4,800 tokens/s" in line
    joined = {"companion": {"figures": [Figure("accuracy of the model alone", 0.861, 1_000).as_dict()]}}
    assert "accuracy of the model alone 0.861" in finetune.ledger_line({**FACTS, **joined}, figures(0.03, 0.012, 0.047))
    lost = finetune.ledger_line({**FACTS, "verdict": "baseline wins"}, figures(-0.03, -0.05, -0.01))
    assert "-0.030 [-0.050, -0.010]: baseline wins" in lost


def test_budgets_and_seed_come_from_the_main_job(tmp_path: Path):
    context = Context(tmp_path, DemoSettings(sentiment_minutes=2, entities_minutes=1, seed=7), Report())
    assert (finetune.sentiment_settings(context).minutes, finetune.sentiment_settings(context).seed) == (2, 7)
    assert (finetune.entities_settings(context).minutes, finetune.entities_settings(context).seed) == (1, 7)
    assert "budget 2 min" in finetune.plan_sentiment(context)


@pytest.fixture
def corpus(tmp_path: Path, review_lines: list[str]) -> Path:
    """A corpus folder of a few reviews and tagged sentences."""
    with new_folder(tmp_path / "corpus", kind="corpus") as folder:
        for split, start in (("train", 0), ("valid", 200), ("test", 220)):
            lines = review_lines[start : start + (200 if split == "train" else 20)]
            rows = {
                "reviews": [{"text": t, "label": ("negative", "positive")[n % 2]} for n, t in enumerate(lines)],
                "entities": [{"text": "王明在" + t, "spans": [{"start": 0, "end": 2, "label": "PER"}]} for t in lines],
            }
            for name, part in rows.items():
                file = folder.path / name / f"{split}.jsonl"
                file.parent.mkdir(exist_ok=True)
                file.write_text("".join(json.dumps(row) + "\n" for row in part))
    return tmp_path / "corpus"


def test_the_three_stages_write_their_models(
    tmp_path: Path, corpus: Path, e5_full: Path, monkeypatch: pytest.MonkeyPatch
):
    context = Context(tmp_path, DemoSettings(), Report())
    (tmp_path / "e5").symlink_to(e5_full)
    base = finetune.BASE.run(context)
    values = {figure.name: figure.value for figure in base.figures}
    assert values["parameters after trimming"] < values["parameters before trimming"] / 4
    assert values["nearness of a translation"] > values["nearness of unrelated sentences"] + 0.05
    for stage, name in ((finetune.SENTIMENT, "sentiment"), (finetune.ENTITIES, "entities")):
        settings = getattr(finetune, f"{name}_settings")(context).replace(steps=1, max_length=32, tokens_per_batch=64)
        monkeypatch.setattr(finetune, f"{name}_settings", lambda context, settings=settings: settings)
        result = stage.run(context)
        assert result.facts["steps"] == 1
        assert result.facts["verdict"] in result.line
        assert result.figures[0].n == 20
        assert read_manifest(tmp_path / name).facts["base"].startswith("intfloat/multilingual-e5-small")
        json.dumps(result.facts)
