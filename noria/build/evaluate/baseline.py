"""What a model must beat: TF-IDF with logistic regression for labels, a dictionary for names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from noria.tasks.tag import Span
from noria.tasks.task import Row

Classifier = Callable[[Sequence[str]], list[str]]
Tagger = Callable[[str], list[Span]]


def is_chinese(texts: Sequence[str]) -> bool:
    """Say whether at least a tenth of the characters are Chinese."""
    sample = "".join(texts[:2000])
    return sum("\u4e00" <= character <= "\u9fff" for character in sample) >= 0.1 * max(1, len(sample))


def tfidf_classifier(rows: Sequence[Row], *, seed: int = 0) -> Classifier:
    """Return texts -> labels: TF-IDF over n-grams, then logistic regression.

    Chinese is cut into runs of one to three characters, other text into words and pairs of words; term frequencies are
    damped by a logarithm. All of it is learned from `rows` alone.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts = [row["text"] for row in rows]
    if is_chinese(texts):
        grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    else:
        grams = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    model = make_pipeline(grams, LogisticRegression(C=10.0, max_iter=300, random_state=seed))
    model.fit(texts, [row["label"] for row in rows])
    return lambda wanted: [str(label) for label in model.predict(list(wanted))]


def dictionary_tagger(rows: Sequence[Row]) -> Tagger:
    """Return text -> spans: the longest name known from `rows` at every place, with its most frequent label.

    A name that the rows themselves leave untagged more often than not is left out.
    """
    labels: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for span in row["spans"]:
            labels[row["text"][span["start"] : span["end"]]][span["label"]] += 1
    names = {name: counts.most_common(1)[0][0] for name, counts in labels.items()}
    first = _longest_match(names)
    met: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for row in rows:
        true = {(span["start"], span["end"], span["label"]) for span in row["spans"]}
        for span in first(row["text"]):
            met[span["text"]] += 1
            right[span["text"]] += (span["start"], span["end"], span["label"]) in true
    return _longest_match({name: label for name, label in names.items() if 2 * right[name] >= max(1, met[name])})


def _longest_match(names: dict[str, str]) -> Tagger:
    lengths: dict[str, list[int]] = defaultdict(list)
    for name in names:
        if len(name) not in lengths[name[0]]:
            lengths[name[0]].append(len(name))
    for found in lengths.values():
        found.sort(reverse=True)

    def tag(text: str) -> list[Span]:
        spans, place = [], 0
        while place < len(text):
            for length in lengths.get(text[place], ()):
                end = place + length
                name = text[place:end]
                if name in names and not _cuts_word(text, place) and not _cuts_word(text, end):
                    spans.append({"start": place, "end": end, "label": names[name], "text": name, "score": 1.0})
                    place = end
                    break
            else:
                place += 1
        return spans

    return tag


def _cuts_word(text: str, place: int) -> bool:
    """Say whether a place lies within a word of letters that are written with spaces between words."""
    if not 0 < place < len(text):
        return False
    pair = text[place - 1 : place + 1]
    return pair.isalnum() and max(pair) < "\u2e80"
