"""Stories: reposts and rewrites are joined, different news about one company never; ids, counts and spread outlive a restart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.apps.monitor.likeness import compared
from noria.apps.monitor.stories import Stories
from noria.apps.monitor.surge import Mention

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
NEWS = (
    "Regulators open an inquiry into the battery fires of the new Aurora phone, two people familiar with the matter said",
    "某品牌新款手机被曝电池鼓包，多名用户称客服拒绝退货，监管部门已经介入调查此事",
)


def mention(id: str, text: str, minutes: float = 0, author: str = "", source: str = "") -> Mention:
    return Mention(id, NOW + timedelta(minutes=minutes), "other", True, 0.9, text, author=author, source=source)


def stories_of(*texts: str) -> list[str]:
    return Stories().place([mention(str(n), text, n / 60) for n, text in enumerate(texts)], NOW + timedelta(hours=1))


@pytest.mark.parametrize("text", NEWS)
@pytest.mark.parametrize(
    "edit",
    [
        lambda text: f"RT @anna_99: {text} https://t.co/abc",
        lambda text: f"转发微博//@张三:{text}",
        lambda text: text[: len(text) * 2 // 3] + "…",
        lambda text: f"Unbelievable, 太离谱了: {text}",
        lambda text: text.upper().replace("，", "  ").replace(",", " -- "),
        lambda text: " ".join(text),
        lambda text: ".".join(text[:30]) + text[30:],
        lambda text: text.replace("手机", "手機").replace("电池", "電池"),
    ],
)
def test_what_people_make_of_a_text_tells_the_same_story(text: str, edit) -> None:
    first, second, other = stories_of(
        text, edit(text), "An entirely different text about the weather in the north, 北方天气晴朗适合出门散步"
    )
    assert first == second
    assert other != first


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("$AAPL: Citi raises its price target to 130 from 110", "$AAPL: Citi raises its price target to 200 from 150"),
        ("$AAPL - Morgan Stanley cuts the stock to Hold", "$MSFT - Morgan Stanley cuts the stock to Hold"),
        ("某公司三季度净利润同比增长12.5%，营收超出市场预期", "某公司三季度净利润同比增长38.1%，营收低于市场预期"),
    ],
)
def test_other_numbers_or_tickers_are_another_story(one: str, other: str) -> None:
    first, second = stories_of(one, other)
    assert first != second


def test_numbers_that_were_spaced_out_hide_no_later_repost() -> None:
    news = "Trans Mountain costs to increase 70% to $9.5 billion, CBC says"
    found = stories_of(
        news.replace("70%", "7 0 %").replace("9.5", "9 . 5"), news, f"Wow, finally! {news}", news[:45] + "…"
    )
    assert len(set(found)) == 1


def test_what_many_say_by_themselves_is_no_repost_but_one_author_s_repetition_is() -> None:
    stories = Stories()
    several = [mention(f"a{n}", "太差了！", n, author=f"user{n}") for n in range(5)]
    assert len(set(stories.place(several, NOW + timedelta(hours=1)))) == 5
    one = [mention(f"b{n}", "太差了", n, author="flood") for n in range(5)]
    assert len(set(stories.place(one, NOW + timedelta(hours=1)))) == 1


def test_one_author_who_posts_ten_thousand_times_is_named_and_memory_stays() -> None:
    stories = Stories(most=500)
    for start in range(0, 10_000, 500):
        flood = [mention(f"f{n}", f"{NEWS[0]} {'!' * (n % 7)}", n / 1000, "flood") for n in range(start, start + 500)]
        stories.place(flood, NOW + timedelta(hours=1))
    stories.place([mention("x", NEWS[1], 1, "someone")], NOW + timedelta(hours=1))
    (loud,) = stories.loud()
    assert (loud["author"], loud["texts"], loud["of"]) == ("flood", 10_000, 10_001)
    assert len(stories.stories) == 2
    assert len(stories._members) <= 500
    told = next(iter(stories.stories.values())).as_dict(NOW)
    assert (told["texts"], told["authors"], told["loudest"]) == (10_000, 1, 10_000)


def test_a_story_keeps_its_id_and_its_spread_over_a_restart_and_a_second_delivery(tmp_path: Path) -> None:
    first = [mention("1", NEWS[0], 0, "ann", "wire"), mention("2", f"RT @wire: {NEWS[0]}", 5, "ben", "chat")]
    later = [
        mention("3", f"So it begins, just as everybody here had feared: {NEWS[0]}", 9, "cat", "chat"),
        mention("4", NEWS[1], 10, "dan", "weibo"),
    ]
    before = Stories(tmp_path)
    names = before.place(first, NOW)
    again = Stories(tmp_path)
    assert again.place([*first, *later], NOW + timedelta(hours=1)) == [*names, names[0], again._story_of["4"]]
    whole = Stories().place([*first, *later], NOW + timedelta(hours=1))
    assert whole == again.place([*first, *later], NOW + timedelta(hours=1))
    story = Stories(tmp_path).stories[names[0]].as_dict(NOW + timedelta(minutes=30))
    assert (story["texts"], story["authors"], story["sources"]) == (3, 3, {"chat": 2, "wire": 1})
    assert (story["first"]["id"], story["first"]["source"], story["growth"]["texts"]) == ("1", "wire", 3)
    assert [one["author"] for one in story["quotes"]] == ["cat"]


def test_a_text_that_tells_two_stories_shows_that_they_are_one_also_after_a_restart(tmp_path: Path) -> None:
    half = len(NEWS[0]) // 2
    parts = [mention("1", NEWS[0][:half], 0, "ann", "a"), mention("2", NEWS[0][half:], 1, "ben", "b")]
    stories = Stories(tmp_path)
    first, second = stories.place(parts, NOW + timedelta(hours=1))
    assert first != second
    assert stories.place([mention("3", NEWS[0], 2, "cat", "c")], NOW + timedelta(hours=1)) == [first]
    for one in (stories, Stories(tmp_path)):
        assert (one.resolve(second), one.resolve(first), list(one.stories)) == (first, first, [first])
        told = one.stories[first].as_dict(NOW)
        assert (told["texts"], told["authors"], told["sources"]) == (3, 3, {"a": 1, "b": 1, "c": 1})
        assert one.place(parts, NOW + timedelta(hours=1)) == [first, second]  # what was said of a text stays


def test_what_lies_before_the_window_is_forgotten_and_buckets_with_it() -> None:
    stories = Stories(window=timedelta(hours=1), most=100)
    for n in range(300):
        text = f"Report {n}: " + " ".join(f"word{(n * 7 + at * 13) % 997}" for at in range(12))
        stories.place([mention(str(n), text, n)], NOW + timedelta(days=1))
    assert len(stories._members) <= 62
    assert len(stories._buckets) <= 62 * stories._bands
    assert len(stories.stories) <= 62
    assert {one for some in stories._buckets.values() for one in some} <= set(stories._members)


def test_rewrites_are_joined_by_embeddings_unless_their_numbers_differ() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(60, 32))
    vectors[51] = vectors[50] + 0.05 * random.normal(size=32)
    vectors[52] = vectors[50] + 0.05 * random.normal(size=32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts = [f"{chr(97 + n % 26) * 9} unrelated words of text {chr(98 + n // 26) * 12} stand here" for n in range(60)]
    texts[50] = "The firm lowers its forecast for the year to 40 million units"
    texts[51] = "Guidance slashed: only 40 million devices are expected by the maker"
    texts[52] = "Guidance slashed: only 75 million devices are expected by the maker"
    mentions = [mention(str(n), text, n) for n, text in enumerate(texts)]
    found = Stories().place(mentions, NOW + timedelta(hours=2), vectors.tolist())
    assert found[50] == found[51]
    assert found[52] != found[50]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_any_text_has_one_story_however_it_is_delivered(texts: list[str]) -> None:
    mentions = [mention(str(n), text, n) for n, text in enumerate(texts)]
    whole = Stories().place(mentions, NOW + timedelta(hours=1))
    one_by_one = Stories()
    assert [one_by_one.place([one], NOW + timedelta(hours=1))[0] for one in mentions] == whole
    assert all(whole)
    assert all(isinstance(compared(text), str) for text in texts)
