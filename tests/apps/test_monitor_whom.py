"""Whom and what: names of a list joined with a tagger's, aspects by words, examples and labels, and counts by what is said of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from noria.apps.monitor.aspects import Aspect, Aspects, by_labels, parts_of, read_aspects
from noria.apps.monitor.labelled import Looked, learn
from noria.apps.monitor.names import MOST_NAMED, KnownNames, Listed, read_names
from noria.apps.monitor.routes import Monitor
from noria.apps.monitor.stream import Stream
from noria.apps.monitor.surge import Alert, Mention, mention_dict, read_mention
from noria.apps.monitor.whom import Whom
from noria.apps.settings import WatchSettings
from noria.core.errors import InputError, SettingError, UserError
from noria.text.personal_data import mask
from tests.tiny_models import LABELS, make_encoder

if TYPE_CHECKING:
    from noria.server.http.run import Running

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ASPECTS = ("price", "service", "wait")
NAMES = KnownNames(
    [
        Listed(name="华为", aliases=("菊厂", "Huawei"), excluded=("成华为",)),
        Listed(name="Apple", aliases=("苹果公司",)),
        Listed(name="Apple Music", kind="product"),
        Listed(name="雷军", kind="person"),
    ]
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("菊厂发布会，ＨＵＡＷＥＩ和华为都来了", ["华为"]),
        ("Apple Music is not Apple", ["Apple Music", "Apple"]),
        ("an apple a day, pineapples", []),
        ("雷军说华为", ["雷军", "华为"]),
        ("改成华为难", []),
        ("HUAWEI's phones", ["华为"]),
        ("", []),
    ],
)
def test_names_of_a_list_are_found_under_one_name(text: str, names: list[str]) -> None:
    found = NAMES.named(text)
    assert [one.name for one in found] == names
    assert all(text[start:end] for one in found for start, end in one.places)


def span(text: str, words: str, label: str) -> dict[str, Any]:
    return {"start": text.index(words), "end": text.index(words) + len(words), "label": label, "text": words}


def test_the_list_stands_above_the_tagger_and_the_rest_is_the_taggers() -> None:
    text = "华为技术公司的雷军见了 Tim Cook，在 huawei"
    spans = [span(text, "华为技术公司", "ORG"), span(text, "雷军", "LOC"), span(text, "Tim Cook", "PER")]
    spans.append(span(text, "huawei", "LOC"))  # the list itself takes no capitalised word in small letters
    found = {one.name: one for one in NAMES.named(text, spans)}
    assert {name: one.kind for name, one in found.items()} == {
        "华为": "organisation",
        "雷军": "person",
        "Tim Cook": "person",
    }
    assert len(found["华为"].places) == 2
    many = " ".join(f"Name{n}" for n in range(200)) + " 华为"
    crowd = NAMES.named(many, [span(many, f"Name{n} "[:-1], "ORG") for n in range(200)])
    assert len(crowd) == MOST_NAMED
    assert crowd[0].name == "华为"


FILES = {
    "names.toml": '[[name]]\nname = "华为"\nkind = "机构"\naliases = ["菊厂", " Huawei "]\n[[name]]\nname = "Mate"\nkind = "product"\n',
    "names.csv": "名称,类型,别名\n华为,公司,菊厂|Huawei\nMate,产品,\n",
    "names.jsonl": '{"name": "华为", "aliases": ["菊厂", "Huawei"]}\n{"name": "Mate", "kind": "Product"}\n',
}


@pytest.mark.parametrize("file", FILES)
def test_every_form_of_a_list_gives_the_same_names(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text(FILES[file], encoding="utf-8")
    listed = read_names(tmp_path / file).listed
    assert {name: (one.kind, one.aliases) for name, one in listed.items()} == {
        "华为": ("organisation", ("菊厂", "Huawei")),
        "Mate": ("product", ()),
    }


@pytest.mark.parametrize(
    "text",
    [
        "[[name]]\nname = 'a'\n[[name]]\nname = 'a'\n",
        "[[name]]\nname = 'a'\naliases = ['x']\n[[name]]\nname = 'b'\naliases = ['Ｘ']\n",
        "[[name]]\nname = 'a'\nkind = 'planet'\n",
        "[[name]]\nname = ''\n",
        "[[name]]\nname = 'a'\nalias = 'x'\n",
        "name = 3\n",
        "",
    ],
)
def test_a_broken_list_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "names.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_names(tmp_path / "names.toml")
    assert "names.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aspects_by_words_examples_and_labels(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[price]\ntitle = {zh = "价格"}\nwords = ["太贵", "price"]\n[wait]\nexamples = ["排了一小时", "等位", "queue"]\n',
        encoding="utf-8",
    )
    aspects = read_aspects(tmp_path / "a.toml")
    assert aspects.by_words("这也太贵了") == aspects.by_words("The prices!") == ["price"]
    assert aspects.by_words("priceless 等位") == []
    (tmp_path / "a.json").write_text('{"price": {"words": ["", " "]}}')
    with pytest.raises(SettingError, match="words or examples"):
        read_aspects(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("[1]")
    with pytest.raises(InputError, match="holds no aspects"):
        read_aspects(tmp_path / "b.json")
    scores = {"price": 0.8, "price:negative": 0.3, "price:positive": 0.1, "wait": 0.7, "wait:negative": 0.6}
    assert by_labels({"labels": ["price", "wait", "wait:negative"], "scores": scores}) == {
        "price": {"label": "negative", "score": 0.75},
        "wait": {"label": "negative", "score": 1.0},
    }
    assert by_labels({"labels": ["a"], "scores": {"a": 0.9}}) == {"a": {}}
    by_words = by_labels(
        {"labels": [], "scores": scores}, ["price", "safety"]
    )  # what words find has the classifier's label
    assert by_words == {"price": {"label": "negative", "score": 0.75}, "safety": {}}
    doubted = by_labels(
        {"labels": ["price", "wait", "wait:negative"], "scores": {**scores, "wait": 0.6}}, (), {"price", "wait"}
    )
    assert set(doubted) == {"price"}  # of what no word names the classifier must be surer
    assert aspects.unnamed(["price"]) == set()
    assert aspects.unnamed([]) == {"price"}


def test_a_sentence_near_an_example_speaks_of_its_aspect() -> None:
    draw = np.random.default_rng(0)

    def near(axis: int, count: int) -> list[list[float]]:
        vectors = np.eye(8)[axis] + 0.1 * draw.normal(size=(count, 8))
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).tolist()

    aspects = Aspects.of({name: Aspect(examples=("a", "b", "c")) for name in ("price", "service")})
    aspects.learn([*near(0, 3), *near(1, 3)])
    assert aspects.by_examples(near(1, 1)) == ["service"]
    assert aspects.by_examples(near(5, 3)) == []
    assert aspects.by_examples([*near(0, 2), *near(1, 1)]) == ["price", "service"]


def texts_on_three_aspects(
    count: int, seed: int, *, heard: float, misheard: float
) -> tuple[list[Looked], list[dict[str, str]]]:
    """Return texts of four parts each, of which some speak of an aspect, well or badly; words stand in some of those and in some others."""
    draw = np.random.default_rng(seed)
    texts, truths = [], []
    for _ in range(count):
        truth: dict[str, str] = {}
        vectors, words = draw.normal(0, 0.25, (4, 16)), draw.random((4, 3)) < misheard / 4
        for part in range(4):
            if draw.random() < 0.4:
                aspect, bad = int(draw.integers(3)), bool(draw.random() < 0.5)
                if ASPECTS[aspect] in truth:
                    continue
                truth[ASPECTS[aspect]] = "negative" if bad else "positive"
                vectors[part, aspect] += 1.0
                vectors[part, 8 + bad] += 0.7
                words[part, aspect] |= draw.random() < heard
        texts.append(Looked(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), words, words.any(axis=0)))
        truths.append(truth)
    return texts, truths


def test_labelled_texts_teach_what_words_miss_and_what_is_said() -> None:
    learned = learn(ASPECTS, *texts_on_three_aspects(150, 0, heard=0.5, misheard=0.2))
    again = learn(ASPECTS, *texts_on_three_aspects(150, 0, heard=0.5, misheard=0.2))
    texts, truths = texts_on_three_aspects(100, 1, heard=0.5, misheard=0.2)
    found = [learned.judge(one) for one in texts]
    assert learned.joined
    assert learned.found["both"] > learned.found["words"]
    assert found == [again.judge(one) for one in texts]
    pairs = [(at, name) for at, one in enumerate(truths) for name in one]
    right = sum(name in found[at] for at, name in pairs)
    by_words = sum(bool(texts[at].hits[ASPECTS.index(name)]) for at, name in pairs)
    assert right > by_words
    said = [found[at][name]["label"] == truths[at][name] for at, name in pairs if name in found[at]]
    assert np.mean(said) > 0.8


def test_words_that_are_always_right_decide_alone() -> None:
    learned = learn(ASPECTS, *texts_on_three_aspects(60, 0, heard=1.0, misheard=0.0))
    assert learned.found["words"] == 1.0
    assert not learned.joined
    for text, _ in zip(*texts_on_three_aspects(40, 1, heard=0.5, misheard=0.3), strict=True):
        assert set(learned.judge(text)) == {name for name, hit in zip(ASPECTS, text.hits, strict=True) if hit}


def test_labelled_texts_stand_in_a_file_beside_the_aspects(tmp_path: Path) -> None:
    def written(rows: list[dict[str, object]]) -> Path:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tmp_path / "aspects.toml"

    (tmp_path / "aspects.toml").write_text('rows = "rows.jsonl"\n[price]\nwords = ["贵"]\n[wait]\n', encoding="utf-8")
    rows: list[dict[str, object]] = [
        {"text": f"第 {n} 条：太贵了，等了一小时", "aspects": {"price": "negative", "wait": ""} if n % 2 else {}}
        for n in range(20)
    ]
    aspects = read_aspects(written(rows))
    assert [truth for _, truth in aspects.rows] == [{}, {"price": "negative", "wait": ""}] * 10
    assert aspects.lessons == [part for text, _ in aspects.rows for part in parts_of(text)]
    assert aspects.found("太贵了") == {"price": {}}  # nothing is learned yet
    with pytest.raises(SettingError, match=r"rows\.jsonl"):
        read_aspects(written(rows[:5]))
    with pytest.raises(SettingError, match="not given"):
        read_aspects(written([{"text": "a", "aspects": {"taste": "good"}}, *rows]))


def test_an_entity_counts_by_what_is_said_of_it(tmp_path: Path) -> None:
    """Texts that are bad as a whole, for B's sake: nothing surges of A, and all of it outlives a kill."""
    said = {"A": {"label": "positive", "score": 0.9}, "B": {"label": "negative", "score": 0.8}}
    texts = [
        Mention(
            f"t{n}",
            NOW + timedelta(minutes=n),
            "other",
            True,
            0.9,
            f"text {n}",
            ("A", "B"),
            by_entity=said,
            by_aspect={"price": {}, "room": {"label": "neutral", "score": 0.7}},
        )
        for n in range(30)
    ]
    assert [read_mention(json.loads(json.dumps(mention_dict(one)))) for one in texts] == texts
    stream = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    raised, aside = stream.take(texts, NOW + timedelta(hours=1), "r")
    raised += stream.advance(NOW + timedelta(hours=2), "c")
    assert not aside
    assert "A" not in {alert.topic for alert in raised if alert.kind == "negatives"}
    window = stream.windows[0]
    assert {name: count["negative"] for name, count in window["entities"].items()} == {"A": 0, "B": 30}
    assert {name: count["negative"] for name, count in window["aspects"].items()} == {"price": 30, "room": 0}
    assert window["counts"]["other"]["total"] == 30
    again = Stream(tmp_path, WatchSettings(), ("other",), bounded=True)
    assert again.windows == stream.windows
    told = {
        (of, name): Alert("a", name, NOW, NOW, 0, 0, 0, 0, 0, 0.1, 0.1, texts[:3], of=of).label_of
        for of, name in (("entity", "B"), ("aspect", "price"), ("topic", "other"))
    }
    assert told == {("entity", "B"): "itself", ("aspect", "price"): "text", ("topic", "other"): "text"}


def test_what_a_team_listed_stays_while_others_make_room(tmp_path: Path) -> None:
    settings = WatchSettings(most_entities=5)
    stream = Stream(tmp_path, settings, ("other",), bounded=True, given=["华为"])
    names = [("华为",), *((f"name {n}",) for n in range(50))]
    texts = [Mention(f"t{n}", NOW, "other", False, 0.9, "好", one) for n, one in enumerate(names)]
    stream.take(texts, NOW, "r")
    series = stream.watch.series
    watched = {name for of, name in series._pairs if of == "entity"}
    assert "华为" in watched
    assert len(watched) == 5


@pytest.fixture(scope="module")
def running(plain_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    folder = tmp_path_factory.mktemp("whom")
    judge = made(folder / "whom", LABELS, by_mention=True, pairs=True)
    aspects = made(folder / "aspects", ["price", "price:negative", "price:positive"], many=True, least=0.0)
    vectors = make_encoder(folder / "vectors", "embed", [], 2, compiled=False)
    rows = [(f"第 {n} 条，服务不好" if n % 2 else f"text {n}", {"service": ""} if n % 2 else {}) for n in range(20)]
    given = Aspects.of({"service": Aspect(words=("服务", "staff"), title={"zh": "服务"})}, rows)
    monitor = Monitor(lambda text: mask(text)[0], whom=Whom(NAMES, given))
    settings = ServerSettings(port=0, lake=folder / "lake", threads=1)
    with serving(settings, [judge, aspects, vectors, plain_classifier], [monitor]) as server:
        assert (monitor.sentiment, monitor.whom.sentiment, monitor.whom.by_labels) == ("sentiment", "whom", "aspects")
        assert "apps.label_of_text" not in [note.code for note in monitor.notes]
        yield server


def made(folder: Path, labels: list[str], **facts: object) -> Path:
    """Write a tiny classifier whose folder says more of its task."""
    make_encoder(folder, "classify", labels, len(labels), compiled=False)
    manifest = json.loads((folder / "noria.json").read_text())
    manifest["facts"] |= facts
    (folder / "noria.json").write_text(json.dumps(manifest))
    return folder


def test_over_http_every_entity_and_aspect_has_a_label_of_its_own(running: Running) -> None:
    texts = ["华为的服务太差，Apple 还行", "Nothing of anybody here"]
    with httpx.Client(base_url=f"{running.url}/v1/apps/monitor", headers=running.headers) as web:
        first, second = web.post("/texts", json={"texts": [{"text": text} for text in texts]}).json()["mentions"]
        assert first["entities"] == list(first["by_entity"]) == ["华为", "Apple"]
        assert {one["label"] for one in first["by_entity"].values()} <= set(LABELS)
        assert set(first["by_aspect"]) == {"service", "price"}
        assert first["by_aspect"]["service"] == {}
        assert first["by_aspect"]["price"]["label"] in ("negative", "positive")
        assert (second["entities"], second["by_entity"]) == ([], {})
        told = web.get("/entities").json()
        assert told["label_of"] == "itself"
        assert {one["name"]: (one["kind"], one["listed"]) for one in told["entities"]}["雷军"] == ("person", True)
        told = web.get("/aspects").json()
        assert [one["title"] for one in told["aspects"]] == [{"zh": "服务"}]
        learned = told["learned"]
        assert (learned["texts"], learned["words"], learned["joined"]) == (20, 1.0, False)


def test_without_a_model_for_mentions_it_is_said_whose_label_counts() -> None:
    assert [note.code for note in Whom(NAMES).notes] == ["apps.label_of_text"]
    assert Whom().notes == []
    by_example = Aspects.of({"wait": Aspect(examples=("a", "b"))})
    assert [note.code for note in Whom(aspects=by_example).notes] == ["apps.examples_unread"]
