"""`noria new team`: a folder of several applications on one server; its README is followed to the letter, in both languages."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from tiny_models import LABELS, make_encoder

from noria.apps.serving import ServeSettings
from noria.cli.main import main
from noria.cli.new import APPLICATIONS, ORDER, STARTER


def test_every_application_has_its_part_in_both_languages() -> None:
    assert set(ORDER) == {path.parent.name for path in APPLICATIONS.glob(f"*/{STARTER}")}
    for language in ("en", "zh"):
        names = {path.name for path in (APPLICATIONS / STARTER / language).iterdir()}
        assert names == {f"{one}.{kind}" for one in ("head", *ORDER) for kind in ("md", "toml")} | {"tail.md"}


@pytest.mark.parametrize("chosen", [(), ("support", "monitor"), ("recommend", "monitor")])
def test_the_file_says_what_was_chosen(
    chosen: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    team = tmp_path / "team"
    assert main(["new", str(team), *(part for one in chosen for part in ("--app", one))]) == 0
    found = ServeSettings.given(team / "noria.toml")
    assert set(found.applications) == set(chosen or ORDER)
    assert {path.name for path in team.iterdir() if path.is_dir()} == set(chosen or ORDER)
    assert str(team / "README.md") in capsys.readouterr().out
    assert main(["new", str(team)]) == 2


def commands(folder: Path) -> list[list[str]]:
    page = (folder / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def test_the_readme_is_followed_to_the_letter(embedder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language in ("en", "zh"):
        monkeypatch.setenv("NORIA_LANG", language)
        assert main(["new", f"team-{language}"]) == 0
    assert commands(Path("team-en")) == commands(Path("team-zh"))
    monkeypatch.chdir(tmp_path / "team-zh")
    base, index, judge, ranker, clicks, serve = commands(Path())
    assert base == ["build", "base", "e5-small", "--out", "model"]
    shutil.copytree(embedder, "model")
    make_encoder(Path("sentiment"), "classify", LABELS, 2, compiled=False)  # in the place of minutes of learning
    assert (judge[:3], ranker[:3]) == (["build", "finetune", "classify"], ["build", "finetune", "recommend"])
    assert main(index) == 0
    shop = Path("recommend/shop.toml")
    shop.write_text(shop.read_text(encoding="utf-8").replace("ranker =", "# ranker ="), encoding="utf-8")
    assert main(clicks) == 0
    command = [sys.executable, "-m", "noria", *serve, "--port", "0", "--threads", "1"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"NORIA_LANG": language}
    ) as process:
        assert process.stderr
        seen = ""
        for line in process.stderr:
            seen += line
            if "/console/open?token=" in line:
                break
        url = re.search(r"(?:listening on|服务地址) (\S+)", seen)
        key = re.search(r"(?:shown this once: |只显示这一次：)(\S+)", seen)
        assert url, seen
        assert key, seen
        with httpx.Client(base_url=url[1], headers={"authorization": f"Bearer {key[1]}"}, timeout=30) as web:
            assert {one["id"] for one in web.get("/v1/apps").json()["data"]} == set(ORDER)
            assert web.post("/v1/apps/recommend/pick", json={"user": "u01", "count": 3}).json()["picks"]
            assert web.post("/v1/apps/support/ask", json={"question": "?"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 0, seen
