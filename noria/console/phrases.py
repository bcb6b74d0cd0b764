"""Names, units and notes that come with results, in both languages."""

from __future__ import annotations

PHRASES: dict[str, tuple[str, str]] = {
    # text as a result gives it -> (English, Chinese)
}

PATTERNS: tuple[tuple[str, str], ...] = (
    # an English pattern -> its Chinese; the groups are translated in turn
    (r"(.+) (\d{4}-\d\d(?:-\d\d)?)", "{0} {1}"),
    (r"(.+), (.+)", "{0}，{1}"),
    (r"month (\d+)", "第 {0} 个月"),
    (r"week (\d+)", "第 {0} 周"),
    (r"day (\d+)", "第 {0} 天"),
)
