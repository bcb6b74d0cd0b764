"""Which column of a table holds what: the one table of the names that people and programs give columns, in Chinese and English.

COLUMNS["rows"]["label"]                                  # "category|class|intent|...|意图", by what kind of table and which part of a row
columns_among("rows", "text", ["客户消息", "意图"])         # ["客户消息"]

Names stand in small letters, between bars, as `bare_name` leaves them; those that are meant most surely first, and behind two
bars those that count only where no surer one is there. What one kind of table calls a user, another calls a user too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from noria.core.errors import InputError, did_you_mean
from noria.core.messages import Message, catalogue, joined, message

from .headings import bare_name

_USER = (
    "user|user id|uid|userid|用户id|用户|用户编号|用户名|用户标识|用户账号|customer id|customer|customerid|cust id|client id|client|"
    "member id|member|account id|account|visitor id|visitor|player id|player|buyer id|buyer|subscriber id|subscriber|device id|openid|open id|"
    "会员id|会员|会员编号|会员号|会员卡号|客户id|客户|客户编号|客户号|客户名称|顾客|顾客id|买家|买家id|买家昵称|买家会员名|玩家|玩家id|账号|账户"
)
_CLOCK = (
    "time|timestamp|date time|datetime|ts|event time|event timestamp|created at|created time|create time|日期时间|时间|时间戳|"
    "下单时间|订单时间|支付时间|付款时间|交易时间|创建时间|发生时间|访问时间|登录时间|date|日期|下单日期|订单日期|交易日期|支付日期|"
    "order date|purchase date|transaction date|invoice date|event date"
)
_PERIOD = "day|日|period|month|月份|年月|月|week|周|quarter|季度|year|年份|年|期间|时期"
_AMOUNT = (
    "value|amount|revenue|金额|总金额|订单金额|支付金额|消费金额|实付金额|实付款|交易金额|销售额|成交额|成交金额|付款金额|收入|总额|"
    "total amount|amount paid|order amount|order total|order value|paid|spent|spend|payment|sales|total price|total|数值|值"
)
RATINGS = "rating|score|stars|overall|评分|打分|分数|星级"
_BRAND = (
    "entity|brand|company|vendor|maker|manufacturer|provider|competitor|品牌|公司|企业|厂商|厂家|商家|竞品|实体|主体"
)
_ID = "id|编号|序号"
_LANGUAGE = "language|lang|locale|语言|语种"
_QUESTION = "question|questions|query|prompt|问题|提问|问句|标准问题|标准问"
_ALIASES = "aliases|alias|别名|又名|简称"
_EXCEPT = "except|exclude|excluded|除外|排除"
_SAID = "客户消息|用户消息|客户留言|用户留言|客户问题|用户问题|用户提问|消息|消息内容|咨询|咨询内容|反馈|反馈内容|留言内容|评论内容|评价内容|评价|描述|问题描述"

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "rows": {  # of a task
        "text": "content|sentence|text1|sentence1|premise|review|comment|utterance|message|query|body|文本|内容|正文|句子|评论|问题|留言||"
        f"customer message|user message|message text|feedback|description|{_SAID}|工单内容|工单描述",
        "label": "category|class|intent|sentiment|tag|标签|类别|分类|情感|意图||"
        "intent name|label name|class name|category name|topic|客户意图|意图名称|意图分类|问题类型|问题分类|情感倾向|情绪|主题|类型",
        "labels": "categories|classes|intents|tags|标签|类别|分类||topics|主题|类型",
        "pair": "text2|text pair|sentence2|second|hypothesis|entity|文本2|第二句|实体",
        "tokens": "words|chars|characters|字|词",
        "tags": "ner tags|labels|bio|标注",
        "context": "passage|paragraph|document|文章|段落|原文|材料",
        "question": "query|问题|提问",
        "source": "src|original|document|article|原文|正文|文章",
        "target": "tgt|translation|summary|译文|翻译|摘要",
        "anchor": "query|question|text1|sentence1|问题|文本1",
        "positive": "answer|text2|sentence2|match|答案|回答|文本2",
        "negative": "wrong|负例",
    },
    "log": {  # of what users did, and series of a market
        "user": f"{_USER}|user name|username|customer name|姓名|昵称|手机号|手机|email|e mail|phone",
        "time": f"{_CLOCK}|{_PERIOD}",
        "value": _AMOUNT,
        "variant": "variant|group|arm|bucket|treatment|variation|experiment group|组别|分组|实验组|实验分组|组|版本",
        "outcome": "outcome|converted|conversion|result|是否转化|转化|结果|y",
        "entity": f"{_BRAND}|品牌名称|品牌名|product|product name|model|产品|产品名称|型号|模型|app|应用|name|名称|item|category|品类|类别",
        "segment": "segment|market|region|country|area|channel|市场|地区|区域|国家|省份|城市|渠道|细分|细分市场|分组",
        "measure": "measure|metric|indicator|variable|kpi|指标|指标名称|度量|口径",
        "unit": "unit|units|uom|unit of measure|单位|计量单位",
    },
    "deeds": {  # of what users did with items
        "user": f"{_USER}|reader|session id|session|访客|读者",
        "item": "item|item id|itemid|iid|product id|product|article id|article|sku|movie id|movieid|movie|book id|book|song id|content id|goods id|"
        "asin|isbn|parent asin|物品|物品id|商品|商品id|商品编号|条目|条目编号|文章|文章id|文章编号|编号|内容id|id",
        "time": f"{_CLOCK}|点击时间|行为时间",
        "kind": "kind|event|event type|action|behavior|behaviour|behavior type|behaviour type|type|行为|行为类型|事件|事件类型|动作|类型",
        "value": f"value|{RATINGS}|{_AMOUNT.removeprefix('value|')}|price|quantity|数量",
    },
    "items": {
        "id": "item id|item|product id|article id|movie id|book id|goods id|sku|编号|商品编号|商品id|物品编号|物品id|条目编号|文章编号",
        "title": "name|product name|headline|标题|名称|商品名称|品名|书名|片名",
        "text": "content|description|body|summary|内容|正文|描述|简介|详情",
        "tags": "tag|keywords|标签|关键词",
        "categories": "category|genres|genre|cate|类别|分类|品类|类目|频道|栏目",
        "price": "sale price|unit price|价格|售价|单价",
        "picture": "image|image url|picture path|cover|图片|主图|封面",
        "available": "in stock|stock|inventory|on sale|库存|在售|是否在售|是否上架",
        "time": "published|published at|publish time|created at|date|released|时间|发布时间|上架时间|日期",
    },
    "questions": {  # that assistants are asked
        "question": f"{_QUESTION}|text|题目",
        "id": _ID,
        "language": _LANGUAGE,
    },
    "brands": {
        "brand": f"{_BRAND.replace('entity|brand', 'brand|name|entity')}|品牌名称|品牌名|名称",
        "aliases": _ALIASES,
        "ambiguous": "ambiguous|歧义|多义",
        "except": _EXCEPT,
    },
    "names": {  # of people, organisations and products
        "name": f"name|名称|{_BRAND}|品牌名称",
        "kind": "kind|type|类型|类别",
        "aliases": _ALIASES,
        "excluded": _EXCEPT,
    },
    "faq": {
        "questions": f"{_QUESTION}|q|faq|title|标准问法|主问题|问",
        "paraphrases": "paraphrase|paraphrases|phrasings|similar|similar question|similar questions|alternative|alternatives|alternative question|"
        "alternative questions|variant|variants|utterance|utterances|相似问题|相似问法|相似问|相似问句|相似|近似问|近似问题|扩展问|扩展问题|其他问法|"
        "其它问法|其他问题|同义问|同义问题|同义问法",
        "test": "test|tests|test question|test questions|测试问题|测试",
        "answer": "answer|answers|a|response|reply|standard answer|答案|回答|回复|答复|解答|标准答案|答",
        "id": f"{_ID}|no|key|entry|条目",
        "language": _LANGUAGE,
        "asked": "asked|times|次数|提问次数",
        "when": "when|条件|适用条件",
        "accepted": "accepted|accept|approved|采纳|接受|通过|已采纳",
        "source": "source|来源",
    },
    "asked": {  # held-out questions of a desk
        "question": f"question|text|query|问题|问|提问|utterance|{_SAID}",
        "quote": "quote|quotation|引文|原文",
        "meant": "entry|id|label|intent|answer|条目|编号|答案|标签|意图|标准问题|标准问",
    },
    "dialogues": {
        "text": f"text|content|value|message|utterance|body|内容|文本|话语|{_SAID}",
        "speaker": "speaker|role|from|sender|author|who|角色|发送者|发言人|说话人|身份",
        "dialogue": "dialogue|dialog|conversation|session|conversation id|dialogue id|dialog id|session id|chat id|会话|会话id|对话|对话id|会话编号",
    },
    "documents": {
        "text": "text|content|body|正文|内容|文本",
        "title": "title|name|heading|标题|名称|题目",
        "link": "url|link|href|address|链接|网址",
        "id": _ID,
    },
}
"""Kind of table -> part of a row -> names of its column."""


def names_of(kind: str, part: str) -> list[str]:
    """Return all names of a column, those that are meant most surely first."""
    return [name for name in COLUMNS[kind][part].split("|") if name]


def columns_among(kind: str, part: str, header: Iterable[str]) -> list[str]:
    """Return the columns that plainly stand for a part of a row: those of the surer names, or, where there are none, of the others."""
    bare = {column: bare_name(column) for column in header}
    for surely in COLUMNS[kind].get(part, "").split("||"):
        known = {form for name in surely.split("|") for form in (name, name.replace(" ", ""))}
        if found := [column for column, name in bare.items() if name in known]:
            return found
    return []


def cell_of(kind: str, part: str, row: Mapping[str, object]) -> object:
    """Return what a row holds in the first of the columns of a part that is filled; None where none is.

    Args:
        kind: what kind of table.
        part: which part of a row.
        row: its keys as `bare_name` leaves them.
    """
    values = (row.get(form) for name in names_of(kind, part) for form in (name, name.replace(" ", "")))
    return next((value for value in values if value not in (None, "")), None)


def no_such_column(asked: str, header: Iterable[str]) -> InputError:
    """Return the error that a table has no column that was asked for: it names those that there are, and the nearest."""
    header = [name for name in header if name]
    return InputError(message("tasks.such_column"), found=asked, allowed=header, hint=did_you_mean(asked, header))


def as_it_should_be(parts: Iterable[str]) -> Message:
    """Return two valid lines of a table with such columns: the names, and a row.

    >>> as_it_should_be(["text", "label"])
    'such as the lines text,label and I want my money back,refund'
    """
    parts, known = list(parts), catalogue("en", "text")
    shown = [part if f"text.cell.{part}" in known else "other" for part in parts]
    row = joined("join.cells", [message(f"text.cell.{part}") for part in shown])
    return message("text.such_as", header=",".join(parts), row=row)
