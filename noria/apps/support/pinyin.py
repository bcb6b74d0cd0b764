"""Chinese typed in Latin letters: which of the known Chinese questions "zenme tuihuo" spells.

Readings are those of GB 2312-80, whose 3,755 characters of the first level stand in the order of their pinyin: the first
character of each syllable is all there is to know. A character with several readings has the one that the standard sorts it by,
so forms are compared by pairs of syllables and letters, not letter for letter.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import pairwise

from noria.text.script import HAN, has_han

_FIRST = (
    "a啊 ai埃 an鞍 ang肮 ao凹 ba芭 bai白 ban斑 bang邦 bao苞 bei杯 ben奔 beng崩 bi逼 bian鞭 biao标 bie鳖 bin彬 bing兵 bo玻 bu捕 ca擦 cai猜 can餐 cang苍 "
    "cao操 ce厕 ceng层 cha插 chai拆 chan搀 chang昌 chao超 che车 chen郴 cheng撑 chi吃 chong充 chou抽 chu初 chuai揣 chuan川 chuang疮 chui吹 chun春 "
    "chuo戳 ci疵 cong聪 cou凑 cu粗 cuan蹿 cui摧 cun村 cuo磋 da搭 dai呆 dan耽 dang当 dao刀 de德 deng蹬 di堤 dian颠 diao碉 die跌 ding丁 diu丢 dong东 "
    "dou兜 du都 duan端 dui堆 dun墩 duo掇 e蛾 en恩 er而 fa发 fan藩 fang坊 fei菲 fen芬 feng丰 fo佛 fou否 fu夫 ga噶 gai该 gan干 gang冈 gao篙 ge哥 gei给 "
    "gen根 geng耕 gong工 gou钩 gu辜 gua刮 guai乖 guan棺 guang光 gui瑰 gun辊 guo锅 ha哈 hai骸 han酣 hang夯 hao壕 he呵 hei嘿 hen痕 heng哼 hong轰 hou喉 "
    "hu呼 hua花 huai槐 huan欢 huang荒 hui灰 hun荤 huo豁 ji击 jia嘉 jian歼 jiang僵 jiao蕉 jie揭 jin巾 jing荆 jiong炯 jiu揪 ju鞠 juan捐 jue撅 jun均 ka喀 "
    "kai开 kan刊 kang康 kao考 ke坷 ken肯 keng坑 kong空 kou抠 ku枯 kua夸 kuai块 kuan宽 kuang匡 kui亏 kun坤 kuo括 la垃 lai莱 lan蓝 lang琅 lao捞 le勒 "
    "lei雷 leng棱 li厘 lia俩 lian联 liang粮 liao撩 lie列 lin琳 ling玲 liu溜 long龙 lou楼 lu芦 lv驴 luan峦 lve掠 lun抡 luo萝 ma妈 mai埋 man瞒 mang芒 "
    "mao猫 me么 mei玫 men门 meng萌 mi眯 mian棉 miao苗 mie蔑 min民 ming明 miu谬 mo摸 mou谋 mu拇 na拿 nai氖 nan南 nang囊 nao挠 ne呢 nei馁 nen嫩 neng能 "
    "ni妮 nian蔫 niang娘 niao鸟 nie捏 nin您 ning柠 niu牛 nong脓 nu奴 nv女 nuan暖 nve虐 nuo挪 o哦 ou欧 pa啪 pai拍 pan攀 pang乓 pao抛 pei呸 pen喷 peng砰 "
    "pi坯 pian篇 piao飘 pie撇 pin拼 ping乒 po坡 pu扑 qi期 qia掐 qian牵 qiang枪 qiao橇 qie切 qin钦 qing青 qiong琼 qiu秋 qu趋 quan圈 que缺 qun裙 ran然 "
    "rang瓤 rao饶 re惹 ren壬 reng扔 ri日 rong戎 rou揉 ru茹 ruan软 rui蕊 run闰 ruo若 sa撒 sai腮 san三 sang桑 sao搔 se瑟 sen森 seng僧 sha莎 shai筛 shan珊 "
    "shang墒 shao梢 she奢 shen砷 sheng声 shi师 shou收 shu蔬 shua刷 shuai摔 shuan栓 shuang霜 shui谁 shun吮 shuo说 si斯 song松 sou搜 su嗽 suan酸 sui虽 "
    "sun孙 suo蓑 ta塌 tai胎 tan坍 tang汤 tao掏 te特 teng藤 ti梯 tian天 tiao挑 tie贴 ting厅 tong通 tou偷 tu凸 tuan湍 tui推 tun吞 tuo拖 wa挖 wai歪 wan豌 "
    "wang汪 wei威 wen瘟 weng嗡 wo挝 wu巫 xi昔 xia瞎 xian掀 xiang相 xiao萧 xie楔 xin薪 xing星 xiong兄 xiu休 xu墟 xuan轩 xue靴 xun勋 ya压 yan焉 yang殃 "
    "yao邀 ye椰 yi一 yin茵 ying英 yo哟 yong拥 you幽 yu淤 yuan鸳 yue曰 yun耘 za匝 zai栽 zan咱 zang赃 zao遭 ze责 zei贼 zen怎 zeng增 zha扎 zhai摘 zhan瞻 "
    "zhang樟 zhao招 zhe遮 zhen珍 zheng蒸 zhi芝 zhong中 zhou舟 zhu珠 zhua抓 zhuai拽 zhuan专 zhuang桩 zhui椎 zhun谆 zhuo捉 zi兹 zong鬃 zou邹 zu租 "
    "zuan钻 zui嘴 zun尊 zuo昨 "
)
_OFTEN = {
    "什": "shen",
    "都": "dou",
    "着": "zhe",
    "谁": "shei",
    "调": "tiao",
    "阿": "a",
    "吗": "ma",
    "嘛": "ma",
    "呗": "bei",
    "您": "nin",
}
"""Characters of a desk's questions that the standard sorts by another reading, or keeps in its second level."""
_LETTERS = re.compile(r"[a-zü' ]+")
LEAST_SYLLABLES = 3
NEAR, CLEAR = 0.72, 0.08
"""How much of their pairs a spelling and a known question share, and by how much more than any of another entry."""


def syllables(text: str) -> list[str] | None:
    """Return the syllables that a text spells, or None where it is no pinyin.

    >>> syllables("zenme tuihuo"), syllables("How do I return it?")
    (['zen', 'me', 'tui', 'huo'], None)
    """
    typed = text.casefold().strip(" ?!.,？！。，")
    if not _LETTERS.fullmatch(typed) or len(typed) > 120:
        return None
    found: list[str] = []
    for word in typed.replace("ü", "v").replace("'", " ").split():
        if (parts := _spelled(word)) is None:
            return None
        found += parts
    return found


def spelled(text: str) -> list[str]:
    """Return the syllables of a text's Chinese characters, and its other words as they are.

    >>> spelled("怎么退货")
    ['zen', 'me', 'tui', 'huo']
    """
    return [one for run in re.findall(rf"[{HAN}]|[a-z0-9]+", text.casefold()) if (one := _reading(run))]


def meant(text: str, known: Mapping[str, str]) -> str | None:
    """Return which known form a text spells in pinyin, where it is clearly one entry's.

    Args:
        text: what someone typed.
        known: plain form of a known question -> its entry.

    >>> meant("zen me tui huo", {"怎么退货": "a", "怎么换货": "b"}), meant("what is this", {"怎么退货": "a"})
    ('怎么退货', None)
    """
    typed = syllables(text)
    if typed is None or len(typed) < LEAST_SYLLABLES:
        return None
    mine = _pairs(tuple(typed))
    best: dict[str, tuple[float, str]] = {}
    for form, entry in known.items():
        if has_han(form):
            theirs = _pairs(tuple(spelled(form)))
            alike = 2 * len(mine & theirs) / max(1, len(mine) + len(theirs))
            best[entry] = max(best.get(entry, (0.0, "")), (alike, form))
    ranked = sorted(best.values(), reverse=True)
    if not ranked or ranked[0][0] < NEAR or (len(ranked) > 1 and ranked[0][0] < ranked[1][0] + CLEAR):
        return None
    return ranked[0][1]


@lru_cache(maxsize=1 << 14)
def _pairs(parts: tuple[str, ...]) -> frozenset[str]:
    """Return the syllables with their places among their like, and the pairs of neighbours."""
    counted: dict[str, int] = {}
    ones = []
    for part in parts:
        counted[part] = counted.get(part, 0) + 1
        ones.append(f"{part}{counted[part]}")
    return frozenset(ones) | {f"{one} {two}" for one, two in pairwise(parts)}


@lru_cache(maxsize=1 << 12)
def _spelled(word: str) -> list[str] | None:
    """Return a word cut into syllables, the longest first that leaves syllables; None where that cannot be."""
    if not word:
        return []
    for end in range(min(6, len(word)), 0, -1):
        if word[:end] in _known() and (rest := _spelled(word[end:])) is not None:
            return [word[:end], *rest]
    return None


@cache
def _known() -> frozenset[str]:
    return frozenset(pair[:-1] for pair in "".join(_FIRST).split()) | {"shei", "lue", "nue"}


@cache
def _order() -> tuple[list[bytes], list[str]]:
    pairs = "".join(_FIRST).split()
    return [pair[-1].encode("gb2312") for pair in pairs], [pair[:-1] for pair in pairs]


def _reading(run: str) -> str:
    if len(run) > 1 or run.isascii():
        return run
    if run in _OFTEN:
        return _OFTEN[run]
    try:
        code = run.encode("gb2312")
    except UnicodeEncodeError:
        return ""
    starts, names = _order()
    return names[bisect_right(starts, code) - 1] if b"\xb0\xa1" <= code <= b"\xd7\xf9" else ""
