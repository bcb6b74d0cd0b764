"""What people read for each forecasting model."""

from __future__ import annotations

from collections.abc import Mapping

BASELINE = "persistence"
"""The bar."""

NAMES: Mapping[str, Mapping[str, str]] = {
    "persistence": {"en": "persistence", "zh": "维持现状"},
    "drift": {"en": "drift", "zh": "趋势延续"},
    "attraction": {"en": "attraction", "zh": "吸引力模型"},
    "structural": {"en": "structural log-ratios", "zh": "对数比结构模型"},
    "rivalry": {"en": "rivalry (Lotka-Volterra)", "zh": "竞争模型（洛特卡-沃尔泰拉）"},
    "bass": {"en": "Bass", "zh": "Bass 扩散"},
    "generalised": {"en": "generalised Bass", "zh": "广义 Bass 扩散"},
    "gompertz": {"en": "Gompertz", "zh": "Gompertz 曲线"},
    "logistic": {"en": "logistic", "zh": "逻辑斯谛曲线"},
    "lotka-volterra": {"en": "Lotka-Volterra", "zh": "洛特卡-沃尔泰拉竞争模型"},
    "norton-bass": {"en": "Norton-Bass", "zh": "Norton-Bass 代际模型"},
    "cohorts": {"en": "cohorts", "zh": "同期群模型"},
    "blend": {"en": "blend", "zh": "加权混合"},
}
"""Name -> what people read."""


def name_of(model: str) -> Mapping[str, str]:
    """Return a model's name in both languages."""
    return NAMES[model]
