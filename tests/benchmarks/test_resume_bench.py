"""The benchmark of checkpoints trains by the loop as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import encoder_tokenizer

from benchmarks import resume
from noria.make.training.loop import checkpoint, loop


def test_a_killed_run_goes_on_and_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from transformers import BertConfig, BertModel

    (tmp_path / "base").mkdir()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=encoder_tokenizer(tmp_path / "base"), **sizes)).save_pretrained(tmp_path / "base")
    rows = [{"text": f"第{number}天，物流很快", "label": "ab"[number % 2]} for number in range(400)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr(loop, "save_checkpoint", checkpoint.save_checkpoint)  # the benchmark puts its own in its place
    assert set(resume.noria(tmp_path, "resume", 1.0)) == {"resume"}
