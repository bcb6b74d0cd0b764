"""A model's process dies and only what it held fails; its queue is bounded; nobody waits for the dead or for the gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine
from contextlib import aclosing

import pytest
from tiny_models import TEXTS

from noria.core.errors import FolderError, InputError
from noria.infer.replies import Busy, Unavailable
from noria.infer.worker import Worker
from noria.tasks.complete import Sampling

pytestmark = pytest.mark.usefixtures("started_anew")


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 180))


async def until(condition, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_killed_process_costs_what_it_held_and_nothing_else(classifier):
    async def work() -> None:
        worker = Worker(classifier, threads=1, queue=1_000)
        await worker.start()
        expected = (await worker.ask([TEXTS[0]])).answers
        fates: dict[str, int] = {"answered": 0, "failed": 0}

        async def one(number: int) -> None:
            try:
                await worker.ask([TEXTS[number % len(TEXTS)]] * 4, timeout=30)
                fates["answered"] += 1
            except Unavailable:
                fates["failed"] += 1

        asked = [asyncio.create_task(one(number)) for number in range(300)]
        for restarts in (1, 2):
            await asyncio.sleep(0.02)
            assert worker.process_id
            os.kill(worker.process_id, signal.SIGKILL)
            await until(lambda target=restarts: worker.restarts >= target and worker.status == "ready")
        await asyncio.gather(*asked)
        # 64 texts are held at most: 16 requests of four, for each death.
        assert fates["failed"] <= 32
        assert fates["answered"] == 300 - fates["failed"]
        assert (await worker.ask([TEXTS[0]])).answers == expected
        assert worker.depth == 0
        await worker.stop()

    run(work())


def test_a_full_queue_says_come_back(classifier):
    async def work() -> None:
        worker = Worker(classifier, threads=1, queue=5)
        await worker.start()
        asked = [asyncio.create_task(worker.ask([TEXTS[0]] * 64)) for _ in range(8)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(one) for one in results].count(Busy) == 3
        assert (await worker.ask(TEXTS)).tokens
        await worker.stop()

    run(work())


def test_who_gives_up_leaves_no_trace(classifier):
    async def work() -> None:
        worker = Worker(classifier, threads=1)
        await worker.start()
        with pytest.raises(Unavailable, match="too long"):
            await worker.ask(TEXTS * 20, timeout=0.000_01)
        task = asyncio.create_task(worker.ask(TEXTS * 20))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert worker.depth == 0
        assert len((await worker.ask(TEXTS)).answers) == len(TEXTS)
        assert (await worker.ask([])).answers == []
        await worker.stop()
        with pytest.raises(Unavailable, match="stopping"):
            await worker.ask(TEXTS)

    run(work())


def test_a_model_that_does_not_load_is_told(classifier, tmp_path):
    import shutil

    folder = tmp_path / "broken"
    shutil.copytree(classifier, folder)
    xml = folder / "engine" / "model.xml"
    xml.write_bytes(b"<" * xml.stat().st_size)

    async def work() -> None:
        worker = Worker(folder, threads=1)
        with pytest.raises(FolderError, match=r"does not load.*model\.xml"):
            await worker.start()

    run(work())


def test_completions_share_the_process_stop_when_left_and_end_when_it_dies(writer):
    sampling = Sampling(temperature=1.0, max_tokens=60, seed=7)

    async def whole(worker: Worker, seed: int) -> str:
        text, last = "", None
        async for last in worker.complete("今天", Sampling(temperature=1.0, max_tokens=30, seed=seed)):
            text += last.text
        assert last
        assert last.finish in ("stop", "length")
        assert last.tokens <= 30
        return text

    async def work() -> None:
        worker = Worker(writer, threads=1)
        await worker.start()
        alone = [await whole(worker, seed) for seed in range(12)]
        together = await asyncio.gather(*(whole(worker, seed) for seed in range(12)))
        assert [await whole(worker, seed) for seed in range(3)] == alone[:3], "a seed repeats"
        # Products of several rows are rounded otherwise than those of one, so texts may part; they begin alike.
        assert sum(one[:1] == other[:1] for one, other in zip(together, alone, strict=True)) >= 8
        assert len(set(alone)) == 12
        async with aclosing(worker.complete("今天", sampling)) as pieces:
            await anext(pieces)
        assert worker.depth == 0
        with pytest.raises(InputError, match="too long"):
            await anext(worker.complete("字" * 400, sampling))
        text = "".join([piece.text async for piece in worker.complete("今天", sampling)])
        assert len(text) > 10
        stop = text[8:10]
        cut = [piece async for piece in worker.complete("今天", sampling, [stop])]
        assert "".join(piece.text for piece in cut) == text[: text.index(stop)]
        assert cut[-1].finish == "stop"
        pieces = worker.complete("", sampling)
        await anext(pieces)
        os.kill(worker.process_id or 0, signal.SIGKILL)
        with pytest.raises(Unavailable, match="ended"):
            [piece async for piece in pieces]
        await worker.stop()

    run(work())


def test_an_idle_process_that_hangs_is_replaced(classifier):
    async def work() -> None:
        worker = Worker(classifier, threads=1, pulse=0.25)
        answered, take = [], worker.on_message

        def hear(message):
            answered.append("pong" in message)
            take(message)

        worker.on_message = hear
        await worker.start()
        await until(lambda: sum(answered) == 3)
        assert worker.restarts == 0, "one that is well answers when asked"
        os.kill(worker.process_id or 0, signal.SIGSTOP)
        await until(lambda: worker.restarts == 1 and worker.status == "ready")
        assert (await worker.ask(TEXTS)).tokens
        await worker.stop()

    run(work())


def test_what_is_due_first_is_computed_first(classifier):
    async def work() -> None:
        worker = Worker(classifier, threads=1, batch_tokens=32)
        await worker.start()
        order: list[str] = []

        async def one(name: str, seconds: float) -> None:
            await worker.ask(TEXTS, timeout=seconds)
            order.append(name)

        patient = [asyncio.create_task(one("patient", 50)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.gather(one("hasty", 20), *patient)
        assert order.index("hasty") < 2, "the first batch may be on its way already"
        await worker.stop()

    run(work())


def test_a_completion_tells_its_log_probabilities(writer):
    async def work() -> None:
        worker = Worker(writer, threads=1)
        await worker.start()
        sampling = Sampling(temperature=1.0, max_tokens=40, seed=3, logprobs=3)
        pieces = [piece async for piece in worker.complete("大模型", sampling)]
        told = [one for piece in pieces for one in piece.logprobs]
        assert len(told) == pieces[-1].tokens == 40
        text = b"".join(bytes(one["bytes"]) for one in told).decode("utf-8", "ignore")
        said = "".join(piece.text for piece in pieces).replace("\ufffd", "")
        assert text.startswith(said[:10]), "but for bytes that are no character"
        for one in told:
            assert one["logprob"] <= one["top"][0]["logprob"] <= 0
            assert len(one["top"]) == 3
        greedy = [piece async for piece in worker.complete("大模型", Sampling(temperature=0, max_tokens=4, logprobs=1))]
        for one in (one for piece in greedy for one in piece.logprobs):
            assert one["bytes"] == one["top"][0]["bytes"]
        stop = "".join(piece.text for piece in pieces)[3:5]
        cut = [piece async for piece in worker.complete("大模型", sampling, [stop])]
        said = "".join(piece.text for piece in cut)
        kept = sum(len(one["bytes"]) for piece in cut for one in piece.logprobs)
        assert len(said.encode()) <= kept < len(said.encode()) + 8, "tokens of the stop string are not told"
        plain = [piece async for piece in worker.complete("大模型", Sampling(max_tokens=3))]
        assert all(piece.logprobs == () for piece in plain)
        await worker.stop()

    run(work())


def test_a_model_is_asked_for_what_it_is_made_for(classifier, writer):
    async def work() -> None:
        worker = Worker(classifier, threads=1)
        await worker.start()
        with pytest.raises(InputError, match="completes no text"):
            await anext(worker.complete("今天", Sampling()))
        assert (await worker.ask([{"text": TEXTS[0]}, TEXTS[0]])).answers[0]["label"]
        assert worker.depth == 0
        await worker.stop()

    run(work())
