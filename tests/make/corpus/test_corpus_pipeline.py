"""The steps together: every row is accounted for, spans stay true, groups hold."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from noria.make.corpus.documents import Document
from noria.make.corpus.pipeline import clean_corpus, joined, moved, splits
from noria.make.corpus.settings import CleanSettings
from noria.make.corpus.tally import SAMPLES, Tally
from noria.text.dedup import key_of, near_pairs

CHINESE = "春天来了，江南的花都开了，我们在湖边走了一会儿，说起从前的事情，大家都笑了起来。"
ENGLISH = "Spring had come and every garden was in flower; we walked along the lake until it rained."


def test_every_row_is_kept_or_counted_with_a_reason_and_a_masked_sample() -> None:
    rows = [
        CHINESE,
        CHINESE,
        CHINESE + "嗯",
        ENGLISH,
        "",
        "短",
        "哈" * 50,
        "写信给 bob@corp.cn",
        "我的手机 13341772746，请打给我吧",
    ]
    kept, tally = clean_corpus([Document(str(number), text) for number, text in enumerate(rows)])
    assert [document.id for document in kept] == ["0", "3", "8"]
    assert tally.drops == {
        "exact duplicate": 1,
        "near duplicate": 1,
        "empty": 1,
        "too short": 2,
        "repeats itself": 1,
    }
    assert tally.rows == tally.kept + sum(tally.drops.values()) == 9
    assert tally.masked == {"EMAIL": 1, "PHONE": 1}
    assert kept[2].text == "我的手机 <PHONE>，请打给我吧"
    assert {"id": "7", "text": "写信给 <EMAIL>"} in tally.samples["too short"]
    assert "9 rows in, 3 kept" in tally.line()
    assert Tally.from_dict(json.loads(json.dumps(tally.as_dict()))) == tally


def test_samples_stay_few() -> None:
    tally = clean_corpus([Document(str(number), "短") for number in range(50)])[1]
    assert tally.drops["too short"] == 50
    assert len(tally.samples["too short"]) == SAMPLES


def test_spans_move_with_repairs_and_masks() -> None:
    before = "<html><p>电话 13341772746：　江泽民在北京。</p></html>"
    spans = [
        {"start": before.index(name), "end": before.index(name) + len(name), "label": label}
        for name, label in (("江泽民", "PER"), ("北京", "LOC"))
    ]
    document = clean_corpus([Document("a", before, {"spans": spans})])[0][0]
    assert [(document.text[span["start"] : span["end"]], span["label"]) for span in document.meta["spans"]] == [
        ("江泽民", "PER"),
        ("北京", "LOC"),
    ]


def test_a_span_that_was_masked_is_lost_and_counted() -> None:
    text = "请联系北京的 bob@corp.cn 先生，谢谢"
    spans = [{"start": 3, "end": 5, "label": "LOC"}, {"start": 7, "end": 18, "label": "PER"}]
    kept, tally = clean_corpus([Document("a", text, {"spans": spans})])
    assert kept[0].meta["spans"] == [spans[0]]
    assert tally.spans_lost == 1


@given(st.text("ab中文 ", max_size=30), st.text("ab中文 ", max_size=30), st.data())
def test_moved_spans_hold_the_same_text(before: str, after: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(before)))
    end = data.draw(st.integers(start, len(before)))
    for span in moved([{"start": start, "end": end, "label": "x"}], before, after):
        assert after[span["start"] : span["end"]] == before[start:end]


def test_a_given_group_is_joined_with_the_cluster() -> None:
    meta = [
        {"group": "book 1", "label": "a"},
        {"group": "book 1", "label": "a"},
        {"group": "book 2", "label": "b"},
        {"label": "a"},
    ]
    texts = [CHINESE, "另一段话，同一本书里的，什么也不重复", CHINESE + "嗯", ENGLISH]
    kept, _ = clean_corpus(
        [Document(str(number), text, facts) for number, (text, facts) in enumerate(zip(texts, meta, strict=True))]
    )
    groups = [document.meta["group"] for document in kept]
    assert groups[0] == groups[1] == groups[2] == "book 1"
    assert groups[3] != "book 1"


@given(st.lists(st.tuples(st.one_of(st.none(), st.sampled_from("xyz")), st.sampled_from("abcdef")), max_size=20))
def test_joined_groups_are_the_connected_components(pairs: list[tuple[str | None, str]]) -> None:
    names = joined([given for given, _ in pairs], [cluster for _, cluster in pairs])
    together = [{index} for index in range(len(pairs))]
    for i, j in combinations(range(len(pairs)), 2):
        if pairs[i][1] == pairs[j][1] or (pairs[i][0] is not None and pairs[i][0] == pairs[j][0]):
            one, other = (next(part for part in together if index in part) for index in (i, j))
            if one is not other:
                together.remove(other)
                one |= other
    for i, j in combinations(range(len(pairs)), 2):
        assert (names[i] == names[j]) == any({i, j} <= part for part in together)


WORDS = st.sampled_from(
    [
        "春天来了花都开了",
        "我们在湖边走了一会儿",
        "spring had come to town ",
        "好",
        "不",
        "old times ",
        "13341772746",
        "江南",
    ]
)
ROWS = st.lists(
    st.tuples(
        st.lists(WORDS, min_size=1, max_size=6).map("".join), st.sampled_from("ab"), st.sampled_from(["g", "h", None])
    ),
    min_size=3,
    max_size=16,
)


@given(ROWS, st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_no_group_label_conflict_or_near_duplicate_crosses_a_split(
    rows: list[tuple[str, str, str | None]], seed: int
) -> None:
    documents = [
        Document(str(number), text, {"label": label} if group is None else {"label": label, "group": group})
        for number, (text, label, group) in enumerate(rows)
    ]
    choice = CleanSettings(min_length=1, max_repetition=1, valid_share=0.3, test_share=0.3, seed=seed)
    kept, tally = clean_corpus(documents, choice)
    assert len(kept) == tally.kept == tally.rows - sum(tally.drops.values())
    side = {document.id: name for name, part in splits(kept, choice).items() for document in part}
    assert sorted(side) == sorted(document.id for document in kept)
    by_group: dict[str, set[str]] = {}
    for document in kept:
        given_group = documents[int(document.id)].meta.get("group")
        for group in {document.meta["group"], f"given {given_group}" if given_group else document.meta["group"]}:
            by_group.setdefault(group, set()).add(side[document.id])
    assert all(len(sides) == 1 for sides in by_group.values())
    keys = [key_of(document.text) for document in kept]
    for i, j in near_pairs(keys, choice.near, seed=seed)[0].tolist():
        assert side[kept[i].id] == side[kept[j].id]
    assert Counter(keys).most_common(1)[0][1] == 1 if keys else True


@given(ROWS)
@settings(max_examples=40, deadline=None)
def test_cleaning_a_clean_corpus_drops_nothing(rows: list[tuple[str, str, str | None]]) -> None:
    choice = CleanSettings(min_length=1, max_repetition=1)
    kept, _ = clean_corpus([Document(str(number), row[0]) for number, row in enumerate(rows)], choice)
    again, tally = clean_corpus(kept, choice)
    assert again == kept
    assert not tally.drops
    assert not tally.masked


def test_the_shared_sets_pass_whole(shared_corpus: Path) -> None:
    from noria.make.corpus.documents import read_documents

    chinese, tally = clean_corpus(read_documents(shared_corpus / "zh-tech" / "docs.jsonl"))
    assert tally.kept >= 0.97 * tally.rows
    assert not tally.masked
    english, tally = clean_corpus(read_documents(shared_corpus / "shakespeare" / "passages.jsonl"))
    assert tally.kept >= 0.97 * tally.rows
    assert not tally.masked
    assert sum(len(document.text) for document in chinese + english) > 1_500_000
