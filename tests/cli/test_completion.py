"""Shell completion: bash itself, told what `noria completion bash` writes, completes wings, commands and flags."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from noria.cli.main import main


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("bash"):
        pytest.skip("there is no bash here")
    file = tmp_path_factory.mktemp("completion") / "noria.bash"
    with pytest.MonkeyPatch.context() as patch:
        written: list[str] = []
        patch.setattr("builtins.print", lambda text: written.append(text))
        assert main(["completion", "bash"]) == 0
    file.write_text(written[0])
    return file


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["noria", "doc"], {"doctor"}),
        (["noria", "build", "fine"], {"finetune"}),
        (["noria", "grow", ""], {"report", "share", "users"}),
        (["noria", "ship", "serve", "--ho"], {"--host"}),
        (["noria", "completion", "f"], {"fish"}),
    ],
)
def test_bash_completes(script: Path, words: list[str], wanted: set[str]):
    told = " ".join(f'"{word}"' for word in words)
    line = " ".join(words)
    code = (
        f'source {script}; COMP_WORDS=({told}); COMP_CWORD={len(words) - 1}; COMP_LINE="{line}"; COMP_POINT={len(line)}; '
        '_noria; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert wanted <= {one.strip() for one in done.stdout.splitlines()}


def test_every_shell_has_its_own(capsys: pytest.CaptureFixture[str]):
    written = {}
    for shell in ("bash", "zsh", "fish"):
        assert main(["completion", shell]) == 0
        written[shell] = capsys.readouterr().out
    assert "complete -F" in written["bash"]
    assert written["zsh"].startswith("#compdef noria")
    assert "complete -c noria" in written["fish"]
