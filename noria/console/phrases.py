"""Names, units and notes that come with results, in both languages."""

from __future__ import annotations

PHRASES: dict[str, tuple[str, str]] = {
    # text as a result gives it -> (English, Chinese)
    "accuracy": ("accuracy", "准确率"),
    "macro f1": ("macro F1", "宏平均 F1"),
    "span f1": ("span F1", "实体 F1"),
    "span precision": ("span precision", "实体精确率"),
    "span recall": ("span recall", "实体召回率"),
    "bits per byte": ("bits per byte", "每字节比特数"),
    "speed ratio": ("speed ratio", "加速比"),
    "rows kept": ("rows kept", "保留行数"),
    "requests": ("requests", "请求数"),
    "active users": ("active users", "活跃用户"),
    "users in all": ("users in all", "用户总数"),
    "new users": ("new users", "新增用户"),
    "retention": ("retention", "留存率"),
    "acts forecast": ("acts forecast", "预测购买次数"),
    "weeks inside the interval": ("weeks inside the interval", "落在区间内的周占比"),
    "error per user": ("error per user", "每用户误差"),
    "mean absolute error, acts": ("mean absolute error, acts", "平均绝对误差（次）"),
    "curve train": ("training loss", "训练损失"),
    "curve valid": ("validation", "验证指标"),
    # units
    "rows": ("rows", "行"),
    "bits/byte": ("bits/byte", "比特/字节"),
    "ms": ("ms", "毫秒"),
    # labels and tasks
    "negative": ("negative", "负面"),
    "positive": ("positive", "正面"),
    "person": ("person", "人名"),
    "place": ("place", "地名"),
    "organisation": ("organisation", "机构名"),
    "classify": ("classification", "分类"),
    "tag": ("named entities", "实体标注"),
    "embed": ("embedding", "向量表示"),
    "causal": ("text completion", "文本续写"),
    "other": ("other", "其他"),
    "Other": ("Other", "其他"),
    # notes and sources
    "provisional": ("provisional", "暂定"),
    "simulated": ("simulated", "模拟"),
    "baseline wins": ("baseline wins", "基线更优"),
    "share of referred page views": ("share of referred page views", "引荐页面浏览占比"),
    "server events": ("server events", "服务事件"),
    "console": ("console", "控制台"),
    "support": ("customer service", "智能客服"),
    "monitor": ("opinion monitoring", "舆情监测"),
    "recommend": ("recommendations", "个性化推荐"),
    "api": ("API", "接口"),
}

PATTERNS: tuple[tuple[str, str], ...] = (
    # an English pattern -> its Chinese; the groups are translated in turn
    (r"(active users|new users|retention), (.+)", "{0}，{1}"),
    (r"(.+) (\d{4}-\d\d(?:-\d\d)?)", "{0} {1}"),
    (r"(.+) median", "{0}：中位数"),
    (r"(.+) 95th percentile", "{0}：95 分位"),
    (r"came: ([\d,]+)", "实际 {0}"),
    (r"came: ([\d,]+); baseline nearer", "实际 {0}；基线更接近"),
    (r"month (\d+)", "第 {0} 个月"),
    (r"week (\d+)", "第 {0} 周"),
    (r"day (\d+)", "第 {0} 天"),
)
