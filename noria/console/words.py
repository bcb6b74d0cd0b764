"""Every word of the console, in English and Chinese."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from .phrases import PATTERNS, PHRASES

Language = Literal["en", "zh"]
LANGUAGES: dict[str, str] = {"en": "English", "zh": "中文"}
"""Code -> the name by which its own speakers look for it."""


class Both(NamedTuple):
    """One text in both languages; `{name}` stands for a value."""

    en: str
    zh: str


WORDS: dict[str, Both] = {
    # the frame
    "app.short": Both("build · ship · grow", "构建 · 上线 · 增长"),
    "app.lead": Both("Build a model, ship it, grow on its use.", "构建模型，上线应用，随使用而增长。"),
    "app.menu": Both("Menu", "菜单"),
    "app.close": Both("Close the menu", "关闭菜单"),
    "app.working": Both("Counting, one moment …", "正在统计，请稍候……"),
    "app.logout": Both("Sign out", "退出登录"),
    "login.title": Both("Sign in", "登录"),
    "login.key": Both("Server key", "服务密钥"),
    "login.submit": Both("Sign in", "登录"),
    "login.hint": Both(
        "Keys of administrators open the console. Make one with", "管理员密钥可以打开控制台。生成密钥："
    ),
    "login.wrong": Both("This key does not open the console.", "此密钥无法打开控制台。"),
    "login.used": Both(
        "This link was used before or is too old. Sign in with a key.", "此链接已使用过或已过期，请用密钥登录。"
    ),
    "login.foreign": Both(
        "The request came from another site. A proxy in between has to send X-Forwarded-Host, and its address "
        "has to be among those of --forwarded-allow-ips.",
        "请求来自其他网站。如果中间有代理，代理须发送 X-Forwarded-Host，且其地址须列在 --forwarded-allow-ips 中。",
    ),
    "empty.run": Both("This fills it:", "运行以下命令即可："),
    # wings
    "wing.build": Both("Build", "构建"),
    "wing.ship": Both("Ship", "上线"),
    "wing.grow": Both("Grow", "增长"),
    "wing.build.lead": Both("From raw text to an evaluated model", "从原始文本到评测过的模型"),
    "wing.ship.lead": Both("From a model to products people use", "从模型到有人使用的产品"),
    "wing.grow.lead": Both("From use and market to the next turn of the wheel", "从使用与市场数据到下一圈"),
    # figures
    "figure.interval": Both("{level} interval {interval}", "{level} 区间 {interval}"),
    "figure.exact": Both("exact count", "精确计数"),
    "figure.source": Both("Source: ", "来源："),
    "figure.baseline": Both("Baseline {value}", "基线 {value}"),
    "figure.colon": Both(": ", "："),
    "figure.ahead": Both("ahead of it", "优于基线"),
    "figure.behind": Both("the baseline wins", "基线更优"),
    "figure.level": Both("within the interval", "在区间之内"),
    # overview
    "overview.title": Both("Overview", "总览"),
    "overview.lead": Both(
        "What is built is shipped, what is shipped is used, and the use turns the wheel again.",
        "构建的模型上线使用，使用中的数据推动水车再转一圈。",
    ),
    "overview.picture": Both("A water wheel with three wings: build, ship, grow", "水车的三个环节：构建、上线、增长"),
    "overview.empty": Both("The wheel has not turned yet.", "水车还没有转动。"),
    "overview.nothing": Both("No figures yet.", "暂无数据。"),
    "overview.ledger": Both("Ledger of this run", "本次运行台账"),
    "overview.figures": Both("all figures ({count})", "全部数据（{count} 项）"),
    "overview.seconds": Both("{seconds} s", "{seconds} 秒"),
    "stage.corpus": Both("Corpus", "语料"),
    "stage.pretrain": Both("Pretraining", "预训练"),
    "stage.base": Both("Base model", "基座模型"),
    "stage.sentiment": Both("Sentiment", "情感分类微调"),
    "stage.entities": Both("Named entities", "命名实体微调"),
    "stage.compress": Both("Compression", "压缩"),
    "stage.ship": Both("Service", "上线服务"),
    "stage.grow": Both("Growth", "增长分析"),
    # models
    "models.title": Both("Models", "模型"),
    "models.lead": Both(
        "Every model with its evidence: held-out metrics beside a baseline, learning curves, certificate and lineage.",
        "每个模型都附有依据：与基线并列的留出集指标、学习曲线、证书与来历。",
    ),
    "models.empty": Both("No model has been built yet.", "尚未构建任何模型。"),
    "models.card": Both("Model card", "模型卡"),
    "models.task": Both("Task", "任务"),
    "models.labels": Both("Labels", "标签"),
    "models.base": Both("Base model", "基座模型"),
    "models.licence": Both("Licence", "许可"),
    "models.parameters": Both("Parameters", "参数量"),
    "models.max_length": Both("Longest text, tokens", "最长文本（词元）"),
    "models.size": Both("Size on disk", "占用空间"),
    "models.speed": Both("Training speed", "训练速度"),
    "models.identity": Both("Identity (SHA-256)", "标识（SHA-256）"),
    "models.created": Both("Made on", "生成时间"),
    "models.curves": Both("Learning curves", "学习曲线"),
    "models.step": Both("training step", "训练步"),
    "models.sample": Both("A sample of what it writes", "续写样例"),
    "models.certificate": Both("Certificate", "证书"),
    "models.granted": Both("granted", "已通过"),
    "models.refused": Both("refused", "未通过"),
    "models.lineage": Both("Made from", "来历"),
    "models.source": Both("Source", "来源"),
    "models.sha": Both("SHA-256", "SHA-256"),
    # playground
    "playground.title": Both("Playground", "试用"),
    "playground.lead": Both(
        "Give a served model a text and see what it makes of it.", "把一段文本交给在线模型，看看结果。"
    ),
    "playground.empty": Both("No model is being served.", "当前没有在线模型。"),
    "playground.classify": Both("Classify", "分类"),
    "playground.tag": Both("Tag names", "实体标注"),
    "playground.complete": Both("Complete", "续写"),
    "playground.classify.go": Both("Classify", "分类"),
    "playground.tag.go": Both("Tag", "标注"),
    "playground.complete.go": Both("Write on", "续写"),
    "playground.text": Both("Text", "文本"),
    "playground.model": Both("Model", "模型"),
    "playground.input": Both("Your text", "输入文本"),
    "playground.result": Both("Result", "结果"),
    "playground.waiting": Both("The answer appears here.", "结果显示在这里。"),
    "playground.calibrated": Both(
        "Probabilities of this one text; how often they are right is on the page Models.",
        "这是单条文本的概率；整体准确程度见“模型”页。",
    ),
    "playground.no_spans": Both("No names found in this text.", "文本中没有找到实体。"),
    "playground.writing": Both("Writing …", "正在续写……"),
    "playground.written": Both("{tokens} tokens written.", "已续写 {tokens} 个词元。"),
    # support
    "support.title": Both("Customer service", "智能客服"),
    "support.lead": Both(
        "Answers from the FAQ when sure, asks to confirm when in doubt, and hands over to a person when it does not know.",
        "有把握时按常见问题作答，拿不准时请您确认，不知道时转人工。",
    ),
    "support.empty": Both("The customer service application is not running.", "智能客服应用没有运行。"),
    "support.ask": Both("Ask a question about Noria", "请输入关于 Noria 的问题"),
    "support.send": Both("Send", "发送"),
    "support.try": Both("Or try one of these", "也可以试试这些问题"),
    "support.hello": Both("Hello. What would you like to know about Noria?", "您好！想了解 Noria 的哪些方面？"),
    "support.answer": Both("answered", "直接回答"),
    "support.confirm": Both("please confirm", "请您确认"),
    "support.handover": Both("handed over to a person", "转人工"),
    "support.courtesy": Both("small talk", "寒暄"),
    "support.confidence": Both("confidence {value}", "置信度 {value}"),
    "support.no": Both("No", "不是"),
    "support.right": Both("Helpful", "有帮助"),
    "support.wrong": Both("Not helpful", "没帮助"),
    "support.thanks": Both("Noted, thank you.", "已记录，谢谢。"),
    "support.measured": Both("How it was measured", "评测结果"),
    # monitor
    "monitor.title": Both("Opinion monitoring", "舆情监测"),
    "monitor.lead": Both(
        "Sentiment of a stream of reviews by topic, and an alert when negatives surge, with the texts behind it.",
        "按话题统计评论情感随时间的变化；负面激增时发出预警，并附上相关原文。",
    ),
    "monitor.empty": Both("No window of texts has closed yet.", "还没有结束的监测窗口。"),
    "monitor.simulated": Both("replay, simulated clock", "回放，模拟时钟"),
    "monitor.chart": Both("Share of negative texts by topic", "各话题负面占比"),
    "monitor.negative": Both("negative, %", "负面占比（%）"),
    "monitor.topic": Both("Topic", "话题"),
    "monitor.all": Both("All topics", "全部话题"),
    "monitor.alerts": Both("Alerts", "预警"),
    "monitor.no_alerts": Both("No alert has been raised.", "没有预警。"),
    "monitor.by_topic": Both("Share of negatives by topic", "各话题负面占比（合计）"),
    "monitor.source": Both("judged by the model {model}", "由模型 {model} 判定"),
    "monitor.alert": Both(
        "{negative} of {total} texts negative ({share}); {before} in the {windows} windows before.",
        "{total} 条中有 {negative} 条负面（{share}）；此前 {windows} 个时间窗为 {before}。",
    ),
    "monitor.exact": Both(
        "Exact test: p = {p}, alarm below {threshold}.", "精确检验：p = {p}，低于 {threshold} 即预警。"
    ),
    "monitor.more": Both("and {count} more", "另有 {count} 条"),
    "monitor.texts": Both("Texts behind it", "相关原文"),
    # recommend
    "recommend.title": Both("Recommendations", "个性化推荐"),
    "recommend.lead": Both(
        "Articles near to what a reader opened before. The readers here are simulated.",
        "按读者看过的文章推荐相近内容。此处的读者为模拟读者。",
    ),
    "recommend.empty": Both("The recommendation application is not running.", "推荐应用没有运行。"),
    "recommend.no_items": Both(
        "The application runs, but has no items yet: start it with a file of them, or add some by POST /v1/apps/recommend/items.",
        "应用正在运行，但还没有条目：请在启动时指定条目文件，或用 POST /v1/apps/recommend/items 添加。",
    ),
    "recommend.reader": Both("Simulated reader", "模拟读者"),
    "recommend.simulated": Both("simulated", "模拟"),
    "recommend.get": Both("Recommend", "推荐"),
    "recommend.open": Both("Open", "打开"),
    "recommend.opened": Both("opened", "已打开"),
    "recommend.score": Both("nearness {value}", "相近度 {value}"),
    "recommend.rate": Both("clicks per showing {value}", "点击率 {value}"),
    "recommend.why.taste": Both("by taste", "按兴趣"),
    "recommend.why.popular": Both("popular", "热门"),
    "recommend.why.chance": Both("by chance", "随机探索"),
    "recommend.why.again": Both("once more", "再次推荐"),
    "recommend.waiting": Both("{count} articles are waiting.", "共有 {count} 篇文章待推荐。"),
    "recommend.nothing_left": Both("This reader has bought everything.", "这位读者已购买全部条目。"),
    "recommend.history": Both("Opened so far", "已打开的文章"),
    "recommend.none": Both("Nothing opened yet.", "尚未打开文章。"),
    "recommend.offered": Both("Recommended now", "当前推荐"),
    # status
    "status.title": Both("Server", "服务状态"),
    "status.lead": Both(
        "What the running server does now: its models, its routes, its keys, and what the guard found.",
        "运行中服务的实时情况：模型、接口、密钥，以及安全检查的结果。",
    ),
    "status.server": Both("Server", "服务"),
    "status.ready": Both("ready", "就绪"),
    "status.starting": Both("starting", "启动中"),
    "status.stopping": Both("stopping", "停止中"),
    "status.stopped": Both("stopped", "已停止"),
    "status.down": Both("down", "不可用"),
    "status.in_flight": Both("Requests being answered", "正在处理的请求"),
    "status.waiting": Both("Events not sealed yet", "尚未封存的事件"),
    "status.lake": Both("Lake", "事件湖"),
    "status.models": Both("Models", "模型"),
    "status.model": Both("Model", "模型"),
    "status.task": Both("Task", "任务"),
    "status.engine": Both("Engine", "引擎"),
    "status.state": Both("State", "状态"),
    "status.queue": Both("Queue", "队列"),
    "status.restarts": Both("Restarts", "重启次数"),
    "status.version": Both("Version", "版本"),
    "status.routes": Both("Routes", "接口"),
    "status.route": Both("Route", "接口"),
    "status.requests": Both("Requests", "请求"),
    "status.refused": Both("Refused", "拒绝"),
    "status.failed": Both("Failed", "失败"),
    "status.half": Both("Half within", "半数耗时"),
    "status.nearly": Both("99 % within", "99% 耗时"),
    "status.source": Both(
        "Exact counts since the server started; times are bounds of the histogram that /metrics tells.",
        "自服务启动以来的精确计数；耗时为监控指标直方图的区间上界。",
    ),
    "status.keys": Both("Keys", "密钥"),
    "status.name": Both("Name", "名称"),
    "status.id": Both("Id", "编号"),
    "status.role": Both("Role", "角色"),
    "status.admin": Both("administrator", "管理员"),
    "status.client": Both("client", "客户"),
    "status.works": Both("works", "有效"),
    "status.revoked": Both("revoked", "已吊销"),
    "status.expired": Both("expired", "已过期"),
    "status.tokens": Both("Tokens today", "今日词元"),
    "status.guard": Both("Guard", "安全检查"),
    "status.rule": Both("Rule", "规则"),
    "status.side": Both("Side", "方向"),
    "status.action": Both("Done", "处理"),
    "status.times": Both("Times", "次数"),
    "status.input": Both("came in", "输入"),
    "status.output": Both("went out", "输出"),
    "status.count": Both("counted", "计数"),
    "status.mask": Both("masked", "遮盖"),
    "status.block": Both("blocked", "拦截"),
    "status.none": Both("Nothing yet.", "暂无。"),
    # users
    "users.title": Both("Users", "用户增长"),
    "users.lead": Both("Who is active, who came, who left, and who came back.", "谁在活跃、谁新来、谁流失、谁回流。"),
    "users.empty": Both("No use has been recorded yet.", "尚无使用记录。"),
    "users.server": Both("This server", "本服务"),
    "users.purchases": Both("CDNOW purchases", "CDNOW 购买记录"),
    "users.accounting": Both("Growth accounting", "增长核算"),
    "users.retained": Both("retained", "留存"),
    "users.resurrected": Both("back again", "回流"),
    "users.new": Both("new", "新增"),
    "users.churned": Both("left", "流失"),
    "users.users": Both("users", "用户数"),
    "users.reconciles": Both(
        "Reconciled: active = active before + new + back again − left, in all {count} periods.",
        "核对无误：全部 {count} 个周期均满足 活跃 = 上期活跃 + 新增 + 回流 − 流失。",
    ),
    "users.broken": Both("Not reconciled in {count} periods:", "有 {count} 个周期核对不上："),
    "users.span": Both("From {first} to {last}.", "{first} 至 {last}。"),
    "users.use": Both("Use of this server", "本服务的使用情况"),
    "users.events": Both("{events} events, {requests} requests", "{events} 个事件，{requests} 个请求"),
    "users.by_app": Both("Share of applications", "各应用占比"),
    "users.by_model": Both("Share of models", "各模型占比"),
    "users.latency": Both("Latency", "延迟"),
    "users.lifetime": Both("Forecast of later purchases, held to account", "后续购买预测与实际对照"),
    "users.lifetime.lead": Both(
        "A BG/NBD model saw the log until {until} and forecast the next {weeks} weeks.",
        "BG/NBD 模型只看到 {until} 之前的记录，预测其后 {weeks} 周。",
    ),
    "users.habits": Both("Habits, needs and worth", "习惯、需求与价值"),
    "users.habits.lead": Both(
        "From the first act to money, how use spreads over users, what they ask for, and how long they stay.",
        "从首次活动到付费、使用在用户间的分布、用户的需求，以及停留多久。",
    ),
    "users.step.acquisition": Both("acquisition", "获取"),
    "users.step.activation": Both("activation", "激活"),
    "users.step.retention": Both("retention", "留存"),
    "users.step.referral": Both("referral", "推荐"),
    "users.step.revenue": Both("revenue", "收入"),
    "users.silent": Both("Not measured: {what}", "未测量：{what}"),
    "users.retention": Both("Retention triangle", "留存三角"),
    "users.cohorts.day": Both(
        "Each line is the users who came on one day; each column, how many of them were active so many days later.",
        "每行是同一天新来的用户，每列是若干天后仍活跃的比例。",
    ),
    "users.cohorts.week": Both(
        "Each line is the users who came in one week; each column, how many of them were active so many weeks later.",
        "每行是同一周新来的用户，每列是若干周后仍活跃的比例。",
    ),
    "users.cohorts.month": Both(
        "Each line is the users who came in one month; each column, how many of them were active so many months later.",
        "每行是同一月新来的用户，每列是若干月后仍活跃的比例。",
    ),
    "users.cohort": Both("Cohort", "首次"),
    # market
    "market.title": Both("Market", "市场份额"),
    "market.lead": Both(
        "Share and concentration of the market, and a forecast that was tested on the past.",
        "市场份额与集中度，以及经过历史回测的预测。",
    ),
    "market.share": Both("Share of the market, and ahead", "市场份额及预测"),
    "market.percent": Both("share, %", "份额（%）"),
    "market.forecast": Both("Forecast", "预测"),
    "market.forecast.lead": Both(
        "Shares in {horizon} months by the model that did best on the past: {model}. Every draw sums to one.",
        "{horizon} 个月后的份额，由历史回测中表现最好的模型给出：{model}。每次抽样的份额之和均为 1。",
    ),
    "market.concentration": Both("Concentration (HHI)", "集中度（HHI）"),
    "market.backtest": Both("Back-test", "历史回测"),
    "market.backtest.foot": Both(
        "Each model saw only what came before its origin. Energy score and CRPS (in points of share) and MASE: lower is better. Inside 90%: "
        "part of the outcomes within the intervals.",
        "各模型只看到起点之前的数据。能量得分、CRPS（份额百分点）与 MASE 越低越好；“90% 区间内”为结果落在区间内的比例。",
    ),
    "market.flags": Both("What to know about these figures ({count})", "关于这些数据的说明（{count} 条）"),
    # promotion
    "promote.title": Both("Promotion", "推广"),
    "promote.lead": Both(
        "Whom to address, where the money goes, and how it will be measured.", "触达谁、钱花在哪里，以及如何衡量。"
    ),
    "promote.size": Both("How large must an experiment be?", "实验需要多少用户？"),
    "promote.base": Both("Rate now, %", "当前比率（%）"),
    "promote.lift": Both("Change worth finding, % of it", "值得发现的相对变化（%）"),
    "promote.a_day": Both("Users a day", "每日用户"),
    "promote.served": Both("Clicks on what this server showed", "本服务展示内容的点击率"),
    "promote.plan": Both("Promotion plan", "推广计划"),
    "promote.example": Both(
        "This is a simulated example: no figure below is of your users. Name your own files in the run's folder, in",
        "以下为模拟示例，均非您的用户数据。请在运行文件夹中写明自己的数据文件：",
    ),
}


class Words:
    """The words in one language: `words("models.title")`, `words("overview.seconds", seconds=3)`."""

    def __init__(self, language: str) -> None:
        self.language: Language = "zh" if language == "zh" else "en"
        self.html_language = "zh-CN" if self.language == "zh" else "en"

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key.

        Raises:
            KeyError: there is no such key.
        """
        return str(getattr(WORDS[key], self.language)).format(**values)

    def phrase(self, text: str) -> str:
        """Return a name or note that came with a result, in this language where it is known, else as it is."""
        return _phrase(text, self.language)


def _phrase(text: str, language: Language) -> str:
    text = text.replace("_", " ")
    known = PHRASES.get(text)
    if known:
        return known[0] if language == "en" else known[1]
    if language == "zh":
        for pattern, chinese in PATTERNS:
            match = re.fullmatch(pattern, text)
            if match:
                return chinese.format(*(_phrase(part, language) for part in match.groups()))
    return text


def language_of(accepted: str) -> Language:
    """Return the language that a browser's Accept-Language header asks for: Chinese or, failing that, English.

    >>> language_of("zh-CN,zh;q=0.9,en;q=0.8"), language_of("fr"), language_of("en-GB,zh;q=0.5")
    ('zh', 'en', 'en')
    """
    first = accepted.split(",")[0].split(";")[0].strip().lower()
    return "zh" if first.startswith("zh") else "en"
