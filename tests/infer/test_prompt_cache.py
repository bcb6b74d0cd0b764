"""What is kept of texts that ended saves reading, changes no answer, is no other LoRA's, and stays within its bound."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_models import make_causal

from noria.infer import prompt_cache
from noria.infer.choose import open_engine
from noria.infer.engine import ENGINES
from noria.infer.kv_cache import SlotCache
from noria.infer.prompt_cache import PromptCache
from noria.infer.scheduler import BatchScheduler
from noria.infer.torch import TorchEngine
from noria.make.compress.gguf import write_gguf
from noria.tasks.complete import Sampling

GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="module")
def engine(quiet: None, tmp_path_factory: pytest.TempPathFactory) -> TorchEngine:
    opened = open_engine(make_causal(tmp_path_factory.mktemp("kept") / "writer"), threads=1, prefer="torch")
    assert isinstance(opened, TorchEngine)
    return opened


class Counted(SlotCache):
    """Counts the tokens of prompts that are read."""

    tokens_read = 0

    def read(self, row: int, ids: Any) -> Any:
        self.tokens_read += len(ids)
        return super().read(row, ids)


def write(scheduler: Any, prompts: list[list[int]], tokens: int = 6) -> list[list[int]]:
    """What follows some prompts, together."""
    found: list[list[int]] = [[] for _ in prompts]
    for number, ids in enumerate(prompts):
        scheduler.begin(number, ids, GREEDY, max_tokens=tokens)
    while scheduler.busy:
        for key, drawn in scheduler.step():
            assert not isinstance(drawn, Exception), drawn
            found[key] += [drawn.token] if drawn else []
    return found


def talks(count: int, turns: int, write_turn: Any) -> list[list[int]]:
    """Several conversations in turns, all with one beginning; each turn has what was written before it, and some new tokens."""
    chance = random.Random(3)
    beginning = [chance.randrange(3, 90) for _ in range(24)]
    texts = [[*beginning, *(chance.randrange(3, 90) for _ in range(6 + talk))] for talk in range(count)]
    for _ in range(turns):
        for text, told in zip(texts, write_turn(texts), strict=True):
            text += [*told, *(chance.randrange(3, 90) for _ in range(5))]
    return texts


@pytest.mark.parametrize("together", [True, False])
def test_conversations_cost_what_is_new_and_answer_alike(engine: TorchEngine, together: bool):
    cache = Counted(engine.model, engine.max_length)
    kept = BatchScheduler(cache, frozenset())
    fresh = [0]

    def with_it(texts: list[list[int]]) -> list[list[int]]:
        return write(kept, texts) if together else [write(kept, [text])[0] for text in texts]

    def without(texts: list[list[int]]) -> list[list[int]]:
        fresh[0] += sum(map(len, texts))
        return [write(BatchScheduler(SlotCache(engine.model, 256), frozenset()), [text])[0] for text in texts]

    assert talks(3, 4, with_it) == talks(3, 4, without)
    # Of a turn what was asked, and the token that was drawn last.
    assert cache.tokens_read <= 3 * 24 + 6 + 7 + 8 + 3 * 3 * (5 + 1)
    assert cache.tokens_read < fresh[0] / 3


def test_another_lora_finds_nothing(engine: TorchEngine):
    kept = PromptCache(SlotCache(engine.model, 256))
    ids = list(range(3, 43))
    row, _ = kept.open(ids, "a")
    kept._cache.read(row, ids)
    kept.end(row, ids, "a")
    assert kept.open(ids, "b")[1] == 0
    assert kept.open(ids, "a") == (row, len(ids) - 1)


def test_it_stays_within_its_bound(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prompt_cache, "MOST_TOKENS", 200)
    cache = SlotCache(engine.model, 256)
    scheduler = BatchScheduler(cache, frozenset())
    chance = random.Random(0)
    for _ in range(12):
        write(scheduler, [[chance.randrange(3, 90) for _ in range(40)]])
        assert len(cache._rows) * 45 <= 200
    write(scheduler, [[chance.randrange(3, 90) for _ in range(150)]])
    assert len(cache._rows) <= 1
    monkeypatch.setattr(prompt_cache, "MOST_TOKENS", 10_000)
    monkeypatch.setattr(prompt_cache, "MOST_TEXTS", 3)
    for _ in range(6):
        write(scheduler, [[chance.randrange(3, 90) for _ in range(40)]])
    assert len(cache._rows) == 3


def test_a_text_that_failed_is_not_kept(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch):
    cache = SlotCache(engine.model, 256)
    scheduler = BatchScheduler(cache, frozenset())
    ids = list(range(3, 43))
    with monkeypatch.context() as patched:
        patched.setattr(cache, "read", lambda row, ids: 1 / 0)
        scheduler.begin("a", ids, GREEDY, max_tokens=3)
        ((_, error),) = scheduler.step()
    assert isinstance(error, ZeroDivisionError)
    assert cache._rows == []
    assert write(scheduler, [ids]) == write(BatchScheduler(SlotCache(engine.model, 256), frozenset()), [ids])


def test_openvino_answers_alike_with_what_it_keeps(engine: TorchEngine, tmp_path: Path):
    folder = tmp_path / "writer"
    shutil.copytree(engine.folder, folder)
    write_gguf(folder, folder / ENGINES["genai"], "float16")
    kept = open_engine(folder, threads=1, prefer="genai")
    texts = talks(3, 4, lambda given: write(kept.scheduler(), given))
    kept.close()
    fresh = open_engine(folder, threads=1, prefer="genai")  # it was told no earlier turn
    try:
        told = write(fresh.scheduler(), [text[: -6 - 5] for text in texts])
    finally:
        fresh.close()
    assert told == [text[-6 - 5 : -5] for text in texts]
