"""The models that every share forecast must beat: shares stay, and shares go on as they went.

Both are members of the family in `attraction`, so their draws sum to one and their intervals are as honest as its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .attraction import ATTRACTION, DRIFT, PERSISTENCE, Dynamics

BASELINE = "persistence"
"""The bar."""

MODELS: Mapping[str, Sequence[Dynamics]] = {"persistence": PERSISTENCE, "drift": DRIFT, "attraction": ATTRACTION}
"""Name -> patterns of dynamics."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "persistence": {"en": "persistence", "zh": "维持现状"},
    "drift": {"en": "drift", "zh": "趋势延续"},
    "attraction": {"en": "attraction", "zh": "吸引力模型"},
}
"""Name -> what people read."""
