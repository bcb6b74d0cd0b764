"""The doctor: everything is looked at, in both languages; what is wrong is told by name, and nothing is left behind."""

from __future__ import annotations

import json
import socket
from importlib import metadata
from pathlib import Path

import pytest

from noria.api import doctor as module
from noria.api.doctor import doctor
from noria.cli.main import main
from noria.core.errors import NoriaError
from noria.machine import cores, isa


def test_everything_is_looked_at_and_nothing_is_left(tmp_path: Path):
    found = doctor(tmp_path, _free())
    assert {one.area for one in found} == {"machine", "disk", "packages", "data", "port"}
    told = "\n".join(f"{one.summary} {one.advice}" for one in found)
    assert isa() in told
    assert f"{cores()} core(s)" in told
    assert all(one.summary["zh"] != str(one.summary) for one in found if one.area in ("machine", "port"))
    assert not list(tmp_path.iterdir())


def test_what_is_missing_or_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    wanted = ["numpy<1", "no-such-package>=2", "cyclopts", 'pytest<1; extra == "test"']
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    wrong = [one for one in doctor(tmp_path, _free()) if one.state == "wrong"]
    assert [str(one.summary).split()[0] for one in wrong] == ["numpy", "no-such-package"]
    assert metadata.version("numpy") in str(wrong[0].summary)


def test_a_port_that_is_taken_and_a_slow_disk_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(module, "milliseconds_to_disk", lambda folder: 80.0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["doctor", str(tmp_path), "--port", str(port), "--json"]) == 2
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["summary"] for one in found if one["state"] == "wrong"] == [f"port {port} is taken"]
    assert [one for one in found if one["state"] == "slow" and one["area"] == "disk" and "80" in one["summary"]]


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path):
    with pytest.raises(NoriaError, match="nowhere"):
        doctor(tmp_path / "nowhere")


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
