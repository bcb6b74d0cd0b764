"""`noria ship events` and `noria build collect` as a person runs them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from noria.cli.main import main
from noria.lake.outbox import Outbox
from noria.lake.transcript import Correction, Exchange
from noria.server.meter import Meter, read_secret
from noria.text.personal_data import mask


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    folder = tmp_path / "lake"
    with Outbox(folder) as outbox:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        meter = Meter(outbox, read_secret(folder / "server"), lambda: yesterday, mask)
        for user, text in (("小王", "很好"), ("小李", "很差")):
            exchange = Exchange("classify", [text], [{"label": "positive"}])
            asked = meter.event("request", user=user, exchange=exchange, consent=True, model="m")
            told = meter.event(
                "feedback", user=user, subject=asked.id, value=1.0, exchange=Correction(0, None), consent=True
            )
            outbox.append([asked, told])
    return folder


def test_from_books_to_removal(lake, tmp_path, capsys):
    def noria(*words: str) -> str:
        assert main(list(words)) == 0
        return capsys.readouterr().out.strip()

    place = ("--lake", str(lake))
    assert noria("ship", "events", "reconcile", *place).endswith("4 in outboxes + 0 in the lake + 0 removed: exact")
    assert noria("ship", "events", "seal", *place) == "1 files sealed"
    assert json.loads(noria("ship", "events", "reconcile", "--json", *place))["sealed"] == 4
    noria("build", "collect", str(lake), "--task", "classify", "--out", str(tmp_path / "rows"))
    assert len((tmp_path / "rows" / "rows.jsonl").read_text().splitlines()) == 2
    assert "2 events removed (0 from outboxes, 2 from 1 sealed files)" in noria(
        "ship", "events", "erase", "小王", *place
    )
    receipt = json.loads(noria("ship", "events", "keep", "--text-days", "0", "--json", *place))
    assert (receipt["texts"], receipt["what"]) == (2, "retention")
    assert noria("ship", "events", "migrate", *place).startswith("0 sealed files written anew")
    assert noria("ship", "events", "reconcile", *place).endswith("2 in the lake + 2 removed: exact")


def test_faults_are_one_line(lake, tmp_path, capsys):
    place = ("--lake", str(lake))
    ids = tmp_path / "ids.txt"
    ids.write_text("no-such-id\n")
    for words, code, says in (
        (("ship", "events", "reconcile", "--told", str(ids), *place), 3, "1 missing"),
        (("ship", "events", "reconcile", "--told", str(tmp_path / "none"), *place), 2, "no such file of ids"),
        (("ship", "events", "reconcile", "--lake", str(tmp_path / "none")), 2, "no lake of events there"),
        (("ship", "events", "keep", *place), 2, "nothing to remove"),
        (("ship", "events", "keep", "--days", "-1", *place), 2, "--days is not allowed"),
        (("ship", "events", "erase", "", *place), 2, "no user is named"),
        (("build", "collect", str(lake), "--task", "tag", "--out", str(tmp_path / "x")), 2, "no tag row can be made"),
    ):
        assert main(list(words)) == code
        told = capsys.readouterr()
        assert says in told.out + told.err.splitlines()[-1] if told.err else says in told.out
