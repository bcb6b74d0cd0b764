"""Labels that name no seller: all that are not named, and totals, in Chinese, English and other languages."""

from __future__ import annotations

import re

from noria.grow.log.names import plain

OTHER = "Other"
_OTHERS = {
    "other",
    "others",
    "rest",
    "the rest",
    "remaining",
    "remainder",
    "residual",
    "misc",
    "miscellaneous",
    "everyone else",
    "everybody else",
    "unnamed",
    "not named",
    "not listed",
    "unlisted",
    "long tail",
    "the long tail",
    "tail",
    "etc",
    "others total",
    "other total",
    "autres",
    "sonstige",
    "andere",
    "otros",
    "altri",
    "その他",
    "기타",
    "长尾",
    "余下",
    "未列出",
    "未列名",
    "未具名",
}
_OTHER_OF = re.compile(
    r"(all )?(the )?(others?|remaining)( the)? (brands?|sellers?|companies|players?|vendors?|manufacturers?|makers?|suppliers?|providers?|products?"
    r"|models?|apps?|platforms?|browsers?|chatbots?|engines?|competitors?|rivals?|firms?|services?|operators?|sites?|tools?|systems?|devices?"
    r"|entities|names?|users?|markets?)|all (the |of the )?(others?|rest|remaining)|(the )?rest of (the )?(market|world|industry|others?|them)"
)
_OTHER_HAN = ("其他", "其它", "其余", "其馀", "其餘", "剩余", "剩餘")
_TOTALS = (
    "total",
    "totals",
    "sum",
    "sums",
    "overall",
    "all",
    "industry",
    "market",
    "everyone",
    "everything",
    "everybody",
    "combined",
    "aggregate",
    "aggregated",
    "world",
    "worldwide",
    "global",
    "altogether",
    "in all",
    "gesamt",
    "insgesamt",
    "summe",
    "gesamtmarkt",
    "ensemble",
    "totale",
    "totaux",
    "totales",
    "σ",
    "∑",
    "共计",
    "总和",
    "总数",
    "总体",
    "总量",
    "总额",
    "总值",
    "总规模",
    "全部",
    "整体",
    "全体",
    "全市场",
    "总市场",
    "市场",
    "行业",
    "全行业",
    "大盘",
    "小计",
    "小計",
    "總和",
    "總數",
    "總額",
    "總體",
    "subtotal",
    "sub total",
    "全国",
    "全球",
    "合計",
    "總計",
)
_TOTAL_OF = re.compile(
    r"(sub ?)?totals? .*|.* (sub ?)?totals?|sum of .*|(all|every|overall|whole|entire|combined|aggregate)( of)?( the)? (brands?|sellers?|companies|company"
    r"|players?|vendors?|manufacturers?|makers?|suppliers?|providers?|products?|models?|apps?|platforms?|firms?|entities|names?|users?|markets?|industry"
    r"|world|industries)( (combined|together|total))?|(market|industry) (overall|size|sum)"
)
_TOTAL_HAN = re.compile(
    r".*(合计|总计|小计|合計|總計|小計|合计数|总计数)|(行业|市场|全国|全球|市場)(整体|总体|总规模|规模|总量|总额|合计|總計)"
)


def is_rest(name: str) -> bool:
    """Return whether a label stands for all that are not named."""
    bare = _bare(re.sub(r"[(（\[【].*", "", name) or name)
    return bare in _OTHERS or bool(_OTHER_OF.fullmatch(bare)) or bare.replace(" ", "").startswith(_OTHER_HAN)


def is_total(name: str) -> bool:
    """Return whether a label is called a total, or the total of some."""
    bare = _bare(re.sub(r"(?<=.)[(（\[【].*", "", name))
    return bare in _TOTALS or bool(_TOTAL_OF.fullmatch(bare) or _TOTAL_HAN.fullmatch(bare.replace(" ", "")))


def _bare(name: str) -> str:
    """Return a label without brackets, stops and marks around it."""
    return re.sub(r"[\s\-_*.:：()（）\[\]【】“”\"']+", " ", plain(name)).strip()
