"""What people say to a desk besides questions: a greeting, thanks, a wish for a person, or which of the offered questions they meant.

All of it is told by the shape of the whole sentence, never by a word inside one: 人工 stands in 人工智能 and agent in insurance
agent, and a question that begins with thanks is a question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from noria.text.script import HAN, has_han

from .plain import plain, tokens

Courtesy = Literal["greeting", "thanks", "goodbye", "identity"]

_COURTESIES: dict[Courtesy, tuple[str, ...]] = {
    "greeting": (
        r"(hi+|hello|hey|hiya|howdy|greetings|good (morning|afternoon|evening|day))( (there|all|everyone|team|again|sir|madam))*",
        r"hi+ ?hi+",
        r"how (are|r) (you|u|things)( doing| going)?( today)?",
        r"what's (up|new|going on)|wass?up|heyo|how('s| is| ya|'ve you been)( (it|ya|everything))?( (going|doing|doin|been|hanging))?( my friend| today)?",
        r"how do you do",
        r"nice to meet you",
        r"(is )?any(body|one) (there|here)",
        r"(你|您|大家|各位|亲)们?好[啊呀哦嘛的吗]*",
        r"(嗨|嘿|哈[喽啰罗]|哈 ?喽|喂|亲|您好|你好|在)[啊呀哦]*",
        r"(早上|上午|中午|下午|晚上)好[啊呀]*",
        r"早(安|啊)?",
        r"(请问)?(客服)?(在吗|在么|在不在|有人吗|有人在吗|在不)",
        r"(hi|hello|hey)[啊呀]*",
    ),
    "thanks": (
        r"(ok(ay)? |great |perfect |cool |yes |no |alright |all right |well |wonderful |awesome )?(many |thanks? )?"
        r"(thanks?|thank (you|u)|thx|ty|cheers|much appreciated|appreciate it|i appreciate it)"
        r"( (you|a lot|so much|very much|much|a bunch|again|for (your |the |all |all your |all the )?(help|time|answer|support|info|information|effort|patience|service)|"
        r"for (helping|assisting|chatting|that|this|everything|doing that|your assistance|the assistance|the assist|the chat)|with|to|out|today|now|everyone|mate|all|me|us|kindly))*",
        r"(i('m| am) (very |so )?(thankful|grateful)( for (your|the) (help|time))?|(much )?appreciated|i appreciate (that|you|your help|you doing that)|you have my( sincere)? gratitude|you('ve| have) (helped me|been (a big|a great|so much) help)|i owe you one)",
        r"(that s|that's|thats|that is|this is)? ?(very |really |so |most )?(helpful|kind of you|great|perfect|all|awesome|it)( (thanks|thank you|for now|i needed))*",
        r"ok(ay|ey)?|alright|all right|sure|great|perfect|cool|fine|i see|understood|noted",
        r"嗯+|恩+|哦+|噢|好[的吧嘞滴]?[啊呀]?|行[吧]?|ok[啊呀]?",
        r"you (have been|ve been|'ve been|are|were) (very |so |really )?(helpful|kind|great)",
        r"got it( (thanks|thank you))?",
        r"(very )?(nice|good|lovely|wonderful|amazing|excellent)( one| job| work)?|no that's (all|it)|(it|that) (works|worked)( now)?|(problem |all )?(solved|sorted)|3q",
        r"(都|问题|已经|我)*(解决|搞定|弄好|可以用|好)了[啊呀哦哈]*|没有了",
        r"(好的?|嗯+|行|哦|噢|ok|收到|明白了?|知道了|可以了?|没问题|太好了|非常|十分|万分|真的?|真是|那|那就)*(太|多)?(谢谢|感谢|多谢|谢了|辛苦|麻烦)"
        r"(你|您|你们|您们|客服|亲|啦|了|啊|呀|哦|哈|的?(帮助|帮忙|回答|解答|回复|服务|介绍|推荐)|谢谢)*",
        r"(我|都)?(好的|收到|记下|明白了?|知道了|懂了|了解了?|清楚了)[啊呀哦哈啦]*",
        r"(我?(的问题)?(没有?(其[他它]|别的)?(什么)?(问题|事)|问完|都?清楚)了|没事了|不用了)[啊呀哦哈]*(谢谢)?(你|您)?",
    ),
    "goodbye": (
        r"(ok(ay)? |thanks? |thank you )?(bye+|good ?bye|bye bye|see (you|ya)( (later|soon|around|tomorrow))?|farewell|cya|good night)( (for now|then|bye))*",
        r"good ?(bye|night)( now)?|until next time|peace out|take care|(this was |it was |what )?(a |such a )?(nice|good|great|fun|lovely|pleasure|wonderful)( as always)?( (chat|talk|conversation))?( (talking|speaking|chatting|to speak|to talk|to chat|to meet)( (to|with))?( you)?)?|this was fun|i enjoyed (our (talk|chat|conversation)|(talking|speaking|chatting) (to|with) you)|a pleasure( as always)?( to (speak|talk) (with|to) you)?",
        r"have a (good|nice|great|lovely) (day|one|evening|weekend|night)",
        r"(好的?|嗯|那|谢谢)*(再见|拜拜|拜|886|88|回见|回头见|下次再?聊|晚安|先这样|就这样)(了|吧|啦|哈)*",
    ),
    "identity": (
        r"(so )?(are|r) (you|u) (actually |really )?(a |an )?(real |live |actual )?(ro)?(bot|human|human being|person|machine|ai|robot|computer)"
        r"( or (a |an )?(real |live )?(ro)?(bot|human|person|machine|ai|robot))?",
        r"(is this|am i (talking|speaking|chatting) (to|with)) (a |an )?(real |live )?(ro)?(bot|human|person|machine|ai|robot)"
        r"( or (a |an )?(real |live )?(ro)?(bot|human|person|machine|ai|robot))?",
        r"(你|您|对面|这)(到底|究竟)?(是不是|是)(一个|个)?(机器人|真人|人工|人工智能|人|机器|ai|活人|自动回复)(客服)?(还是(一个)?(机器人|真人|人工|人|机器|ai)(客服)?)?[吗么呢啊]*",
    ),
}
_COURTESY = {kind: re.compile("|".join(f"(?:{one})" for one in forms)) for kind, forms in _COURTESIES.items()}
_ORDER: tuple[Courtesy, ...] = ("goodbye", "identity", "thanks", "greeting")
_PLEASED = re.compile(r"(?:[👍👌🙏😊🙂😀😃😄😁🤗🥰😍❤💕💖🌹💐🎉✅👏🤝]\ufe0f?[🏻-🏿]?\s*)+")
LONGEST = 120
"""Characters of a sentence above which it is neither a courtesy nor a wish for a person."""
_CLAUSE = re.compile(rf"[,，。.!！?？;；~～、\n…]+(?=\s|[{HAN}]|$)|[，。！？；～…\n]+")
# A greeting may stand before a question in one clause with it.
_BEFORE = re.compile(
    r"^(?:你好|您好|哈[喽啰]|嗨|亲|早上好|下午好|晚上好)[啊呀哦]*\s*(?=请问|我|想|怎|如何|有|能|可|帮|麻烦|问|什么|为什么|多|哪)"
)

_NOUN = r"(?:人工|真人|活人|人类|真正的人|客服人员|人工客服|真人客服)(?:客服|服务|坐席|座席|专员|热线|热线电话|客服人员|工作人员|人员|接待|台)?"
_TAIL = r"(?:[吧吗呢啊呀嘛了啦哈]|行吗|好吗|可以吗|行不行|可以不|好不好|一下|谢谢|谢了|来|来吧|聊聊?|说|说话|说几句|谈|沟通|对话|聊天|服务|处理|解决|回答|解答|帮我|帮忙|帮助|接听|接待|在吗|在不在|在么|快点|快|现在|马上|立刻)*"
_WISH = r"(?:请|麻烦你?您?|快|赶紧|直接|马上|立刻|现在|那|那就|还是|能不能|能否|能|可不可以|可以|可否|是否可以|我|我要|我想|我想要|想要?|要|需要|我需要|必须|一定要|帮我|给我|帮忙|让|让我|叫|要求|我要求|申请|怎么|如何|怎样|怎么才能|如何才能|为什么不|你们?|您|你们?这里|这里)*"
_VERB = r"(?:转接?到?|接通?|切换到?|换成?|换个|找|找个|叫|呼叫|联系|连线|要|派|来|来个|有|有没有|跟|和|与|同|由|接入|呼入|进入|申请)"
_LINK = r"(?:一下|到|给|成|一?个|一?位|你们的?|你们家的?|的|你|您|我)*"
_PERSON = re.compile(
    "|".join(
        (
            rf"{_WISH}{_VERB}{_LINK}{_NOUN}{_TAIL}",
            rf"(?:请|麻烦|快|直接|马上|我要|我想要?|我需要|需要|给我|要|转|还是)*(?:{_NOUN})+(?:吧|呢|啊|呀|来|谢谢|快点|在吗|在不在|在么|有吗|帮我|帮忙|处理|服务)*",
            rf"{_WISH}{_VERB}{_LINK}(?:客服|在线客服|你们客服|经理|主管|负责人|工作人员|专员|领导)(?:人员)?{_TAIL}",
            r"(?:我|请)?(?:不要|别|不想要?|不需要|拒绝|讨厌|受够了?)(?:再)?(?:跟|和|与|让|用|给我|理)?(?:这个)?(?:机器人|机器|ai|自动回复|智能客服)(?:客服)?(?:了|回答|回复|说话|聊天?|说|跟我说|跟我聊|服务|来|敷衍我?|糊弄我?)*",
            r"(?:我?要|我?找|叫|转|换个?)?(?:在线)?(?:客服|客服人员|接线员|话务员)(?:人?呢|在哪里?|吧|来)*",
            rf"{_WISH}(?:跟|和|与|找|给我|来|换)?(?:一?个)?(?:活|真的?)?人(?:聊聊?|聊天|说话?|讲话?|谈谈?|沟通|对话|来)+{_TAIL}",
            r"(?:快|给我|我要|要|找)+(?:一?个)?(?:活人|真人|人来)",
            r"(?:有没有|有|来个|换个|换|找个?|叫个?)(?:能说话的|真的|真)?(?:活)?人(?:吗|么|啊|呀|来|说话|处理|服务)+(?:一下)?",
        )
    )
)
_ARTICLE = r"(?:a |an |the |some |any |your |one of your |real |live |actual |human |service |support |customer |care |another |different |proper |qualified |physical |living |breathing |senior |local |phone )*"
_WHO = r"(?:humans?|person|people|agents?|representatives?|reps?|operators?|someone|somebody|anyone|anybody|advisors?|advisers?|managers?|supervisors?|assistants?|staff|support team|support|staff member|team member|customer (?:service|care|support|services)|customer (?:service|care|support) team|human being|customer representative)"
_MANNERS = r"(?:please|now|right now|instead|thanks|thank you|today|asap|immediately|directly|here|at once|on the phone|on the line|real|live)"
_MATTER = r"(?:about|regarding|because|who|that can|to help|to discuss|to sort|to resolve|over the phone|on the phone|for help|so)\b.*"
_ASK = r"(?:(?:hi|hello|hey|ok|okay|please|just|so|well|look|no|yes|sorry|and|but|then|um|can|could|may|might|would|will|shall|i|you|we|d|'d|i'd|i'm|it|is|there|a|way|any|possible|for|me|to|want|wanna|need|like|love|prefer|wish|rather|let|let's|get|have|got|be|able|allowed|how|do|where|must|should|demand|insist|on|really|now|trying|try|give|wait|am|if|there's|chance) )*"
_PERSON_EN = re.compile(
    "|".join(
        (
            rf"{_ASK}(?:speak|talk|chat|talking|speaking|chatting|connect(?:ed)?|communicate|discuss (?:this|it)|get in touch|be connected|be put through|put through|escalate(?: this| it)?)(?: me| this| it)?(?: directly| live| through)? (?:to|with) {_ARTICLE}{_WHO}(?: {_MANNERS})*(?: {_MATTER})?",
            rf"{_ASK}(?:transfer|connect|put|pass|hand|switch|forward|redirect|escalate|send|refer)(?: me| us| this chat| this call| this| my call)(?: over| through| on| back)?(?: to| with| on to) {_ARTICLE}{_WHO}(?: {_MANNERS})*(?: {_MATTER})?",
            rf"(?:please )?(?:(?:i|we) )?(?:just |really |only )?(?:want|need|demand|prefer|give me|get me|find me|bring me|i'd like|would like|i would like|id like|where is|where's|is there)(?: to (?:get|have|see|reach))? {_ARTICLE}(?:humans?|real person|person|agents?|representatives?|reps?|operators?|live (?:chat|support|agent)|supervisor|manager|human being|someone real|customer (?:service|care|support))(?: {_MANNERS})*(?: (?:to help me|to talk to|to speak to|to speak with|to talk with|i can (?:talk|speak) (?:to|with)|i could (?:talk|speak) (?:to|with)))?",
            rf"(?:{_MANNERS} )*(?:(?:real|live|actual|human|customer service|customer support|customer care|service|support) )*(?:human(?: being)?s?|agents?|representatives?|reps?|operators?|real person|live person|customer (?:service|care|support)|live (?:chat|support)|supervisor|manager)(?: {_MANNERS})*",
            rf"{_ASK}(?:help|assistance|support|an answer|answers) (?:from|by) {_ARTICLE}{_WHO}(?: {_MANNERS})*",
            r"(?:is there |are there )(?:someone|somebody|anyone|anybody|a (?:real )?(?:human|person|agent)) (?:real |else |there )?(?:i|we) (?:can|could) (?:talk|speak|chat) (?:to|with)(?: about.*)?",
            r"(?:please )?(?:i )?(?:do not|don't|dont|no longer|never|stop)(?: want| like| wish)?(?: to)?(?: talk| speak| chat| deal|ing)?(?:ing)?(?: to| with)? ?(?:a |an |the |this |you |these )*(?:ro)?(?:bots?|robots?|machines?|automated (?:replies|system|messages)|ai)(?: please| anymore)*",
            r"(?:no |not |enough )(?:more )?(?:of )?(?:this |with |a |the )?(?:bots?|robots?|machines?)(?: please)?(?: (?:i want|give me|human|a human|a person).*)?",
        )
    )
)

_YES = re.compile(
    r"(?:是的?|对[的了啊呀]?|没错|嗯+|好[的啊]?|可以|行|正是|就是(?:这个|它|这个意思)?|就(?:这个|它)|正确|是这个|对就是这个|是啊|当然|确实"
    r"|yes|yeah|yep|yup|right|correct|exactly|ok|okay|sure|that one|that's it|that is it|thats it|that's right|that's the one|this one|indeed|of course|it is|i do|i did|y)"
)
_NO = re.compile(
    r"(?:(?:不是|不对|(?:哪个|哪一?个|几个|这些|以上)?都不是|都不对|没有|没有一个|没有我要的|没有我想问的|以上都不是|以上都不对|全都不是|都没有|一个都不是|不是这些|不是这个|都不行|算了吧?|不问了|都不太对|都不太是|不|否|错了|没有合适的|不是的|都不符合|不用了)[的了啊呀]*"
    r"|(?:no|nope|nah|none(?: of (?:these|them|those|the above|the options|your options))?|neither(?: of (?:these|them|those|the two))?|not (?:these|those|this|any of (?:these|them|those)|really|that|quite)|no one|nothing|"
    r"none apply|none fits?|none match(?:es)?|n|no none|no neither|not at all|never ?mind|forget it|wrong|incorrect|something else))"
)
_POLITE = re.compile(
    r"(?:谢谢(?:你|您)?|多谢|感谢|麻烦了?|拜托了?|请|吧|哦|呢|啊|呀|thanks?(?: you)?(?: a lot| so much| very much)?|thank you(?: very much| so much)?|please|cheers|thx)"
)
_DIGITS = {one: at for at, one in enumerate("零一二三四五六七八九十")} | {
    "两": 2,
    "壹": 1,
    "贰": 2,
    "叁": 3,
    "肆": 4,
    "伍": 5,
}
_WORDS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "1st": 1,
    "2nd": 2,
    "3rd": 3,
    "4th": 4,
    "5th": 5,
    "former": 1,
    "a": 1,
    "b": 2,
    "c": 3,
    "i": 1,
    "ii": 2,
    "iii": 3,
}
_NUMBER_ZH = re.compile(
    r"(?:我|那|就|要|想|应该|大概|可能|是|问|问的|说|说的|指|指的|的|选择?|点|回复|答案|编号|序号|选项|问题|应该是|就是|第)*"
    r"(?P<first>\d{1,3}|[零一二两三四五六七八九十壹贰叁肆伍]|最后|倒数第[一二两三四五1-5]|前面|后面|最?上面|最?下面|最前|最?中间|头|前|后)(?:号|项|条|种|个|一个|者|样|点|题|那个|那条|这个|的|选项|问题|一?条|一?项)*"
    r"(?:和|跟|与|或|还是|[、,/ 和])?(?P<second>\d{1,3}|[一二两三四五])?(?:号|项|条|种|个|的)*"
)
_NUMBER_EN = re.compile(
    r"(?:(?:i|i'd|i'll|it's|its|it|is|mean|meant|want|would|will|like|choose|pick|take|think|say|said|go|with|for|option|number|no|choice|question|answer|the|my|one about|select|probably|maybe|that|was|am|asking|about) )*"
    r"#?(?P<first>\d{1,3}|one|two|three|four|five|first|second|third|fourth|fifth|1st|2nd|3rd|4th|5th|former|latter|last|top|bottom|middle|a|b|c|i|ii|iii)"
    r"(?: (?:one|option|choice|question|answer|item))?(?:(?: (?:and|or|&) |[,/ ])(?:the )?(?P<second>\d{1,3}|one|two|three|first|second|third))?(?: (?:one|option|ones|in the list|on the list))*"
)
_BOTH = re.compile(
    r"(?:两个都是|都是|都要|全部|所有|都对|两个都要|三个都要|全都是|(?:哪个)?都行|(?:哪个)?都可以|随便|任意|两个|不知道|不清楚|不确定|什么意思|没看懂|不明白|再说一[遍次]|你说什么|什么|any|whatever|either one|what|huh|pardon|sorry|i (?:do not|don't) (?:know|understand)|not sure|(?:can you )?repeat(?: that)?|both|all|all of (?:them|these)|both of (?:them|these)|either)"
)
_ABOUT = re.compile(
    r"^(?:我(?:想|要)?(?:问|说|选|指)?的?(?:是|就是)?|就是|应该是|选择?|是|(?:the )?(?:one|question) (?:about|on|with|for)|i (?:mean|meant|want)(?: the (?:one|question))?(?: about)?|about|the) ?"
    r"|(?:的)?(?:那个|这个|那条|问题|那一?个|一?个)$|(?:的)$| (?:one|question|option)$"
)


def courtesy(text: str) -> Courtesy | None:
    """Return what kind of courtesy a text is, if it is nothing else.

    >>> courtesy("你好！"), courtesy("Thanks a lot, bye!"), courtesy("谢谢，再问一下退货怎么办")
    ('greeting', 'goodbye', None)
    """
    if _PLEASED.fullmatch(text.strip()):
        return "thanks"
    kinds = [_courtesy(clause) for clause in _clauses(text)]
    if not kinds or None in kinds:
        return None
    return next(kind for kind in _ORDER if kind in kinds)


def question_in(text: str) -> str:
    """Return a text without the courtesies before and after what it asks; all of it where it is nothing but them.

    >>> question_in("谢谢，再问一下退货怎么办"), question_in("Hello! How do I return it? Thanks.")
    ('再问一下退货怎么办', 'How do I return it?')
    """
    ends = [found.span() for found in _CLAUSE.finditer(text)]
    starts = [0, *(end for _, end in ends)]
    stops = [*(end for _, end in ends), len(text)]
    parts = [text[start:stop] for start, stop in zip(starts, stops, strict=True)]
    kept = [part for part in parts if part.strip()]
    while kept and _courtesy(plain(kept[0])):
        kept.pop(0)
    while kept and _courtesy(plain(kept[-1])):
        kept.pop()
    rest = "".join(kept).strip()
    if not rest:
        return text
    return _BEFORE.sub("", rest).strip() or rest


def wants_person(text: str) -> bool:
    """Return whether someone asks to be put through to a person.

    >>> wants_person("转人工"), wants_person("X 是人工智能吗？"), wants_person("I want to talk to a human about my bill")
    (True, False, True)
    """
    whole = plain(text)
    if _asks_person(whole):
        return True
    return any(_asks_person(clause) for clause in _clauses(text))


def chosen(text: str, options: Sequence[str]) -> int | Literal["none", "unclear"] | str | None:
    """Return which of the offered questions is meant by what was said after "which one?".

    Returns:
        the option's place from 0; "none" where none of them was meant; "unclear" where the words choose, yet not one of these;
        a text where something else was asked ("不是，怎么退货" gives "怎么退货"); None where nothing was said about the options.

    >>> chosen("第二个", ["怎么退货", "怎么换货"]), chosen("是的，谢谢", ["怎么退货"]), chosen("neither", ["a", "b"]), chosen("9", ["a"])
    (1, 0, 'none', 'unclear')
    """
    if len(text) > LONGEST:
        return None
    whole = re.sub(rf"(?<=[{HAN}])\s+|\s+(?=[{HAN}])", "", plain(text.replace("#", " ")))
    reply = _bare(whole)
    by_name = {plain(option): at for at, option in enumerate(options)}
    if plain(text) in by_name:
        return by_name[plain(text)]
    if _NO.fullmatch(reply):
        return "none"
    if _YES.fullmatch(reply):
        return 0
    if _BOTH.fullmatch(reply):
        return 0 if len(options) == 1 else "unclear"
    number = _number(reply, len(options))
    if number is None:
        number = _without(text, len(options))
    if number is not None:
        return number if isinstance(number, int) and 0 <= number < len(options) else "unclear"
    clauses = _clauses(text)
    if len(clauses) > 1:
        first, rest = _bare(clauses[0]), _behind(text, clauses[0])
        if _NO.fullmatch(first):
            return rest
        if _YES.fullmatch(first) or _courtesy(clauses[0]):
            after = chosen(rest, options)
            return after if after is not None else rest
    return _quoted(whole, options)


def _asks_person(sentence: str) -> bool:
    if len(sentence) > LONGEST:
        return False
    return bool(_PERSON.fullmatch(sentence.replace(" ", "")) or _PERSON_EN.fullmatch(sentence))


def _clauses(text: str) -> list[str]:
    return [clause for part in _CLAUSE.split(unicodedata.normalize("NFKC", text)) if (clause := _words(part))]


def _behind(text: str, first: str) -> str:
    """Return what stands behind the first clause, in the text's own characters where they show where it ends."""
    for whole in (text, unicodedata.normalize("NFKC", text)):
        start = 0
        for end in _CLAUSE.finditer(whole):
            clause = _words(whole[start : end.start()])
            if clause == first:
                return whole[end.end() :].strip()
            if clause:
                break
            start = end.end()
    return ""


def _words(part: str) -> str:
    return plain(part) if re.search(r"\w", part) else ""


def _courtesy(clause: str) -> Courtesy | None:
    """Return what kind of courtesy a clause is: one of them, or several in a row ("thank you so much bye")."""
    if len(clause) > LONGEST:
        return None
    sentence = plain(clause)
    for form in (sentence, sentence.replace(" ", "")):
        for kind, pattern in _COURTESY.items():
            if pattern.fullmatch(form):
                return kind
    kinds: list[Courtesy] = []
    while sentence:
        # The longest courtesy that ends with a word, and then the next.
        ends = [
            at
            for at in range(len(sentence), 0, -1)
            if at == len(sentence) or sentence[at] == " " or has_han(sentence[at - 1])
        ]
        found = next(
            ((kind, at) for at in ends for kind, pattern in _COURTESY.items() if pattern.fullmatch(sentence, 0, at)),
            None,
        )
        if found is None:
            return None
        kinds.append(found[0])
        sentence = sentence[found[1] :].strip()
    return next((kind for kind in _ORDER if kind in kinds), None)


def _bare(reply: str) -> str:
    """Return an answer without "please", "thanks" and particles at its ends."""
    before = None
    while reply != before:
        before = reply
        reply = re.sub(rf"^{_POLITE.pattern}\s*|\s*{_POLITE.pattern}$", "", reply).strip() or reply
    return reply


def _number(reply: str, count: int) -> int | str | None:
    reply = re.sub(r"^(?:no|nr)\.\s*(?=\d)", "", reply)
    reply = re.sub(rf"^{_YES.pattern}(?: (?=\S)|(?=[第选\d]))", "", reply)
    for pattern in (_NUMBER_ZH, _NUMBER_EN):
        if found := pattern.fullmatch(reply):
            if found["second"]:
                return "several"
            word = found["first"]
            if word in ("最后", "后", "后面", "下面", "最下面", "latter", "last", "bottom"):
                return count - 1
            if word.startswith("倒数"):
                return count - (_DIGITS[word[-1]] if word[-1] in _DIGITS else int(word[-1]))
            if word in ("前", "前面", "上面", "最上面", "最前", "头", "top"):
                return 0
            if word in ("middle", "中间", "最中间"):
                return count // 2 if count % 2 else "none"
            value = _DIGITS.get(word, _WORDS.get(word, int(word) if word.isdigit() else 0))
            return value - 1
    return None


def _without(text: str, count: int) -> int | str | None:
    """Return the place that is left when what was refused by its number is left out: "not the first, the second"."""
    refused: set[int] = set()
    wanted: set[int | str] = set()
    for clause in _clauses(re.sub(r"[,，;；]", ". ", text)):
        reply = _bare(clause)
        rest = _REFUSED.sub("", reply)
        place = _number(rest, count)
        if place is None:
            return None
        if rest == reply:
            wanted.add(place)
        elif isinstance(place, int):
            refused.add(place)
    left = wanted or set(range(count)) - refused
    return left.pop() if refused and len(left) == 1 else "several" if refused else None


_REFUSED = re.compile(r"^(?:而?不(?:是|要|选)|别选|(?:and |but |i do |i )?not )")


def _quoted(reply: str, options: Sequence[str]) -> int | None:
    """Return the one option that what was said is a part of, or shares nearly all of its words with."""
    before = None
    while reply != before:
        before = reply
        reply = _ABOUT.sub("", _bare(reply)).strip()
    least = 2 if has_han(reply) else 3
    if len(reply) < least:
        return None
    forms = [plain(option).replace(" ", "") for option in options]
    inside = [at for at, form in enumerate(forms) if reply.replace(" ", "") in form]
    if len(inside) == 1:
        return inside[0]
    mine = set(tokens(reply)) - _COMMON
    shares = [len(mine & set(tokens(option))) / len(mine) if mine else 0.0 for option in options]
    best = max(shares)
    return shares.index(best) if best >= 0.8 and shares.count(best) == 1 else None


_COMMON = frozenset(
    ["the", "a", "an", "to", "of", "in", "on", "for", "i", "my", "do", "is", "it", "how", "what", "can"]
)
