"""Serving by a call: beside other work as a context manager, and until a signal; the same server as by the command."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import httpx
import pytest
from tiny_models import LABELS, make_encoder

import noria
from noria.core.errors import FolderError, SettingError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny classifier."""
    return make_encoder(tmp_path_factory.mktemp("models") / "tiny", "classify", LABELS, 2, compiled=False)


def test_it_serves_beside_other_work(model: Path, tmp_path: Path):
    with noria.serve(str(model), background=True, port=0, lake=tmp_path / "lake", threads=1) as server:
        answer = httpx.post(f"{server.url}/v1/classify", headers=server.headers, json={"input": "很好"}, timeout=60)
        told = answer.json()
        assert answer.status_code == 200, told
        with noria.load(model, threads=1) as loaded:
            here = loaded("很好")
        assert here["label"] in str(told)
    with pytest.raises(httpx.HTTPError):
        httpx.get(server.url)


def test_it_serves_until_it_is_told_to_stop(model: Path, tmp_path: Path):
    told: list[str] = []

    def announce(url: str, key: str | None) -> None:
        told.append(url)
        assert key
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()

    ended = noria.serve(model, port=0, lake=tmp_path / "lake", threads=1, announce=announce)
    assert ended == signal.SIGTERM
    assert told[0].startswith("http://127.0.0.1:")


def test_what_cannot_be_served_is_named(model: Path, tmp_path: Path):
    with pytest.raises(SettingError, match="unknown application: found 'suport'"):
        noria.serve(model, apps=("suport",), lake=tmp_path)
    with pytest.raises(SettingError, match="port is not allowed"):
        noria.serve(model, port=-1)
    with pytest.raises(SettingError, match="did you mean on_words"):
        noria.serve(model, guard={"on_word": "mask"}, lake=tmp_path)
    with pytest.raises(FolderError), noria.serve(tmp_path / "no", background=True, port=0, lake=tmp_path):
        pass
