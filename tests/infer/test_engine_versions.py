"""A model is swapped, tried and taken back while requests come in, and none of them is dropped."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, aclosing
from pathlib import Path

import pytest
from tiny_models import LABELS, TEXTS, make_encoder

from noria.core.errors import FolderError, SettingError
from noria.core.folder import read_manifest
from noria.infer.history import Change, History, read_changes
from noria.infer.remote import write_remote
from noria.infer.versions import Versions, alike
from noria.infer.worker import Piece
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings
from noria.tasks.complete import Sampling


def run(work: Coroutine[object, object, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 180))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The classifier with other weights."""
    return make_encoder(tmp_path_factory.mktemp("other") / "sentiment", "classify", LABELS, 2, compiled=False, seed=1)


def name_of(folder: Path) -> str:
    return read_manifest(folder).identity()[:12]


def versions(folder: Path, file: Path | None = None) -> Versions:
    return Versions(folder, History(file), random.Random(4), {"threads": 1, "queue": 10_000})


class Traffic:
    """Requests that never stop while the block runs; who answered them."""

    def __init__(self, model: Versions) -> None:
        self.model, self.answered, self.failed = model, Counter[str](), 0

    async def __aenter__(self) -> Traffic:
        self._tasks = [asyncio.create_task(self._ask(number)) for number in range(4)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, number: int) -> None:
        while True:
            try:
                self.answered[(await self.model.ask([TEXTS[number]])).version] += 1
            except asyncio.CancelledError:
                raise
            except Exception:
                self.failed += 1

    async def some(self, version: str, count: int = 20) -> None:
        """Wait until a version has answered some more."""
        target = self.answered[version] + count
        while self.answered[version] < target:
            await asyncio.sleep(0.01)


def test_a_swap_and_the_way_back_drop_nothing(plain_classifier: Path, other: Path, tmp_path: Path):
    first, second = name_of(plain_classifier), name_of(other)
    file = tmp_path / "history" / "sentiment.jsonl"

    async def work() -> None:
        model = versions(plain_classifier, file)
        await model.start()
        async with Traffic(model) as traffic:
            await traffic.some(first)
            assert await model.swap(other) == second
            await traffic.some(second)
            before = traffic.answered[first]
            assert await model.roll_back(why="worse") == first
            await traffic.some(first)
            assert traffic.answered[first] > before
            assert traffic.failed == 0
        assert model.version == first
        await model.stop()

    run(work())
    changes = read_changes(file)
    assert [(one.what, one.version) for one in changes] == [
        ("live", first),
        ("live", second),
        ("live", first),
        ("stopped", first),
    ]
    assert changes[2].why == "worse"


def test_a_canary_gets_its_share_and_is_promoted(plain_classifier: Path, other: Path):
    first, second = name_of(plain_classifier), name_of(other)

    async def work() -> None:
        model = versions(plain_classifier)
        await model.start()
        await model.canary(other, share=0.25)
        found = Counter([(await model.ask([TEXTS[0]])).version for _ in range(400)])
        # Binomial(400, 1/4): seven standard deviations each way.
        assert 40 < found[second] < 160
        assert found[first] + found[second] == 400
        by_user = [{(await model.ask([TEXTS[0]], key=f"user {n}")).version for _ in range(5)} for n in range(40)]
        assert all(len(one) == 1 for one in by_user), "a user meets one version"
        assert {next(iter(one)) for one in by_user} == {first, second}
        assert model.health()["trial"]["requests"] > 100
        with pytest.raises(SettingError, match="on trial already"):
            await model.swap(other)
        assert await model.promote() == second
        assert {(await model.ask([TEXTS[0]])).version for _ in range(20)} == {second}
        assert [one.what for one in model.history.changes()] == ["live", "canary", "live"]
        with pytest.raises(SettingError, match="no version is on trial"):
            await model.promote()
        await model.stop()

    run(work())


def test_a_canary_that_dies_costs_no_request_and_ends_its_own_trial(plain_classifier: Path, other: Path):
    first = name_of(plain_classifier)

    async def work() -> None:
        model = versions(plain_classifier)
        await model.start()
        await model.canary(other, share=1.0)
        trial = model._trial
        assert trial
        async with Traffic(model) as traffic:
            await traffic.some(name_of(other))
            while model._trial:
                if trial.worker.process_id:
                    os.kill(trial.worker.process_id, signal.SIGKILL)
                await asyncio.sleep(0.05)
            await traffic.some(first)
            assert traffic.failed == 0
        last = model.history.changes()[-1]
        assert (last.what, last.version) == ("ended", name_of(other))
        assert "failed in a row" in last.why
        await model.stop()

    run(work())


def test_a_shadow_is_compared_and_never_heard(plain_classifier: Path, other: Path):
    first = name_of(plain_classifier)

    async def work() -> None:
        model = versions(plain_classifier)
        await model.start()
        await model.shadow(other)
        for _ in range(30):
            assert (await model.ask(TEXTS)).version == first
            await asyncio.sleep(0.01)
        while (told := model.health()["trial"]).get("compared", 0) < 5 * len(TEXTS):
            await asyncio.sleep(0.01)
        assert 0 <= told["same"] <= told["compared"]
        assert told["times_as_long"] > 0
        await model.roll_back()
        assert "trial" not in model.health()
        # Beside itself everything is the same.
        await model.shadow(plain_classifier)
        await model.ask(TEXTS)
        while (told := model.health()["trial"]).get("compared", 0) < len(TEXTS):
            await asyncio.sleep(0.01)
        assert told["same"] == told["compared"]
        await model.stop()

    run(work())


def test_a_stream_that_has_begun_ends_on_its_version(writer: Path, tmp_path: Path):
    again = tmp_path / "writer"
    shutil.copytree(writer, again)

    async def work() -> None:
        model = versions(writer)
        await model.start()
        async with aclosing(model.complete("今天", Sampling(max_tokens=150))) as pieces:
            first = await anext(pieces)
            await model.swap(again)
            rest = [piece async for piece in pieces]
        assert rest[-1].finish == "length"
        assert rest[-1].tokens == 150
        assert {piece.version for piece in rest} == {first.version} == {name_of(writer)}
        await model.canary(writer, share=1.0)
        told = [piece async for piece in model.complete("今天", Sampling(max_tokens=5))]
        assert told[-1].finish == "length"
        await model.stop()

    run(work())


def test_a_remote_version_on_trial_that_goes_away_costs_no_request(writer: Path, tmp_path: Path):
    asked = Sampling(max_tokens=5)

    async def text_of(model: Versions) -> list[Piece]:
        return [piece async for piece in model.complete("今天", asked)]

    async def work(back: Running, leave: Callable[[], None]) -> None:
        model = versions(writer)
        await model.start()
        far = write_remote(tmp_path / "far", task="complete", url=f"{back.url}/v1", model="writer", key_variable="FAR")
        remote = await model.canary(far, share=1.0)
        assert {piece.version for piece in await text_of(model)} == {remote}
        await asyncio.to_thread(leave)
        for _ in range(3):
            told = await text_of(model)
            assert told[-1].finish == "length"
            assert {piece.version for piece in told} == {name_of(writer)}
        assert model.history.changes()[-1].what == "ended"
        await model.stop()

    server = serving(ServerSettings(port=0, lake=tmp_path / "lake", threads=1), [writer])
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        back = stack.enter_context(server)
        patch.setenv("FAR", back.key)
        run(work(back, stack.close))


def test_what_does_not_fit_leaves_the_live_version_alone(
    plain_classifier: Path, other: Path, tagger: Path, tmp_path: Path
):
    broken = tmp_path / "broken"
    shutil.copytree(other, broken)
    (broken / "config.json").write_text("{" + " " * ((broken / "config.json").stat().st_size - 1))
    replaced = tmp_path / "replaced"
    shutil.copytree(plain_classifier, replaced)

    async def work() -> None:
        model = versions(replaced)
        await model.start()
        with pytest.raises(SettingError, match="another task"):
            await model.swap(tagger)
        with pytest.raises(FolderError, match="no such folder"):
            await model.canary(tmp_path / "none", share=0.5)
        with pytest.raises(FolderError, match="does not load"):
            await model.swap(broken)
        with pytest.raises(SettingError, match="share"):
            await model.canary(other, share=0)
        with pytest.raises(SettingError, match="no version to roll back to"):
            await model.roll_back()
        assert (await model.ask(TEXTS)).version == name_of(plain_classifier)
        await model.swap(other)
        shutil.rmtree(replaced)
        shutil.copytree(other, replaced)
        with pytest.raises(FolderError, match="another version by now"):
            await model.roll_back()
        assert (await model.ask(TEXTS)).version == name_of(other)
        assert [one.what for one in model.history.changes()] == ["live", "live"]
        await model.stop()

    run(work())


def test_a_history_survives_a_line_cut_short(tmp_path: Path):
    file = tmp_path / "a.jsonl"
    times = iter(["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00", "2026-01-03T00:00:00+00:00"])
    history = History(file, clock=lambda: next(times))
    history.note("live", version="a", folder="x")
    with file.open("ab") as stream:
        stream.write(b'{"time": "2026-01-01T12:0')
    history.note("live", version="b", folder="y")
    assert [one.version for one in history.changes()] == ["a", "b"]
    file.write_text(json.dumps({"a": 1}) + "\n")
    with pytest.raises(FolderError, match="no history"):
        history.changes()
    assert Change("t", "live", "v", "f").share == 0


def test_answers_are_alike_where_they_say_the_same():
    assert alike({"label": "a", "score": 0.9}, {"label": "a", "score": 0.8})
    assert not alike({"label": "a"}, {"label": "b"})
    span = {"start": 0, "end": 2, "label": "place", "score": 0.5}
    assert alike({"spans": [span]}, {"spans": [{**span, "score": 0.7}]})
    assert not alike({"spans": [span]}, {"spans": []})
    assert alike({"embedding": [1.0, 0.0]}, {"embedding": [0.999, 0.04]})
    assert not alike({"embedding": [1.0, 0.0]}, {"embedding": [0.0, 1.0]})
    assert not alike({"text": "是"}, {"text": "否"})
