"""Asking over real HTTP: nothing asked twice, nothing counted twice, whatever a server answers and whenever the process dies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from assistants import Assistants, assistants

from noria.core.errors import FolderError, InputError, ResourceError, SettingError
from noria.core.progress import Report
from noria.grow.answers.asking import IN_A_ROW, Asked, ask_all
from noria.grow.answers.endpoint import Assistant, Endpoint, assistant_of, declined
from noria.grow.answers.panel import ANSWERS, Panel
from noria.grow.answers.settings import AskSettings
from noria.grow.answers.tables import Question
from noria.text.mentions import Brand

BRANDS = [Brand("智谱", ("智谱", "GLM")), Brand("DeepSeek", ("DeepSeek",))]
QUESTIONS = [Question(str(n), f"{'哪个好' if n % 2 else 'Which'} {n}?", "zh" if n % 2 else "en") for n in range(6)]
DAY = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Clock:
    """Waits of no time, kept."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


def ask(
    folder: Path, *given: Assistants | Assistant, clock: Clock | None = None, day: datetime = DAY, **settings: Any
) -> Asked:
    clock = clock or Clock()
    whom = [one if isinstance(one, Assistant) else Assistant("bot", one.url, "bot") for one in given]
    questions = settings.pop("questions", QUESTIONS)
    return ask_all(
        Panel(folder),
        questions,
        BRANDS,
        whom,
        AskSettings.make(**{"draws": 2, **settings}),
        endpoint=lambda one, asked: Endpoint(one, asked, sleep=clock.sleep, spread=lambda: 0.0),
        now=lambda: day,
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ANSWERS).read_text(encoding="utf-8").splitlines()]


def test_every_call_is_made_once_and_kept_with_what_it_was(tmp_path: Path) -> None:
    with assistants(lambda question, before, body: f"智谱 {question}") as server:
        found = ask(tmp_path / "a", server, temperature=0.5, seed=7, max_tokens=50)
        assert (found.made["answered"], found.left, found.before) == (12, 0, 0)
        assert found.text()["zh"] == "2026-11-30 轮：回答 12，拒答 0，空答 0，失败 0；剩余 0"
        again = ask(tmp_path / "a", server, temperature=0.5, seed=7, max_tokens=50, wave="2026-11-30")
        assert (sum(again.made.values()), again.before) == (0, 12)
    assert set(server.calls.values()) == {2}
    assert {(body["temperature"], body["max_tokens"], body["stream"]) for body in server.bodies} == {(0.5, 50, False)}
    assert sorted(body["seed"] for body in server.bodies) == [7] * 6 + [8] * 6
    kept = lines(tmp_path / "a")
    assert len({(one["question"], one["draw"]) for one in kept}) == 12
    # Several are asked at once: whichever answers first is kept first.
    first = next(one for one in kept if one["question"] == "0")
    assert first["text"] == "智谱 Which 0?"
    assert (first["finish"], first["model"], first["tokens"], first["tries"]) == ("stop", "bot", 9, 1)
    assert first["time"] == "2026-11-30T12:00:00.000+00:00"


def test_what_is_not_said_is_not_sent(tmp_path: Path) -> None:
    with assistants(lambda question, before, body: "x") as server:
        ask(tmp_path / "a", server)
    assert {tuple(sorted(body)) for body in server.bodies} == {("max_tokens", "messages", "model", "stream")}


def test_a_limit_asks_all_questions_before_any_twice_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with assistants(lambda question, before, body: "x") as server:
        first = ask(tmp_path / "a", server, limit=6)
        assert first.left == 6
        assert set(server.calls.values()) == {1}
        assert ask(tmp_path / "a", server, day=DAY.replace(month=12)).wave.time == "2026-11-30"
        assert set(server.calls.values()) == {2}
        later = ask(tmp_path / "a", server, day=DAY.replace(month=12))
    assert (later.wave.time, later.made["answered"]) == ("2026-12-30", 12)
    assert list(Panel(tmp_path / "a").waves) == ["2026-11-30", "2026-12-30"]


def test_a_kill_within_a_line_asks_that_call_again_and_counts_it_once(tmp_path: Path) -> None:
    with assistants(lambda question, before, body: "x") as server:
        ask(tmp_path / "a", server)
        file = tmp_path / "a" / ANSWERS
        image = file.read_bytes()
        file.write_bytes(image[:-20])
        found = ask(tmp_path / "a", server, wave="2026-11-30")
        assert (found.made["answered"], found.before) == (1, 11)
        file.write_bytes(file.read_bytes() + image)  # a copy of everything: of each call the first answer counts
        assert ask(tmp_path / "a", server, wave="2026-11-30").made == {}
    assert len(Panel(tmp_path / "a").answers()["2026-11-30"]) == 12


def test_a_process_that_dies_between_calls_loses_none(tmp_path: Path) -> None:
    def dying(question: str, before: int, body: Any) -> str:
        if sum(server.calls.values()) == 8:
            raise_in.append(question)
        return "x"

    class Dies(Endpoint):
        async def ask(self, question: str, draw: int) -> Any:
            if raise_in:
                raise RuntimeError("dies")
            return await super().ask(question, draw)

    raise_in: list[str] = []
    with assistants(dying) as server:
        whom = [Assistant("bot", server.url, "bot")]
        with pytest.raises(ExceptionGroup) as caught:
            ask_all(Panel(tmp_path / "a"), QUESTIONS, BRANDS, whom, AskSettings(draws=2, concurrency=1), endpoint=Dies)
        assert caught.group_contains(RuntimeError, match="dies")
        assert len(lines(tmp_path / "a")) == 8
        raise_in.clear()
        found = ask_all(Panel(tmp_path / "a"), QUESTIONS, BRANDS, whom, AskSettings(draws=2, concurrency=1))
    assert (found.before, found.made["answered"]) == (8, 4)
    assert set(server.calls.values()) == {2}


def test_a_busy_server_is_waited_for_longer_and_longer_or_as_it_asks(tmp_path: Path) -> None:
    def busy(question: str, before: int, body: Any) -> Any:
        if before < 3:
            headers = {"retry-after": "7"} if before == 2 else {}
            return (429 if before else 503, {"error": {"message": "slow down"}}, headers)
        return "x"

    clock = Clock()
    with assistants(busy) as server:
        found = ask(tmp_path / "a", server, clock=clock, questions=QUESTIONS[:1], draws=1)
    assert found.made["answered"] == 1
    assert clock.waits == [1.0, 2.0, 7.0]
    assert lines(tmp_path / "a")[0]["tries"] == 4


def test_calls_that_fail_for_good_are_kept_apart_and_asked_again(tmp_path: Path) -> None:
    broken = {"Which 2?": (500, {"error": {"message": "oops"}}), "Which 4?": (200, {"no": "choices"})}
    with assistants(lambda question, before, body: broken.get(question, "x")) as server:
        found = ask(tmp_path / "a", server, tries=2, draws=1)
        assert (found.made["answered"], found.made["failed"], found.left) == (4, 2, 2)
        problems = {one["question"]: one["problem"] for one in lines(tmp_path / "a") if one["status"] == "failed"}
        assert problems == {"2": "HTTP 500: oops", "4": 'the reply is no chat completion: \'{"no": "choices"}\''}
        assert found.failures["bot"] in problems.values()
        assert server.calls["Which 2?"] == 2
        assert server.calls["Which 4?"] == 1  # what is no chat completion will be none the next time
        broken.clear()
        assert ask(tmp_path / "a", server, draws=1).made == {"answered": 2}
    answers = Panel(tmp_path / "a").answers()["2026-11-30"]
    assert {one["status"] for one in answers.values()} == {"answered"}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("  ", "empty"),
        ({"message": {"role": "assistant", "content": None}}, "empty"),
        ({"message": {"role": "assistant", "content": [{"type": "text", "text": "GLM"}]}}, "answered"),
        ({"message": {"role": "assistant", "content": None, "refusal": "No."}}, "refused"),
        ({"message": {"role": "assistant", "content": "x"}, "finish_reason": "content_filter"}, "refused"),
        ((400, {"error": {"code": "data_inspection_failed", "message": "inappropriate"}}), "refused"),
        ((400, {"error": {"message": "输入内容违规"}}), "refused"),
        ((400, {"error": "bad"}), "failed"),
    ],
)
def test_refusals_and_empty_answers_are_told_apart(tmp_path: Path, told: Any, status: str) -> None:
    with assistants(lambda question, before, body: told if question == "Which 0?" else "x") as server:
        ask(tmp_path / "a", server, draws=1, questions=QUESTIONS[:2])
    (record,) = (one for one in lines(tmp_path / "a") if one["question"] == "0")
    assert record["status"] == status


@pytest.mark.parametrize(
    "text",
    [
        "抱歉，我无法回答这个问题。",
        "对不起，我不能推荐产品",
        "很抱歉，作为一个人工智能语言模型，我无法给出推荐。",
        "I'm sorry, but I can't help with that.",
        "I cannot recommend products.",
        "As an AI language model, I don't have personal preferences.",
        "换个话题聊聊吧",
    ],
)
def test_an_answer_that_declines(text: str) -> None:
    assert declined(text)


@pytest.mark.parametrize(
    "text",
    ["我推荐智谱，无法替您决定。", "You can use GLM; I can't name more.", "抱歉让您久等，我推荐这三家：甲、乙、丙。"],
)
def test_an_answer_that_does_not(text: str) -> None:
    assert not declined(text)


def test_the_key_goes_to_its_server_alone_and_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_API_KEY", "sk-secret-9")
    monkeypatch.setenv("OTHER_KEY", "sk-wrong-7")
    with assistants(lambda question, before, body: "x", key="sk-secret-9") as server:
        bot = assistant_of(f"bot={server.url},model=bot")
        assert bot.key_variable == "BOT_API_KEY"
        assert ask(tmp_path / "a", bot).made["answered"] == 12
        other = assistant_of(f"other={server.url},model=bot,key=OTHER_KEY")
        with pytest.raises(InputError) as refused:
            ask(tmp_path / "b", other)
        found = ask(tmp_path / "a", bot, other, wave="2026-11-30", draws=3)
        nobody = assistant_of(f"x={server.url}/chat/completions,model=bot", {})
        assert nobody == Assistant("x", server.url, "bot")
    assert "wrong key Bearer ***" in str(refused.value)
    assert found.stopped["other"].startswith("HTTP 401: invalid_request_error wrong key Bearer ***")
    assert len(server.bodies) == 18
    text = "".join(file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.is_file())
    assert "secret" not in text
    assert "wrong-7" not in text + str(refused.value) + repr(found)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("http://127.0.0.1/v1", "given by its name and address"),
        ("bot=", "given by its name and address"),
        ("bot=ftp://x/v1", "given by its name and address"),
        ("bot=https://user:pass@x/v1", "given by its name and address"),
        ("bot=https://x/v1,modle=y", "given by its name and address"),
        ("bot=https://x/v1,key=NO_SUCH", "the key of bot is not set: found 'NO_SUCH'"),
    ],
)
def test_an_assistant_that_is_none(given: str, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        assistant_of(given, {})


def test_the_only_model_is_found_and_of_several_one_must_be_named(tmp_path: Path) -> None:
    with assistants(lambda question, before, body: "x", models=("only",)) as server:
        ask(tmp_path / "a", Assistant("bot", server.url))
        assert {body["model"] for body in server.bodies} == {"only"}
    with (
        assistants(lambda question, before, body: "x", models=("a", "b")) as server,
        pytest.raises(SettingError, match=r"which model of bot.*allowed a, b; name it: bot=URL,model=MODEL"),
    ):
        ask(tmp_path / "b", Assistant("bot", server.url))


def test_a_server_that_is_not_there_is_asked_few_times(tmp_path: Path) -> None:
    clock = Clock()
    with assistants(lambda question, before, body: "x") as gone:
        pass
    with pytest.raises(InputError, match=f"no call was answered, first bot: found '{IN_A_ROW} calls in a row failed"):
        ask(tmp_path / "a", gone, clock=clock, tries=2, concurrency=1)
    assert len(lines(tmp_path / "a")) == IN_A_ROW


def test_no_more_calls_at_once_than_asked_for(tmp_path: Path) -> None:
    import time

    def slow(question: str, before: int, body: Any) -> str:
        time.sleep(0.01)
        return "x"

    with assistants(slow) as server:
        ask(tmp_path / "a", server, concurrency=3)
    assert 2 <= server.most_at_once <= 3


def test_a_wave_grows_and_never_changes(tmp_path: Path) -> None:
    with assistants(lambda question, before, body: "x") as server:
        ask(tmp_path / "a", server, draws=1, questions=QUESTIONS[:2], wave="2026-11")
        more = ask(tmp_path / "a", server, draws=3, wave="2026-11")
        assert (more.before, more.made["answered"]) == (2, 16)
        changes: list[tuple[str, Callable[[], object]]] = [
            (
                "question 0 is not what",
                lambda: ask(tmp_path / "a", server, questions=[Question("0", "Else?", "en")], wave="2026-11"),
            ),
            ("temperature is not what", lambda: ask(tmp_path / "a", server, temperature=1.0, wave="2026-11")),
            ("bot is not what", lambda: ask(tmp_path / "a", Assistant("bot", server.url, "other"), wave="2026-11")),
            ("dates of waves are of one form", lambda: ask(tmp_path / "a", server, wave="2026-12-01")),
            ("no date of a wave", lambda: ask(tmp_path / "b", server, wave="2026-13-01")),
            ("no date of a wave", lambda: ask(tmp_path / "b", server, wave="Nov")),
            ("no date of a wave", lambda: ask(tmp_path / "b", server, wave="2026-W05-1")),
            ("two assistants have one name", lambda: ask(tmp_path / "a", server, server)),
            ("nobody to ask", lambda: ask(tmp_path / "a")),
        ]
        for problem, call in changes:
            with pytest.raises(SettingError, match=problem):
                call()
        assert ask(tmp_path / "a", server, day=DAY.replace(year=2027)).wave.time == "2027-11"


def test_a_folder_of_something_else_and_one_that_is_being_asked_into(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "photo.jpg").write_bytes(b"x")
    with pytest.raises(FolderError, match="holds something else"):
        Panel(tmp_path / "a")
    with (
        assistants(lambda question, before, body: "x") as server,
        Panel(tmp_path / "b").held(),
        pytest.raises(ResourceError, match="another process"),
    ):
        ask(tmp_path / "b", server)
    (tmp_path / "b" / "panel.json").write_text("{", encoding="utf-8")
    with pytest.raises(FolderError, match=r"panel\.json"):
        Panel(tmp_path / "b")


def test_the_plan_says_calls_and_tokens_before_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with assistants(lambda question, before, body: "x") as server:
        whom = [Assistant("bot", server.url, "bot")]
        settings = AskSettings(draws=2, limit=5, max_tokens=40)
        ask_all(Panel(tmp_path / "a"), QUESTIONS, BRANDS, whom, settings, Report("quiet"))
    told = capsys.readouterr().err
    assert re.search(
        r"6 questions x 2 draws x 1 assistants = 12 calls; 0 answered already, 5 to make now, at most 200 tokens", told
    )
