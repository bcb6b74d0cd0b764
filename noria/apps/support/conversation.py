"""What a message means because of those before it: a follow-up, a correction, the same again, another language, a curse.

Told by the shape of the whole message, as courtesies are, within bounds: one question back is what a conversation remembers of
itself, so a client may keep it anywhere and give it back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from noria.text.script import has_han

from .courtesies import question_in
from .languages import code_of
from .plain import plain

PATIENCE = 3
"""The same answer, or the same words, so many times in a row bring a person."""
LONGEST = 60
"""Characters of a message above which it follows nothing: it says what it asks."""


@dataclass(frozen=True)
class Conversation:
    """What is remembered of a conversation between two messages."""

    question: str = ""
    """The last question, with what it followed, as it was matched."""
    entry: str = ""
    """The entry that was answered last."""
    alternatives: tuple[str, ...] = ()
    """Entries that came next to it, likeliest first."""
    language: str = ""
    """Of the asker."""
    offered: tuple[str, ...] = ()
    """Entries of the question back that waits for its answer."""
    parts: bool = False
    """Whether they are of several questions, so that several of them may be meant."""
    again: bool = False
    """The answer was no choice of those offered, so it was put a second time."""
    repeats: int = 0
    """How often in a row the last answer was given."""
    corrected: int = 0
    """How often in a row the asker said that this was not meant."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What is known of the asker, by which answers under conditions hold or not."""
    flow: Mapping[str, Any] = field(default_factory=dict)
    """How far an action is that is being asked for, as `actions.running` keeps it; empty while there is none."""
    note: str = ""
    """What colleagues should know where a person takes over."""

    def as_dict(self) -> dict[str, Any]:
        """Return what a store keeps."""
        return asdict(self)

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Conversation:
        """Return the conversation that was kept; fields of another version are passed over."""
        known = {name: kept[name] for name in cls.__dataclass_fields__ if name in kept}
        for name in ("alternatives", "offered"):
            known[name] = tuple(known.get(name, ()))
        return cls(**known)


START = Conversation()
"""Nothing was said yet."""


def knowing(conversation: Conversation, facts: Mapping[str, str] | None) -> Conversation:
    """Return a conversation in which more is known of the asker."""
    told = {name.strip().casefold(): value for name, value in (facts or {}).items()}
    return replace(conversation, facts={**conversation.facts, **told}) if told else conversation


_WRONG_ZH = (
    r"(?:不对|不是|错了|不是的|不是这个|不是这个意思|你理解错了|理解错了|你搞错了|搞错了|你没理解|没听懂|你没听懂我的意思|答非所问|所答非所问|文不对题|这不是我(?:想|要)?(?:问|说)的|"
    r"我(?:问|说)的不是这个|我不是(?:问|说)这个|不是我(?:想|要)?问的|驴唇不对马嘴|牛头不对马嘴|不是问这个|说错了|打错了|问错了|更正一下)(?:了|啊|呀|吧|哦|呢)*"
)
_WRONG_EN = (
    r"(?:no+|nope|wrong|wrong answer|incorrect|not that|that's not it|that is not it|not what i (?:asked|meant|mean|said|want(?:ed)?)|that's not what i (?:asked|meant|mean|said|want(?:ed)?)(?: for| about)?|"
    r"that is not what i (?:asked|meant|mean|said|want(?:ed)?)(?: for| about)?|thats not what i (?:asked|meant|mean|said)(?: for| about)?|you (?:misunderstood|got (?:it|me|that) wrong|don't understand|didn't understand)(?: me)?|"
    r"that's wrong|that is wrong|this is wrong|not this(?: one)?|i didn't (?:ask|mean) that|sorry|my mistake|correction|i misspoke|typo)"
)
_MEANT_ZH = r"(?:我(?:是|的意思是|想|要)?(?:想|要)?(?:说|问)的?(?:是|其实是)?|我的意思是|我指的?是|我是指|应该是|其实是|我其实想问|我想知道的是|是问|是说|改成|换成)"
_MEANT_EN = r"(?:i (?:actually |really )?(?:mean|meant|was asking(?: about)?|am asking(?: about)?|asked(?: about)?|said|want(?:ed)? to (?:ask|know)(?: about)?)|i'm asking(?: about)?|what i (?:mean|meant|want(?:ed)?)(?: to (?:ask|know))? (?:is|was)|my question (?:is|was)|actually)"
_CORRECTION = re.compile(
    rf"^(?:{_WRONG_ZH}[,，。.!！、；;\s]*)?{_MEANT_ZH}[,，：:\s]*(?P<zh>.+)$"
    rf"|^{_WRONG_ZH}[,，。.!！、；;\s]+(?P<after_zh>.+)$"
    rf"|^(?:{_WRONG_EN}[,.!;:\s]+)*{_MEANT_EN}[,:\s]+(?P<en>.+)$"
    rf"|^{_WRONG_EN}[,.!;:]+\s*(?P<after_en>.+)$",
    re.I,
)
_ONLY_WRONG = re.compile(rf"^(?:(?:{_WRONG_ZH}|{_WRONG_EN})[,，。.!！?？;；\s]*)+$", re.I)
_WRONG_FIRST = re.compile(rf"^(?:{_WRONG_ZH}|{_WRONG_EN})(?:[,，。.!！、；;:\s]|$)", re.I)

_FOLLOWS = re.compile(
    r"^(?:那么?|那(?:如果|要是|么|就)?|然后|还有)(?![个些种里边儿]).+"
    r"|^.{1,16}(?:呢|的呢)[?？]*$"
    r"|^(?:它|他|她|这个|那个|这种|那种|这些|那些|这|这样|那样|此|该|上述|前者|后者).+"
    r"|^(?:多少钱|怎么收费|收费吗|免费吗|贵吗|多久|要多久|需要多久|多长时间|什么时候|几点|几天|在哪|在哪里|哪里|为什么|怎么办|怎么弄|怎么操作|可以吗|行吗|有吗|支持吗|有优惠吗|需要什么(?:材料|资料|证件)?|电话(?:呢|是多少)?|地址(?:呢|在哪)?)[?？]*$",
)
_FOLLOWS_EN = re.compile(
    r"^(?:and|what about|how about|and what about|and how about|but|so|then|also|or|ok and|okay and)\b(?! (?:on|i\b)).+"
    r"|^(?:for|with|without|in|on|at|from|by|as|if) .+\?$"
    r"|^(?:why|when|where|how|how much|how long|how many|how often|how come|which one|who|what time|since when|until when|is it|does it|can it|is that|does that|is this|are they|do they|will it|how so)(?: (?:is|does|do|will|would|can|are|did|was))?(?: (?:it|that|this|they|those|these|one|be|cost|take|last|then|there|free|work|happen|mean))*[?]*$"
    r"|.*\b(?:it|that one|this one|those|these ones|them)\b[^.?!]{0,24}[?]*$",
    re.I,
)
_SWITCH = re.compile(
    r"^(?:(?:请|麻烦|能不能|可以|能|你能|你会|会)*(?:用|说|讲|换成|换|切换到|转成)(?P<zh>中文|汉语|普通话|英文|英语|日语|日文|韩语|德语|法语|西班牙语|俄语)(?:回答|回复|说|讲|版|再说一遍)*(?:一遍|一下)?[吗么吧]?|(?P<bare>中文|英文|英语)(?:版)?(?:呢|吗|吧|谢谢)?"
    r"|(?:(?:can|could|would|do) you )?(?:please )?(?:(?:speak|reply|answer|say (?:it|that)|write|switch|talk|repeat (?:it|that))(?: to)? )?(?:in )?(?P<en>english|chinese|mandarin|german|french|spanish|japanese|korean|russian)(?: version)?(?:,? please)?)[?？.。!！]*$",
    re.I,
)
_ABUSE_ZH = r"(?:傻逼|傻[bB]|煞笔|沙比|妈的|他妈的?|你妈的?|操你妈|草泥马|去死|滚蛋?|滚开|废物|垃圾|智障|脑残|弱智|白痴|蠢货|蠢(?:死了|猪)?|笨(?:死了|蛋)|狗屁|放屁|混蛋|王八蛋|坑人|骗子|什么(?:破|垃圾|鬼)(?:客服|机器人|东西|玩意儿?)|(?:破|烂|垃圾)(?:客服|机器人|服务)|没用|有病)"
_ABUSE_EN = r"(?:fuck(?:ing)?(?: off| you| this| it)?|fck|wtf|f+ off|shit(?:ty)?|bull ?shit|bs|asshole|bitch|bastard|damn(?: it| you)?|idiot(?:ic|s)?|moron|stupid|dumb(?:ass)?|retard(?:ed)?|useless|worthless|pathetic|garbage|trash|rubbish|crap(?:py)?|piece of (?:shit|crap|junk|garbage)|screw you|go to hell|shut up|you suck|this sucks|suck|sucks|scam(?:mers?)?|thieves|liars?)"
_FILL = r"(?:你|您|们|这|是|个|真|太|了|的|啊|吧|吗|呀|都|什么|怎么|这么|好|很|一群|全是|简直|就是|就|一|客服|机器人|人|东西|服务|公司|you|your|you're|are|is|this|that|it|its|it's|what|a|an|the|so|such|really|totally|absolutely|completely|just|very|all|of|bot|robot|machine|service|company|thing|chatbot|ai|people|guys|and|to|me|be|how|too|as|hell|man|the worst)"
_ABUSE = re.compile(rf"(?:{_ABUSE_ZH}|\b{_ABUSE_EN}\b)", re.I)
_ONLY_ABUSE = re.compile(rf"^(?:{_ABUSE_ZH}|{_FILL}|\b{_ABUSE_EN}\b|\b{_FILL}\b|[\s,，。.!！?？~…*#@]+)+$", re.I)


def correction(text: str) -> str | None:
    """Return what someone says they meant instead, "" where they only say that this was not it, None where they correct nothing.

    >>> correction("不对，我是说怎么换货"), correction("No, I meant the refund"), correction("答非所问"), correction("怎么退货")
    ('怎么换货', 'the refund', '', None)
    """
    said = text.strip()
    if _ONLY_WRONG.match(said) and not re.fullmatch(r"(?:sorry|typo|my mistake)[.!\s]*", said, re.I):
        return ""
    found = _CORRECTION.match(said)
    if found is None:
        return None
    rest = next(one for one in found.groups() if one)
    if not _WRONG_FIRST.match(said) and not re.match(
        r"(?:我(?:是|的意思是|其实)|应该是|其实是|i (?:mean|meant)|actually)", said, re.I
    ):
        return None
    return rest.strip()


def follows(text: str) -> bool:
    """Return whether a message leans on the one before it: it begins in the middle, or a pronoun stands for what it is about.

    >>> follows("那多少钱？"), follows("and for students?"), follows("学生呢"), follows("怎么退货？"), follows("How do I return a phone?")
    (True, True, True, False, False)
    """
    said = question_in(text).strip()
    if len(said) > LONGEST:
        return False
    if has_han(said):
        return bool(_FOLLOWS.match(said)) and len(said) <= LONGEST // 2
    return bool(_FOLLOWS_EN.match(said)) and len(said.split()) <= 8


def about(text: str) -> str:
    """Return a follow-up without the words that only tie it to what stands before.

    >>> about("那多少钱？"), about("and for students?"), about("学生呢？")
    ('多少钱？', 'for students?', '学生？')
    """
    said = re.sub(r"^(?:那么?|然后|还有)(?![个些种里边儿])[,，\s]*", "", question_in(text).strip())
    said = re.sub(r"^(?:(?:ok|okay|and|but|so|then|also|or)[,\s]+)*(?:what about|how about)?\s*", "", said, flags=re.I)
    return re.sub(r"(?:的)?呢(?=[?？]*$)", "", said).strip() or text


def language_wished(text: str) -> str:
    """Return the code of the language in which someone wants to be answered; "" where they say nothing of it.

    >>> language_wished("请用英文回答"), language_wished("In English please"), language_wished("Do you teach English?")
    ('en', 'en', '')
    """
    found = _SWITCH.match(text.strip())
    if not found:
        return ""
    name = next(one for one in found.groups() if one)
    return {"普通话": "zh", "mandarin": "zh"}.get(name.casefold()) or code_of(name)


def abuse(text: str) -> bool:
    """Return whether a message is nothing but a curse; one that asks something beside is a question.

    >>> abuse("垃圾客服"), abuse("you are useless!!"), abuse("垃圾袋多少钱"), abuse("Where do I throw the trash?")
    (True, True, False, False)
    """
    said = text.strip()
    asks = said.endswith(("?", "？"))
    return bool(not asks and len(said) <= LONGEST and _ABUSE.search(said) and _ONLY_ABUSE.match(said))


def same(text: str, before: str) -> bool:
    """Return whether someone says the same again."""
    return bool(before) and plain(text) == plain(before)
