"""Kept texts: found as by looking through all of them, page by page; what is over, too much or erased leaves no trace."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from noria.lake.texts import FILE, KeptText, Texts, Wanted, forget_texts

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
WORDS = ("a1", "b2", "c3", "d4")
Given = tuple[KeptText, frozenset[str]]


def made(number: int, minutes: int, source: str, words: frozenset[str], author: str = "") -> Given:
    time = NOW - timedelta(minutes=minutes)
    text = KeptText(str(number), time, source, author, "hotel", "negative", 0.9, "", "", ("Noria",), f"text <{number}>")
    return text, words


TEXTS = st.lists(
    st.builds(
        lambda minutes, source, words: (minutes, source, words),
        st.integers(0, 5),
        st.sampled_from(["x", "y"]),
        st.frozensets(st.sampled_from(WORDS), max_size=4),
    ),
    max_size=12,
).map(lambda rows: [made(number, *row) for number, row in enumerate(rows)])
WANTED = st.builds(
    lambda words, source, since, until: Wanted(
        terms=tuple(words),
        source=source,
        since=since if since is None else NOW - timedelta(minutes=since),
        until=until if until is None else NOW - timedelta(minutes=until),
    ),
    st.frozensets(st.sampled_from(WORDS), max_size=2),
    st.sampled_from(["", "x"]),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
)


def looked_through(texts: list[Given], wanted: Wanted) -> list[str]:
    """Return the ids of what is wanted, the latest first, by looking at every text."""
    fit = [
        (text.time, number, text.id)
        for number, (text, words) in enumerate(texts)
        if set(wanted.terms) <= words
        and wanted.source in ("", text.source)
        and (wanted.since is None or text.time >= wanted.since)
        and (wanted.until is None or text.time < wanted.until)
    ]
    return [id for _, _, id in sorted(fit, reverse=True)]


@settings(max_examples=40)
@given(TEXTS, WANTED, st.integers(1, 4))
def test_texts_are_found_as_by_looking_through_all(texts: list[Given], wanted: Wanted, most: int) -> None:
    with TemporaryDirectory() as folder:
        kept = Texts(Path(folder) / FILE)
        kept.add([(text, " ".join(words)) for text, words in texts], NOW)
        kept.add([(text, "z9") for text, _ in texts], NOW)  # an id is kept once
        expected, found, after = looked_through(texts, wanted), list[str](), ""
        while True:
            page = kept.find(wanted, most, after=after)
            assert page.found == len(expected)
            found += [text.id for text in page.texts]
            after = page.next
            if not after:
                break
        assert found == expected
        assert [text.id for some in kept.each(wanted) for text in some] == expected
        best = kept.find(wanted, 100, best=True)
        assert sorted(text.id for text in best.texts) == sorted(expected)
        kept.close()


def test_a_text_comes_back_as_it_was_kept_after_the_file_was_closed(tmp_path: Path) -> None:
    (text, words) = made(1, 3, "x", frozenset({"a1"}), "anna")
    kept = Texts(tmp_path / FILE)
    kept.add([(text, " ".join(words))], NOW)
    kept.close()
    assert Texts(tmp_path / FILE).find(Wanted(author="anna"), 1).texts == [text]


def test_what_is_over_and_what_is_too_much_leaves_the_oldest_first(tmp_path: Path) -> None:
    kept = Texts(tmp_path / FILE)
    for number in range(6):
        kept.add([(made(number, 0, "x", frozenset({"a1"}))[0], "a1")], NOW + timedelta(days=number))
    assert kept.limit(NOW + timedelta(days=1.5), 3) == 3
    assert kept.limit(NOW + timedelta(days=4), 3) == 1
    assert sorted(text.id for text in kept.find(Wanted(terms=("a1",)), 10).texts) == ["4", "5"]
    assert len(kept) == 2


def test_what_is_erased_can_be_found_no_more_and_leaves_no_bytes(tmp_path: Path) -> None:
    place = tmp_path / "apps" / "monitor" / "replay"
    kept = Texts(place / FILE)
    many = [made(number, 0, "x", frozenset({f"t{number}"}), ("anna", "bert")[number % 2]) for number in range(200)]
    kept.add([(text, " ".join(words)) for text, words in many], NOW)
    assert b"<8>" in (place / FILE).read_bytes() + (place / f"{FILE}-wal").read_bytes()
    assert forget_texts(tmp_path, user="anna") == 100
    assert forget_texts(tmp_path, user="") == 0
    assert kept.find(Wanted(terms=("t8",)), 1).found == 0
    assert kept.find(Wanted(author="bert"), 1).found == len(kept) == 100
    left = (place / FILE).read_bytes() + (place / f"{FILE}-wal").read_bytes()
    assert b"<9>" in left
    assert b"<8>" not in left
    assert kept.erased() == {"anna"}  # until whoever keeps texts of theirs elsewhere has taken them out
    kept.forgot(kept.erased())
    assert not kept.erased()
    assert forget_texts(tmp_path, before=NOW + timedelta(seconds=1)) == 100
