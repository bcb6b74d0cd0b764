from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from noria.apps.support.certainty import fit_logit, reference_texts
from noria.apps.support.conversation import Conversation
from noria.apps.support.courtesies import question_in
from noria.apps.support.desk import Desk, form
from noria.apps.support.faq import Faq, read_faq
from noria.apps.support.judging import figures_of, kept_for_judging, replies_to
from noria.apps.support.matching import WORDS, Facts, Known, Matcher
from noria.apps.support.opening import known_texts, open_desk
from noria.apps.support.replies import Choice, Costs, Reply
from noria.core.errors import InputError


def by_letters(faq: Faq):  # type: ignore[no-untyped-def]
    """Embed by letter n-grams: no model, but real text and vectors that mean something."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, max_features=3000)
    vectorizer.fit([text.text for text in known_texts(faq)] + reference_texts(read_faq()))

    async def embed(texts: Sequence[str]) -> np.ndarray:
        return vectorizer.transform(list(texts)).toarray()

    return embed


@pytest.fixture(scope="module")
def faq() -> Faq:
    return read_faq()


@pytest.fixture(scope="module")
def desk(faq: Faq) -> Desk:
    return asyncio.run(open_desk(faq, by_letters(faq)))


def ask(desk: Desk, question: str) -> Reply:
    return asyncio.run(desk.ask(question, by_letters(desk.faq)))


def test_bundled_questions_are_whole_and_kept_apart(faq: Faq) -> None:
    assert len(faq.entries) >= 40
    known = {text.text for text in known_texts(faq)}
    kept = {text for entry in faq.entries for texts in entry.test.values() for text in texts}
    assert len(kept) >= 4 * len(faq.entries)
    assert not known & kept
    assert {row.split for row in faq.outside} == {"calibrate", "test"}
    assert all(row.text not in known for row in faq.outside if row.split == "test")


@pytest.mark.parametrize(
    ("question", "entry", "language"),
    [
        ("怎么安装 Noria？", "install", "zh"),
        ("How do I install Noria?", "install", "en"),
        ("没有显卡能用吗", "gpu", "zh"),
        ("What do the exit codes mean, please?", "exit", "en"),
    ],
)
def test_a_known_question_is_answered_in_its_language(desk: Desk, question: str, entry: str, language: str) -> None:
    reply = ask(desk, question)
    vector = asyncio.run(by_letters(desk.faq)([question_in(question)]))
    match = desk.matches([question_in(question)], vector)[0]
    assert (reply.language, match.entries[0]) == (language, entry)
    wanted = next(one for one in desk.faq.entries if one.id == entry)
    if reply.action == "answer":
        assert reply.text.endswith(wanted.answer(language))
    elif reply.action == "confirm":
        assert wanted.title(language).rstrip("？?") in reply.text


def test_every_known_question_is_answered_at_once(desk: Desk) -> None:
    for entry in desk.faq.entries:
        for texts in (*entry.questions.values(), *entry.paraphrases.values()):
            for text in texts:
                reply = desk.at_once(text.upper().rstrip("？?") + " !")
                assert reply is not None
                assert (reply.action, reply.entry, reply.confidence) == ("answer", entry.id, 1.0)


@pytest.mark.parametrize("question", ["转人工", "我要人工客服", "Can I talk to a person?"])
def test_who_asks_for_a_person_gets_one(desk: Desk, question: str) -> None:
    assert ask(desk, question).action == "handover"


def test_questions_outside_get_less_confidence_than_questions_inside(desk: Desk) -> None:
    embed = by_letters(desk.faq)
    inside = [texts[0] for entry in desk.faq.entries for texts in entry.test.values()]
    outside = [row.text for row in desk.faq.outside if row.split == "test"]

    def confidence(texts: list[str]) -> float:
        vectors = asyncio.run(embed([form(text) for text in texts]))
        return float(
            np.mean([match.confidence for match in desk.matches([question_in(text) for text in texts], vectors)])
        )

    assert confidence(outside) < confidence(inside) - 0.1


def test_asked_back_the_asker_may_say_yes_a_number_no_or_something_else(desk: Desk) -> None:
    entries = [entry.id for entry in desk.faq.entries[:3]]
    before = Conversation(question="?", language="en", offered=tuple(entries))

    def said(text: str) -> Reply:
        return asyncio.run(desk.turn(text, by_letters(desk.faq), before))[0]

    assert said("Yes!").entry == entries[0]
    assert said(" 2 ").entry == entries[1]
    assert said("no").action == said("都不是").action == "handover"
    assert said("How do I install Noria?").entry == "install"


def test_an_unknown_entry_is_refused(desk: Desk) -> None:
    with pytest.raises(InputError, match="unknown entry"):
        desk.answer("nothing", "zh")


def test_costs_decide() -> None:
    costs = Costs(wrong=10, person=3, confirm=1)
    # (1 - p) 10 < 1 + (1 - p) 3 where p > 6/7; 1 + (1 - p) 3 < 3 where p > 1/3
    assert costs.action(0.86) == "answer"
    assert costs.action(0.85) == "confirm"
    assert costs.action(0.34) == "confirm"
    assert costs.action(0.33) == "handover"
    assert Costs(wrong=1, person=5, confirm=1).action(0.5) == "answer"


def test_judging_counts_every_kept_question(desk: Desk) -> None:
    replies = asyncio.run(replies_to(desk, kept_for_judging(desk.faq), by_letters(desk.faq)))
    figures = {figure.name: figure for figure in figures_of(replies)}
    kept = sum(len(texts) for entry in desk.faq.entries for texts in entry.test.values())
    assert figures["solved at once or after asking back"].n == kept
    assert figures["right entry first, zh"].n + figures["right entry first, en"].n == kept
    assert figures["handed over out of scope"].n == sum(row.split == "test" for row in desk.faq.outside)
    for figure in figures.values():
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= figure.value <= figure.high
        assert "written by" in figure.note


def test_figures_of_replies() -> None:
    right = Reply("answer", "zh", "", 0.9, "a", (Choice("a", ""),))
    wrong = Reply("answer", "en", "", 0.9, "b", (Choice("b", ""),))
    back = Reply("confirm", "en", "", 0.5, "", (Choice("b", ""), Choice("a", "")))
    person = Reply("handover", "zh", "", 0.1)
    rows = [("a", right), ("a", wrong), ("a", back), ("a", person), ("", person), ("", wrong)]
    figures = {figure.name: (figure.value, figure.n) for figure in figures_of(rows)}
    assert figures["solved at once or after asking back"] == (0.5, 4)
    assert figures["right when answered at once"] == (0.5, 2)
    assert figures["handed over out of scope"] == (0.5, 2)
    assert figures["no wrong answer out of scope"] == (0.5, 2)
    assert figures["right entry first, en"] == (0.0, 2)


def test_the_logit_of_two_alternatives_is_scikit_learns_logistic_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    random = np.random.default_rng(0)
    facts = np.column_stack([np.ones(200), random.normal(size=(200, 3))])
    right = (facts @ [0.3, 1.0, -2.0, 0.5] + random.normal(size=200) > 0.3).astype(int)
    features = np.stack([facts, np.zeros_like(facts)], axis=1)
    target = np.column_stack([right, 1 - right]).astype(bool)
    peer = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, max_iter=1000).fit(facts, right)
    found = fit_logit([(features, np.zeros((200, 2)), target, np.ones(200))], prior=np.zeros(4), shrink=1.0)
    assert found == pytest.approx(peer.coef_[0], abs=1e-3)


def test_leaving_out_in_closed_form_is_leaving_out() -> None:
    """The ridge part of a left-out row, and of a left-out entry, is what a matcher that never knew them would say."""
    random = np.random.default_rng(1)
    kinds = ("question", "paraphrase", "answer")
    known = [Known(f"{kind}{entry}", kind, entry, "en") for entry in range(3) for kind in kinds]  # type: ignore[arg-type]
    known += [Known(f"outside{at}", "outside", -1, "en") for at in range(4)]
    whole = Matcher(known, random.normal(size=(len(known), 8)))
    rows, truth = np.hstack([whole.rows, WORDS * whole.words]), np.eye(4)[whole.entries] - 1 / 4

    def ridge(out: np.ndarray, asked: int) -> np.ndarray:
        kept = ~np.isin(np.arange(len(rows)), out)
        inner = rows[kept].T @ rows[kept] + np.eye(rows.shape[1])
        return np.asarray(rows[asked] @ np.linalg.solve(inner, rows[kept].T @ truth[kept]))

    def told(facts: Facts) -> np.ndarray:
        found = np.full(4, np.nan)
        found[facts.order[0]], found[3] = facts.clues[0, :, 0], facts.none[0, 1]
        return found

    left = whole.left_out(np.array([4]))
    assert told(left) == pytest.approx(ridge(np.array([4]), 4))
    alike = rows[:, : whole.rows.shape[1]] @ whole.rows[4]
    mine = [at for at in np.flatnonzero((whole.entries == whole.entries[4]) & (whole.groups == 0)) if at != 4]
    assert left.clues[0, list(left.order[0]).index(whole.entries[4]), 1] == pytest.approx(alike[mine].max())
    block = np.flatnonzero(whole.entries == 1)
    others = [0, 2, 3]
    assert told(whole.without(1, block[:1]))[others] == pytest.approx(ridge(block, int(block[0]))[others])


def test_an_entry_that_is_not_meant_has_no_probability(desk: Desk) -> None:
    embed = by_letters(desk.faq)
    vectors = asyncio.run(embed(["How do I install Noria?"]))
    first = desk.matches(["install it, how?"], vectors)[0].entries[0]
    found = desk.matches(["install it, how?"], vectors, without=[first])[0]
    assert first not in found.entries
    assert 0 <= found.confidence <= found.offered <= 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "is not JSON Lines: found 'nonsense'"),
        ('{"question": "a", "answer": "b"}\nnonsense', "line 2: not JSON"),
        ('{"id": "a"}', "needs a question"),
        ('{"question": "a"}', "needs an answer"),
        (
            '{"id": "a", "answer": {"zh": "好", "klingon?": "bon"}, "questions": {"zh": ["问"]}}',
            "unknown language.*klingon",
        ),
        ('{"id": "a", "answer": "好", "questions": {"zh": 3}}', "a text or a list of texts"),
    ],
)
def test_a_bad_line_of_questions_is_named(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "faq.jsonl"
    file.write_text(line, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_faq(file, None)


def test_a_question_that_stands_twice_is_refused(tmp_path: Path) -> None:
    entry = {"questions": {"zh": ["问"], "en": ["q"]}, "answer": {"zh": "答", "en": "a"}}
    file = tmp_path / "faq.jsonl"
    file.write_text("\n".join(json.dumps({"id": name, **entry}) for name in "ab"), encoding="utf-8")
    with pytest.raises(InputError, match=r"stands under two entries.*under a \(line 1\) and b \(line 2\)"):
        read_faq(file, None)
