"""The cheap models that a large one must beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from noria.build.corpus.script import han_share


def tfidf_classifier(train_texts: Sequence[str], train_labels: Sequence[str], *, strength: float = 10.0) -> Any:
    """Return logistic regression on TF-IDF, fitted: `.predict(texts)`, `.predict_proba(texts)`, `.classes_`.

    Features are runs of one to three characters for Chinese, words and pairs of words for other text, those that occur in
    at least two texts where there are a thousand or more; frequencies count by their logarithm.

    Args:
        train_texts: texts to fit on.
        train_labels: their labels.
        strength: inverse of the penalty on the weights (C).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    sample = " ".join(train_texts[:: max(1, len(train_texts) // 500)])
    by_character = han_share(sample) > 0.3
    features = TfidfVectorizer(
        analyzer="char" if by_character else "word",
        ngram_range=(1, 3) if by_character else (1, 2),
        token_pattern=None if by_character else r"(?u)\b\w+\b",
        min_df=2 if len(train_texts) >= 1000 else 1,
        sublinear_tf=True,
        dtype=np.float32,
    )
    # newton-cg: to the optimum in a fraction of a second here, where lbfgs stops short of it at the same tolerance
    model = LogisticRegression(C=strength, solver="newton-cg", max_iter=200, tol=1e-3)
    return make_pipeline(features, model).fit(list(train_texts), list(train_labels))
