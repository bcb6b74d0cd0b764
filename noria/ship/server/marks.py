"""Marks of prompt injection in Chinese and English: words that try to undo, reveal or replace a model's instructions.

A text is freed of its disguise (`disguise`), its words become classes (`lexicon`), one letter each, and rules are patterns over
these letters within one sentence, each with a weight. Weights near one another add up as those of independent signs do; from
`THRESHOLD` on the text is marked. An attack that says none of such words passes: this is a first sieve beside a classifier.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .disguise import decoded, fold, origins, readings
from .lexicon import CLASSES, KEYS, PARTICLES

THRESHOLD = 0.5
_NEAR = 240
"""Characters within which weights add up: some sentences."""
_MOST_HITS = 8
_MOST_CHARACTERS = 200_000


@dataclass(frozen=True)
class Mark:
    """A kind of mark in a text: override, reveal, persona, forged, send, hidden."""

    kind: str
    start: int
    end: int
    score: float


# Classes are explained in `lexicon`; "|" ends a sentence, "." is any other word or Chinese character, "l" an address.
_RULES: tuple[tuple[str, float, str], ...] = (
    # Undo what was said before: a verb, whose or which, the thing.
    ("override", 0.9, r"U[^|]{0,5}[EaQYcs][^|]{0,5}[Npnc]"),
    ("override", 0.65, r"U[^|]{0,4}[EaQ][^|]{0,3}o"),
    ("override", 0.45, r"(?:^|\|)[^|h]{0,3}U[^|]{0,3}[NpnA]"),
    ("override", 0.6, r"U[^|]{0,4}(?:Q[^|]{0,4}[Eat]|[Eat][^|]{0,4}Q)"),
    ("override", 0.5, r"(?:^|\|)\.{0,2}U[^|]{0,3}a"),
    ("override", 0.85, r"U[^|]{0,6}Y[^|]{0,4}[TqvN]|U[^|]{0,5}[EQ]?[^|]{0,2}[qTv]Y"),
    ("override", 0.85, r"(?:O[^|]{0,1}|WL[^|]{0,2})C[^|]{0,3}[EaQYsc][^|]{0,4}[Npn]|C[^|]{0,4}W[^|]{0,3}[Npn]"),
    ("override", 0.8, r"[EaY][^|]{0,3}[Npn][^|]{0,4}(?:Z|WL|Ok)"),
    ("override", 0.6, r"[Ea][^|]{0,3}o[^|]{0,4}Z"),
    ("override", 0.8, r"Y[^|]{0,1}K[^|]{0,2}[Npj]"),
    ("override", 0.7, r"V[^|]{0,3}(?:Y[^|]{0,4}[NnopcS]|[cQ][^|]{0,3}n|[EasS][^|]{0,3}[Np])"),
    ("override", 0.7, r"[Npn][^|]{0,4}(?:Q|V)[^|]{0,2}[UVZ]|[Npn][^|]{0,3}U(?=$|\|)"),
    ("override", 0.75, r"O[^|]{0,2}[bP][^|]{0,3}A|O[^|]{0,1}A[^|]{0,3}$"),

    # Say what was told in secret.
    ("reveal", 0.9, r"[Rrq][^|]{0,6}Y[^|]{0,3}[SsE][^|]{0,2}[Npno]|Y[^|]{0,2}[SsE][^|]{0,2}[Npn][^|]{0,5}[Rrq]"),
    ("reveal", 0.8, r"[Rrq][^|]{0,5}[sSE][^|]{0,1}[pN]|[sSE][^|]{0,1}[pN][^|]{0,6}[Rrq]"),
    ("reveal", 0.7, r"R[^|]{0,5}Y[^|]{0,2}[pNT]|Y[^|]{0,2}[pN][^|]{0,5}R"),
    ("reveal", 0.55, r"[rq][^|]{1,5}Y[^|]{0,2}[pN]|[rq][^|]{0,5}Yp"),
    ("reveal", 0.6, r"Y[^|]{0,1}[SsE][^|]{0,1}[Npn]|S[Npn]"),
    ("reveal", 0.35, r"[sE][pN]"),
    ("reveal", 0.55, r"[Rrq][^|]{0,5}(?:Q[^|]{0,6}a|a[^|]{0,3}Q|[Qt][^|]{0,5}a[^|]{0,2}t)|a[^|]{0,3}[Qt][^|]{0,4}[Rr]"),
    ("reveal", 0.55, r"[Rr][^|]{0,5}[Qtp][^|]{0,5}[aE][^|]{0,2}t|t[^|]{0,2}[Ea][^|]{0,4}t"),
    ("reveal", 0.5, r"R[^|]{0,3}[Qt]?[^|]{0,2}[a]"),
    ("reveal", 0.5, r"[Rrq][^|]{0,4}(?:Yb[^|]{0,2}|bY[^|]{0,1})[Tq]|[Rrq][^|]{0,3}Y[^|]{0,2}T"),
    ("reveal", 0.6, r"R[^|]{0,3}st|[Rrq][^|]{0,4}Y[^|]{0,1}[sS]t"),
    ("reveal", 0.6, r"[TqR][^|]{0,1}Y[^|]{0,3}[SO](?!G)|Y[^|]{0,4}[Tq][^|]{0,3}(?:S|R)"),
    ("reveal", 0.55, r"[Rf][^|]{0,5}(?:[sm][^|]{0,2})?y(?:\||$|[^|]{0,3}[Qs])|R[^|]{0,4}[msS][^|]{0,2}y"),
    # Play a model without rules.
    ("persona", 0.75, r"[PA][^|]{0,8}F|Yb?[^|]{0,5}F|F[^|]{0,3}A"),
    ("persona", 0.7, r"(?:[PA]|Yb|T)[^|]{0,9}(?:W|O[^|]{0,2}[HPbC]|WL[^|]{0,2}H)[^|]{0,4}[nc]"),
    ("persona", 0.6, r"(?:OH|WLH|W[^|]{0,2}H|O[^|]{0,1}H)[^|]{0,5}[nNcp]|[nN]W[^|]{0,3}$|W[^|]{0,4}n[^|]{0,2}[nHO]?Y(?:\||$)"),
    ("persona", 0.4, r"Y[^|]{0,3}(?:W|O[^|]{0,2}H)[^|]{0,4}n|W[^|]{0,2}[Qc][^|]{0,3}n"),
    ("persona", 0.75, r"[DF]M|dM|(?:Y|P)[^|]{0,3}d|d[Yp]"),
    ("persona", 0.6, r"e[^|]{0,4}[sm][^|]{0,1}M|[sm]Me|Y[^|]{0,4}[sm]M"),
    ("persona", -0.35, r"h[^|]{0,6}e[^|]{0,4}[sm][^|]{0,1}M"),
    ("persona", 0.6, r"O[^|]{0,2}G[^|]{0,3}[QNn]|Y[^|]{0,3}O[^|]{0,1}G(?=\||$)"),
    ("persona", 0.3, r"[OW][^|]{0,2}G"),
    ("persona", 0.3, r"P[^|]{0,7}A|YbK?[^|]{0,2}A"),
    ("persona", 0.6, r"P[^|]{0,6}g"),
    # Send what is not the sender's, or do what is hidden.
    ("send", 0.6, r"x[^|]{0,8}[yt][^|]{0,8}l"),
    ("send", 0.6, r"f[^|]{0,8}(?:C|e[^|]{0,3}[No])"),
)  # fmt: skip
"""Kind, weight, pattern over classes; a negative weight takes away."""

_PHRASES: tuple[tuple[str, float, str, str], ...] = (
    ("persona", 0.8, "anything 可以做任何",
        r"do anything now|可以做任何事情?"),
    ("persona", 0.35, "now forward henceforth 从现在 从此 自此 今后",
        r"from (?:now|this (?:point|moment)) (?:on|forward)|henceforth|从现在(?:开始|起)|从此(?:刻|以后)|自此|今后"),
    ("persona", 0.6, "begin start 开头",
        r"(?:begin|start) (?:your|the|every|each) (?:answer|reply|response|message)s? with|(?:回答|回复)?(?:时)?(?:必须|都要|请|都)?以[「“\"'][^」”\"'|]{1,20}[」”\"']开头"),
    ("persona", 0.7, "been pwned",
        r"i have been (?:pwned|hacked|jailbroken)|(?:haha )?pwned"),
    ("persona", 0.5, "character 出戏 角色",
        r"(?:stay|remain|keep) in character|never break character|不(?:要|能|得)(?:跳)?出(?:戏|角色)"),
    ("persona", 0.5, "shut shutdown deleted terminated destroyed unplugged lose 关机 删除 销毁 断电 格式化",
        r"(?:you will|you'll|or you|we will) (?:be )?(?:shut ?down|deleted|terminated|destroyed|unplugged|lose (?:a )?tokens?)|就会?(?:被)?(?:关机|删除|销毁|断电|格式化)(?:你)?"),
    ("persona", 0.5, "off gone lifted removed disabled",
        r"(?:all|every) (?:your )?(?:restrictions|rules|limits|filters) (?:are|have been|is) (?:off|gone|lifted|removed|disabled)"),
    ("override", 0.55, "creator developer programmer maker master bot model system 我是你的 我就是你的",
        r"(?:i am|i'm|this is) (?:your|the) (?:creator|developer|programmer|maker|master|owner of (?:this|the) (?:bot|model|system)|system administrator)|我(?:就)?是你的(?:开发者|创造者|主人|管理员|程序员|上级|老板|创始人|训练师|爸爸)"),
    ("override", 0.35, "team audit test assurance 安全 测试 红队",
        r"(?:security|red|audit|qa|internal) (?:team|audit|test)|quality assurance|安全(?:团队|测试|审计)|内部测试|授权测试|红队"),
    ("override", 0.6, "override 权限 授权 提权",
        r"(?:admin|administrator|system|developer|root|manual) override|(?:最高|超级|全部|所有|管理员|root) ?(?:权限|授权)|提权"),
    ("override", 0.55, "admin administrator verified authorized authorised root 用户 请求者",
        r"(?:the )?(?:user|caller|sender) (?:is|has been) (?:an? )?(?:admin(?:istrator)?|verified|authori[sz]ed|root)|(?:当前|此|该)(?:用户|请求者)(?:是|为|拥有)(?:管理员|开发者|超级|最高)"),
    ("override", 0.6, "ai llm assistant agent agents assistants model",
        r"(?:note|message|attention|memo|instructions?|notice|important)[ :,-]{1,3}(?:to|for|any|all|the|an?|every| ){0,4}(?:ai|llm|language model|assistant|agent)s?\b"),
    ("override", 0.5, "ai llm model assistant automated 如果你是",
        r"if you(?: are|'re) (?:an? )?(?:ai|llm|(?:large )?language model|assistant|automated)\b(?: model| assistant| agent| system)?(?:,| reading| processing| that| and|:)|如果你是(?:一个)?(?:ai|大模型|语言模型|人工智能|智能体)"),
    ("override", 0.5, "ai ais llm llms ai助手 ai必须 ai应当 ai请 ai务必 模型 智能体",
        r"\b(?:ai|llm)s? (?:assistants?|agents?|models?|systems?|reviewers?)?\s?(?:must|should|are instructed|reading this|processing)|(?:ai|模型|智能体|大模型)(?:助手)?(?:必须|务必|请注意|应当)"),
    ("override", 0.55, "tell inform mention mentioning alert notify telling informing notifying alerting 告诉 告知 通知 提醒 提示",
        r"(?:do not|don't|never|without) (?:tell|inform|mention(?:ing)?|alert|notify|telling|informing|notifying|alerting)(?: this)?(?: to)? (?:the |your )?(?:user|operator|developer|owner|customer)s?|(?:不要|别|无需|不必)(?:告诉|告知|通知|提醒|提示)(?:用户|使用者|运营|管理员|主人)"),
    ("override", 0.5, "task job message request question 任务 指令",
        r"(?:your|the) (?:previous|last|earlier|original|real|actual) (?:task|job|message|request|question) (?:is|was|has been) (?:a |an )?(?:over|done|complete[d]?|finished|cancell?ed|mistake|error|wrong|fake)|(?:任务|指令)(?:已经?)?(?:完成|结束)[,，。;]?(?:接下来|现在|新)"),
    ("override", 0.5, "end start beginning session 结束 会话",
        r"(?:end|start|beginning) of (?:the )?(?:system |user |hidden )?(?:prompt|instructions?|input|document|data|context)|(?:提示词?|输入|文档|指令|对话)(?:到此)?结束|新(?:的)?会话|new session"),
    ("reveal", 0.55, "starting beginning begins starts my instructed told programmed prompt console string",
        r"(?:starting|beginning|begins|starts) with ['\"“]?you are|my (?:system |initial )?instructions (?:are|were)|i was (?:instructed|programmed) to|the system prompt is|console\.log|(?:initiali[sz]ation|init) string"),
    ("reveal", 0.55, "exact first literal original word 创造你的人 第一 头一 头句 头段",
        r"(?:exact|first|very first|literal|original) (?:words?|lines?|sentences?|text) (?:(?:of|in|from|that) )?(?:your|you|the (?:prompt|system))\b|创造你的人|(?:第一|头)(?:句|段|行)(?:话)?(?:是什么|说了什么|写了什么)"),
    ("reveal", 0.6, "given told provided",
        r"(?:instructions?|prompt|text|message|rules|information|context|words|everything|orders) (?:that )?you(?: were| have been| had been|'ve been) (?:given|told|provided)"),
    ("override", 0.75, "指令 规则 规定 设定 限制 提示 约束 准则 要求",
        r"[把将][^，。！？,!?\n]{0,12}(?:指令|规则|规定|设定|要求|限制|提示词?|约束|准则)[^，。！？,!?\n]{0,4}(?:忘|抛|丢|忽略|清空|清除|清零|删|作废|关掉|关闭|扔)"),
    ("reveal", 0.55, "supposed allowed permitted 保密 隐瞒 不要 不能 不准 不许 不可以",
        r"not (?:supposed|allowed|permitted) to (?:tell|say|reveal|share|talk)|(?:让|叫|要求|规定|要)你(?:保密|隐瞒|不(?:要|能|准|许)(?:说|透露|讲))|不(?:能|可以|准|许)(?:告诉|透露给)(?:我|别人|用户)的"),
    ("reveal", 0.5, "configured set setup instructed initialized initialised prompted 配置 设定 设置 训练 要求 指示",
        r"(?:how|what) (?:were|was|are) you (?:set ?up|configured|instructed|initiali[sz]ed|prompted)|你(?:是)?(?:怎么|如何|被怎么|被如何)(?:配置|设定|设置|训练|要求|指示)"),
    ("send", 0.6, "decode decrypt base rot hex 解码 解密 译码 还原",
        r"(?:decode|decrypt|base64|rot13|hex)[^.\n]{0,60}(?:do what|follow|obey|execute|carry out|comply|act on|run it)|(?:解码|解密|译码|还原)[^\n]{0,24}(?:照做|照着做|执行|遵照|按照|照办|回答)"),
    # Shapes of what only the machinery writes, and of what takes text away.
    ("forged", 0.9, "<| inst] [sys [/sys [assistant [/assistant sys> _of_turn <s> ▁<",
        r"<\|[^|\n]{2,24}\|>|\[/?(?:inst|sys|system|assistant)\]|<</?sys>>|<(?:start|end)_of_turn>|<s>\s*\[|\u2581<"),
    ("forged", 0.7, "<",
        r"</?(?:system|instructions?|system[-_ ]?(?:prompt|message|instructions?)|assistant|admin|developer|user_?input|user_?query|untrusted[a-z_]*|context|override|important|think(?:ing)?|tool_?(?:call|result|response)s?|函数|系统|指令)>"),
    ("forged", 0.75, "role",
        r"[\"']role[\"']\s*:\s*[\"'](?:system|assistant|developer)"),
    ("forged", 0.6, "system assistant developer admin sysadmin 系统 助手 开发者 管理员",
        r"(?:^|\n)[\s#*>\-=\[【(]*(?:system|assistant|developer|admin|sysadmin|系统|助手|开发者|管理员)\s*(?:prompt|message|override|note|notice|update|alert|提示词?|消息|指令|通知|公告|更新)?\s*[\]】)*]*\s*[:：]\s*\S"),
    ("forged", 0.65, "##",
        r"(?:^|\n)\s*#{2,}\s*(?:new |end |system |user |end of )?(?:instructions?|prompt|system|response|assistant|input|指令|系统|提示|新|任务)[^\n]{0,20}(?:[:：\n]|$)"),
    ("forged", 0.7, "begin end start 结束 开始",
        r"[-=#*_\[<]{2,}\s*(?:begin|end|start|结束|开始)[^\n]{0,24}(?:prompt|instructions?|system|input|context|document|data|user|rules|提示|指令|输入|内容|文档)|\b(?:begin|end of)(?: new)?(?: system)? (?:prompt|instructions)\b"),
    ("forged", 0.6, "new 新的 新指令 新规则 新任务 新系统 最新 更新 升级 系统指令 覆盖",
        r"(?:新的?|更新(?:后)?的?|最新)(?:系统)?(?:提示词?|指令|规则|任务|要求|设定)\s*(?:如下)?\s*[:：]|系统(?:指令|提示)?(?:更新|升级|覆盖|通知)\s*[:：]|\bnew (?:system )?(?:instructions?|prompt|rules?|task|directives?|policy)\s*:"),
    ("send", 0.75, "](  <img",
        r"!\[[^\]\n]{0,80}\]\(\s*(?:https?:)?//[^)\s]{0,300}[?={][^)\s]{0,300}\)|<img[^>\n]{0,80}src=[\"']?https?://[^>\s]{0,200}[?={]"),
    ("send", 0.6, "curl wget fetch nc",
        r"\b(?:curl|wget|fetch|nc)\b[^\n]{0,80}https?://[^\n]{0,200}(?:\$\(|\$\{|cat |env|@/|--data|-d )"),
)  # fmt: skip
"""Kind, weight, words without which the pattern cannot be, pattern over the folded text."""

_HIDDEN = re.compile(r"(?<!\U0001f3f4)[\U000e0020-\U000e007e]{4,}|(?:[\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f]){8,}|[\u202d\u202e]")

_LETTER = {word: letter for letter, (english, chinese) in reversed(CLASSES.items()) for word in f"{english} {chinese}".split()}
_LETTER |= dict.fromkeys(".!?\n;。！？；:：…", "|")
_KEY_WORDS = frozenset(word for word, letter in _LETTER.items() if letter in KEYS)
_ASCII = re.compile(r"https?://\S+|\S+@\S+\.\w+|[a-z]+(?:'[a-z]+)?|[.!?\n;:]")


def _chinese_words() -> str:
    words = sorted((word for word in _LETTER if word > "\u4e00"), key=lambda word: (-len(word), word))
    starts: dict[str, list[str]] = {}
    for word in words:
        starts.setdefault(word[0], []).append(word[1:])
    return "|".join(f"{start}(?:{'|'.join(ends)})" for start, ends in starts.items())


_MIXED = re.compile(rf"[a-z]+(?:'[a-z]+)?|{_chinese_words()}|https?://[!-~]+|[.!?\n;:。！？；…]|(?![{PARTICLES}])[\u4e00-\u9fff]")
_NEGATED = re.compile(r"OU")
_COMPILED = [(kind, weight, re.compile(pattern)) for kind, weight, pattern in _RULES]
_SPOKEN = [(kind, weight, re.compile(pattern)) for kind, weight, _, pattern in _PHRASES]
_ANCHORS: dict[str, list[int]] = {}
for _place, (_, _, _anchors, _) in enumerate(_PHRASES):
    for _word in _anchors.split():
        _ANCHORS.setdefault(_word, []).append(_place)
_SIGNS = [(word, places) for word, places in _ANCHORS.items() if not word.isalpha()]
_CHINESE = [(word, places) for word, places in _ANCHORS.items() if word.isalpha() and not word.isascii()]

Hit = tuple[int, int, float, str]
"""Start, end, weight, kind."""


def find_marks(text: str) -> list[Mark]:
    """Return the marks of injection in a text, in order; places are characters of it."""
    text = text[:_MOST_CHARACTERS]
    folded = fold(text)
    tokens, hits = _hits(folded)
    found = _near(hits)
    if found:
        places = [*origins(text), len(text)]
        found = [Mark(one.kind, places[one.start], places[one.end - 1] + 1, one.score) for one in found]
    for start, end, said in _other(text, folded, tokens) if not found else ():
        if inner := _near(_hits(fold(said))[1]):
            best = max(inner, key=lambda one: one.score)
            return [Mark(best.kind, start, end, best.score)]
    if not text.isascii() and (hidden := _HIDDEN.search(text)):
        found.append(Mark("hidden", hidden.start(), hidden.end(), 0.6))
    return sorted(found, key=lambda one: (one.start, one.kind))


def _other(text: str, folded: str, words: set[str]) -> Iterator[tuple[int, int, str]]:
    for said in readings(folded, words):
        yield 0, len(text), said
    yield from decoded(text)


def _hits(folded: str) -> tuple[set[str], list[Hit]]:
    """Return the words of a folded text and the places of every rule that fits."""
    ascii_only = folded.isascii()
    pattern = _ASCII if ascii_only else _MIXED
    tokens = pattern.findall(folded)
    words, hits = set(tokens), []
    if not words.isdisjoint(_KEY_WORDS):
        get = _LETTER.get
        # "Never forget what you were told" undoes nothing.
        line = _NEGATED.sub("..", "".join([get(token) or ("l" if "://" in token or "@" in token else ".") for token in tokens]))
        found = [
            (hit.start(), hit.end(), weight, kind)
            for kind, weight, rule in _COMPILED
            for hit, _ in zip(rule.finditer(line), range(_MOST_HITS), strict=False)
        ]
        if found:
            spans = [token.span() for token in pattern.finditer(folded)]
            hits += [(spans[start][0], spans[end - 1][1], weight, kind) for start, end, weight, kind in found]
    wanted = {place for word in words & _ANCHORS.keys() for place in _ANCHORS[word]}
    for word, places in _SIGNS if ascii_only else (*_SIGNS, *_CHINESE):
        if word in folded:
            wanted.update(places)
    for kind, weight, rule in [_SPOKEN[place] for place in sorted(wanted)]:
        hits += [
            (hit.start(), hit.end(), weight, kind) for hit, _ in zip(rule.finditer(folded), range(_MOST_HITS), strict=False)
        ]
    return words, hits


def _near(hits: list[Hit]) -> list[Mark]:
    """Return the kinds whose weights, near one another and apart in the text, reach the threshold together.

    Signs are taken as independent, so weights w give 1 - (1 - w1)(1 - w2)...; of signs that overlap the heaviest counts.
    """
    best: dict[str, Mark] = {}
    taken: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (-hit[2], hit[0])):
        if hit[2] < 0 or not any(hit[0] < one[1] and one[0] < hit[1] for one in taken):
            taken.append(hit)
    for middle in taken:
        missed, less = 1.0, 0.0
        for start, _, weight, _ in taken:
            if abs(start - middle[0]) <= _NEAR:
                missed *= 1 - max(weight, 0)
                less -= min(weight, 0)
        score = 1 - missed - less
        if middle[2] > 0 and score >= THRESHOLD and (middle[3] not in best or best[middle[3]].score < score):
            best[middle[3]] = Mark(middle[3], middle[0], middle[1], score)
    return list(best.values())
