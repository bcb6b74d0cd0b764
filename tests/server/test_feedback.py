"""The wheel closes: a real server's answers, judged by users who consent, become rows, and the rows a model."""

from __future__ import annotations

import json

import httpx
import pytest
from tiny_models import LABELS, TEXTS, make_encoder

from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.lake.outbox import reconcile
from noria.lake.read import scan
from noria.make.corpus.collect import collect
from noria.server.http.run import serving
from noria.server.http.settings import ServerSettings
from noria.text.personal_data import mask


def test_judged_answers_train_the_next_model(classifier, tmp_path):
    lake = tmp_path / "lake"
    with (
        serving(ServerSettings(port=0, lake=lake, threads=1), [classifier], mask=mask) as server,
        httpx.Client(base_url=server.url, headers=server.headers, timeout=30) as client,
    ):

        def ask(text: str, **body: object) -> httpx.Response:
            return client.post("/v1/classify", json={"input": text, "user": "小王", **body})

        for place, text in enumerate(TEXTS):
            reply = ask(f"{text} 电话13800138000", consent=True).json()
            right = place % 2 == 0
            better = {} if right else {"better": next(one for one in LABELS if one != reply["data"][0]["label"])}
            told = client.post("/v1/feedback", json={"request": reply["id"], "right": right, "consent": True, **better})
            assert told.status_code == 200
        silent = ask("没有同意的话").json()
        client.post("/v1/feedback", json={"request": silent["id"], "right": True})
        refused = client.post("/v1/feedback", json={"request": silent["id"], "right": True, "better": "positive"})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "better")
        rows = collect(lake, "classify", tmp_path / "rows")  # while the server runs
    events = [row for batch in scan(lake) for row in batch.to_pylist()]
    assert {bool(event["text"]) for event in events if event["consent"]} == {True}
    assert {event["text"] for event in events if not event["consent"]} == {""}
    assert not any("13800138000" in event["text"] or "没有同意" in event["text"] for event in events)
    assert reconcile(lake).exact

    lines = [json.loads(line) for line in (rows / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in lines] == [f"{text} 电话<PHONE>" for text in TEXTS]
    assert read_manifest(rows).facts["verdicts"] == {"right": 7, "better": 7}
    assert json.loads((rows / "drops.json").read_text()) == {"without consent, or its text is no longer kept": 1}
    if len({row["label"] for row in lines}) < 2:
        pytest.fail("the tiny model's answers and their opposites are two labels")

    from noria.make.training.finetune.recipe import finetune
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import task_for

    base = make_encoder(tmp_path / "base", "embed", [], 2, compiled=False)
    settings = FinetuneSettings(steps=4, tokens_per_batch=256, evaluations=1, max_length=64)
    finetune(task_for("classify"), base, rows / "rows.jsonl", None, tmp_path / "model", settings, Report.silent())
    assert sorted(read_manifest(tmp_path / "model").facts["labels"]) == sorted({row["label"] for row in lines})


def test_without_a_mask_nothing_that_was_said_is_kept(classifier, tmp_path):
    settings = ServerSettings(port=0, lake=tmp_path, threads=1)
    with (
        serving(settings, [classifier]) as server,
        httpx.Client(base_url=server.url, headers=server.headers, timeout=30) as client,
    ):
        assert client.post("/v1/classify", json={"input": "很好", "consent": True}).status_code == 200
    assert [(row["consent"], row["text"]) for batch in scan(tmp_path) for row in batch.to_pylist()] == [(True, "")]


def test_a_server_whose_disk_is_full_refuses_new_work_and_heals(classifier, tmp_path, monkeypatch):
    settings = ServerSettings(port=0, lake=tmp_path, threads=1)
    with (
        serving(settings, [classifier]) as server,
        httpx.Client(base_url=server.url, headers=server.headers, timeout=30) as client,
    ):

        def ask() -> httpx.Response:
            return client.post("/v1/classify", json={"input": "很好"})

        assert ask().status_code == 200
        with monkeypatch.context() as patch:
            patch.setattr(server.state.meter.outbox, "_reserve", 1 << 60)
            refused = ask()
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert "the disk is almost full" in refused.json()["error"]["message"]
            assert client.get("/health").status_code == 200
        assert ask().status_code == 200
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.exact) == (2, True)
