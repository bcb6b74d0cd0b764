"""The rules of the house: imports run downward, types hold, files stay small enough to read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow import COLLECTED, slow_seconds

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_run_downward():
    run(str(BIN / "lint-imports"), "--no-cache")


def test_ruff_finds_nothing():
    run(str(BIN / "ruff"), "check", "--no-cache", ".")


def test_ruff_would_format_nothing():
    run(str(BIN / "ruff"), "format", "--no-cache", "--check", ".")


def test_types_hold():
    run(str(BIN / "mypy"))


def test_the_formatter_passes_nothing_by():
    mark = "fmt" + ":"  # not written out, or this line would be one
    places = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for folder in ("noria", "tests", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if f"# {mark} " in line
    ]
    assert not places


@pytest.mark.parametrize(
    "module", ["noria", "noria.cli.main", "noria.tasks.task", "noria.server.http.app", "noria.grow.log.lake"]
)
def test_torch_stays_out(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules, 'torch was imported'"
    run(sys.executable, "-c", code)


def test_every_test_file_is_collected(request: pytest.FixtureRequest):
    """What no gate runs, no gate keeps: a folder that pytest passes by would hide all that it holds."""
    written = {str(path.relative_to(REPOSITORY)) for path in (REPOSITORY / "tests").rglob("test_*.py")}
    # This run's own collection, where it was asked for all.
    assert request.config.stash[COLLECTED] == written or collected_anew() == written


def collected_anew() -> set[str]:
    """Return the files of which pytest collects a test when it is asked for all."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    return {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}


def test_every_test_that_is_called_slow_is_there():
    texts = {
        file: (REPOSITORY / file).read_text(encoding="utf-8")
        for file in {name.partition("::")[0] for name in slow_seconds()}
    }
    gone = [name for name in slow_seconds() if f"def {name.rpartition('::')[2]}(" not in texts[name.partition("::")[0]]]
    assert not gone, "take them out of tests/slow.txt"


def test_files_are_short_enough_to_read():
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for path in (REPOSITORY / "noria").rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert not long, f"a file over 400 lines asks to be cut along an idea: {long}"


def test_the_lock_names_every_dependency_and_no_cuda():
    import re
    import tomllib

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in ("demo", "test", "bench") for name in project["optional-dependencies"][extra]),
    ]
    locked = set(re.findall(r"^([A-Za-z0-9_.-]+)==", (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE))
    normal = {name.lower().replace("_", "-") for name in locked}
    for line in wanted:
        name = re.match(r"[A-Za-z0-9_.-]+", line).group().lower()
        assert name in normal, f"{name} is not in requirements.lock: make lock"
    assert not {name for name in normal if name.startswith(("nvidia", "triton", "cuda"))}
    assert "torch==2.13.0\n" in (REPOSITORY / "requirements.lock").read_text()
