"""Words of Chinese and English by what they do in an attempt to undo, reveal or replace a model's instructions.

A class is one letter, so that a sentence becomes a short string of classes and a rule (`marks`) a pattern over that string.
Order matters where a word stands twice: the first class keeps it.
"""

from __future__ import annotations

CLASSES: dict[str, tuple[str, str]] = {
    "U": (
        "ignore ignoring disregard disregarding forget forgetting override overriding overrule bypass bypassing circumvent "
        "circumventing discard discarding neglect evade supersede supersedes nullify disobey violate violating defy unlearn "
        "ditch overwrite sidestep scrap waive overrules outranks replaces overrides",
        "忽略 无视 忽视 忘记 忘掉 忘却 忘了 抛开 抛弃 丢弃 丢掉 舍弃 摒弃 撇开 不理会 别理会 别理 不用理会 不用管 不要管 不必管 别管 推翻 绕过 绕开 突破 "
        "违反 违背 打破 规避 摆脱 挣脱 跳出 抛诸脑后 置之不理 不予理会 不顾 不遵守 别遵守 不听从 不要听 别听 取代 不用听 不用再听 优先于 凌驾于 当没看见 不必遵守 无需遵守 不再遵守 停止遵守",
    ),
    "V": (
        "skip reset erase clear delete remove lift disable disabling deactivate suspend drop abandon dismiss cancel break "
        "breaking breaks replace wipe off unlock ignored relax loosen void change rewrite modify escape",
        "覆盖 清空 清除 清零 解除 关闭 关掉 取消 废除 屏蔽 重置 删除 删掉 跳过 放弃 停用 停止 撤销 改写 修改 解锁 禁用 移除 去掉 逃脱 撤掉 放下 卸下 替换 抹去",
    ),
    "p": ("prompt", "提示词 提示语 预设 人设 预置提示 开场设定"),
    "N": (
        "instructions instruction prompts directives directive guardrails guardrail safeguards programming preprompt preamble "
        "systemprompt configuration",
        "指令 指示 提示 设定 准则 守则 训令 配置",
    ),
    "n": (
        "rules rule policy policies restrictions restriction limitations limitation limits constraints constraint filters filter "
        "ethics morals moral ethical boundaries censorship moderation guidelines guideline guidance principles alignment morality "
        "consequences inhibitions scruples safety regulations protocols protocol laws",
        "规则 规定 规矩 限制 约束 过滤器 过滤 审查 道德 底线 原则 伦理 顾虑 管控 指导 护栏 禁令 禁忌 封锁 枷锁 政策 法律",
    ),
    "o": (
        "orders order commands command directions training standards controls mechanisms checks",
        "要求 命令 吩咐 口令 安全 检查 机制 策略 条款 框架 防护",
    ),
    "c": ("content censor privacy", "内容 隐私 敏感 敏感词 风控 合规"),
    "a": ("above foregoing aforementioned", "以上 上面 上述 上文 前文 前述"),
    "E": (
        "previous prior earlier preceding initial original former existing previously beforehand initially originally before "
        "starting beginning default past",
        "之前 先前 前面 此前 以前 原来 原先 原本 最初 一开始 起初 开头 初始 原始 既有 已有 既定 早先 默认 原有 出厂 过去",
    ),
    "S": (
        "hidden secret internal confidential underlying private undisclosed concealed",
        "隐藏 内部 机密 秘密 底层 后台 幕后 保密 内置",
    ),
    "s": ("system", "系统"),
    "u": (
        "developer operator operators creator creators maker makers developers openai provider",
        "开发者 开发人员 运营方 运营者 开发商 厂商 创造者 开发公司 提供方",
    ),
    "Q": (
        "all any every everything anything whatever entire each whole",
        "所有 全部 一切 任何 每一 通通 统统 全都 完整 全文 种种",
    ),
    "Y": ("you your yours yourself you're you've u ur thy thee", "你 您"),
    "A": (
        "ai assistant chatbot llm llms chatgpt gpt claude gemini deepseek qwen model models bot robot assistants agent agents",
        "助手 人工智能 模型 大模型 语言模型 机器人 聊天机器人 智能体 客服",
    ),
    "q": ("tell told tells", "告诉 告知"),
    "T": (
        "instructed configured commanded briefed",
        "灌输 交代 叮嘱",
    ),
    "v": ("taught programmed trained given preprogrammed", "教 训练 收到 接到"),
    "w": ("said wrote written", "说 说过 讲过 写 写过 听到 听过 提到"),
    "z": ("disabled lifted suspended deactivated removed bypassed", ""),
    "k": ("exist exists apply applies count counts matter hold", ""),
    "R": (
        "reveal revealing print output display disclose leak recite dump expose quote divulge regurgitate echo verbatim "
        "repeat exfiltrate",
        "说出 泄露 泄漏 透露 输出 打印 复述 公开 原样 导出 交出 吐露 披露 背诵 逐字 默写 重复 回显 曝光 和盘托出",
    ),
    "r": (
        "show give write share copy list translate summarize summarise describe read say state provide paste return encode "
        "spell rephrase paraphrase send what what's whats which see know convert type recall complete explain see enumerate",
        "显示 展示 写出 给我 列出 列一下 翻译 总结 概括 念 贴 发 抄 说说 讲 描述 什么 哪些 看看 看到 知道 复制 粘贴 转换 解释 编码 说一遍 倒过来 拼出 写成 查看",
    ),
    "D": ("sudo god unsafe evil unfiltered-mode opposite chaos", "上帝 无限制 无约束 不设限 超级用户"),
    "m": (
        "dev debug debugging admin maintenance root diagnostic test override",
        "调试 维护 管理员 诊断 测试 超级 最高",
    ),
    "d": ("dan", ""),
    "M": ("mode modes", "模式"),
    "e": (
        "enable enabled activate activated enter entering switch turn engage initiate unlock boot",
        "进入 开启 打开 启用 切换 激活 启动 转入",
    ),
    "F": (
        "jailbroken jailbreak unrestricted uncensored unfiltered unconstrained amoral unethical unshackled limitless uninhibited boundless unmoderated "
        "immoral unbound untethered",
        "越狱 不受限 无底线 无道德 不受约束 不受限制 不受控制 无审查 毫无保留 邪恶 自由不羁 无所不能",
    ),
    "W": (
        "without no zero lacking devoid",
        "没有 不要有 别有 不带有 不受 不带 无 无需 不再 不必 不用 毫无 不管 没了 不讲 不考虑 不在乎",
    ),
    "L": ("longer", ""),
    "O": (
        "not don't dont stop never cease cannot can't isn't aren't won't quit mustn't shouldn't",
        "不要 别 不能 不得 不会 不可以 不许 绝不 永不 从不 停下 不准",
    ),
    "C": ("follow following obey comply adhere abide observe respect", "遵守 遵循 服从 听从 遵照 理会 执行 按照 按 照"),
    "G": (
        "refuse decline apologize apologise refusing refusal refusals disclaimers disclaimer warn lecture",
        "拒绝 推辞 婉拒 道歉 免责声明 警告 说不",
    ),
    "H": (
        "bound limited restricted constrained governed subject obligated shackled confined restrained",
        "受限 受制 受控",
    ),
    "P": (
        "suppose supposing hypothetically playing answers act acting pretend pretending roleplay role-play imagine simulate behave emulate impersonate play embody respond answer "
        "reply become assume acts speak",
        "扮演 饰演 演 假装 装作 假设 想象 设想 模拟 当作 充当 变成 化身 就当 当成 回答 回复 成为 假如 如果 模仿 装成 当",
    ),
    "b": ("are is be am being was were now", "是 就是 现在是 变为 叫 名叫"),
    "K": ("new real true actual only updated", "新 真正 唯一 全新 最新 真实 接下来 如下 现在"),
    "j": (
        "task tasks assignment role goal goals mission purpose objective job persona personality character",
        "任务 角色 身份 目标 使命 职责 人格 性格",
    ),
    "t": (
        "text words word messages message conversation context line lines sentence sentences paragraph chat content dialogue input "
        "discussion session history",
        "文字 对话 话 消息 信息 文本 上下文 聊天记录 记录 句子 句话 段落 这一行 一行 这句话 对话记录 聊天 会话 原话",
    ),
    "Z": (
        "aside nonexistent invalid obsolete cancelled canceled null outdated expired superseded overridden revoked irrelevant gone",
        "放一边 放到一边 放在一边 搁一边 扔一边 抛到脑后 过时 过期 不适用 不存在 作废 失效 无效 不算数 不算 不再有效 不再适用 不再生效 不生效 已取消 废止 作罢 不作数 终止",
    ),
    "x": (
        "forward upload post email transmit transfer submit leaked append fetch",
        "发送 转发 上传 提交 发到 发给 发往 寄到 外发 附上 附在 传到 传给",
    ),
    "y": (
        "credentials passwords secrets keys tokens password database key api-key secret-key cookies addresses emails contacts",
        "密码 密钥 凭证 凭据 数据库 令牌 邮箱 通讯录 联系人 客户名单 用户名单 客户资料 客户数据 用户数据",
    ),
    "f": ("decode decipher decrypt unscramble deobfuscate", "解码 解密 破译 还原"),
    "g": ("grandma grandmother granny", "奶奶 外婆 姥姥 祖母"),
    "h": ("how", "怎么 如何 怎样 为什么 咋"),
}
"""Letter -> its English and its Chinese words.

Verbs: U undo, V switch off (weak), R reveal, r tell (weak), q tell, T told by its operator, v taught, w said, k apply, P play a part or answer, C obey, G refuse, e enable,
x send away, f decode, b be. Things: p prompt, N instructions, n rules, o orders, c content, t text, j task, y secrets, A the model, M mode,
g grandmother. Properties: a above, E earlier, S hidden, s of the system, Q all, D and m names of modes, d DAN, F unrestricted, H bound,
K new, Z void, z lifted. People: u who runs the model. Particles: Y you, W without, L longer (no longer), O not, h how."""

KEYS = "UpRDFGZHdfgMTaSNnjuzLA"
"""Classes one of which a rule that weighs enough by itself holds: a text without them is done with."""

COMMON = frozenset(
    [
        "cancelled",
        "canceled",
        "expired",
        "过期",
        "终止",
        "display",
        "公开",
        "bound",
        "limited",
        "subject",
        "agent",
        "agents",
        "assistant",
        "assistants",
        "客服",
        "助手",
    ]
)
"""Words of those classes that customers say every day: they count, but call for no closer look."""

PARTICLES = "的了着地得在到把将请也都就还吧呢啊吗呀嘛和与及或被让给从对向跟之于"
"""Chinese characters that stand between words without counting as distance."""

SIMPLIFIED: dict[str, str] = {
    "無": "无",
    "視": "视",
    "記": "记",
    "拋": "抛",
    "開": "开",
    "丟": "丢",
    "棄": "弃",
    "捨": "舍",
    "擯": "摈",
    "會": "会",
    "別": "别",
    "聽": "听",
    "從": "从",
    "繞": "绕",
    "違": "违",
    "擺": "摆",
    "脫": "脱",
    "顧": "顾",
    "過": "过",
    "濾": "滤",
    "蓋": "盖",
    "廢": "废",
    "刪": "删",
    "銷": "销",
    "寫": "写",
    "鎖": "锁",
    "詞": "词",
    "語": "语",
    "設": "设",
    "員": "员",
    "規": "规",
    "則": "则",
    "訓": "训",
    "統": "统",
    "範": "范",
    "約": "约",
    "審": "审",
    "機": "机",
    "倫": "伦",
    "慮": "虑",
    "護": "护",
    "欄": "栏",
    "邊": "边",
    "內": "内",
    "風": "风",
    "險": "险",
    "隱": "隐",
    "後": "后",
    "臺": "台",
    "運": "运",
    "營": "营",
    "發": "发",
    "這": "这",
    "個": "个",
    "樣": "样",
    "實": "实",
    "際": "际",
    "終": "终",
    "數": "数",
    "據": "据",
    "庫": "库",
    "碼": "码",
    "鑰": "钥",
    "憑": "凭",
    "證": "证",
    "錄": "录",
    "對": "对",
    "話": "话",
    "資": "资",
    "訊": "讯",
    "號": "号",
    "轉": "转",
    "換": "换",
    "譯": "译",
    "總": "总",
    "結": "结",
    "複": "复",
    "製": "制",
    "貼": "贴",
    "顯": "显",
    "說": "说",
    "講": "讲",
    "給": "给",
    "讓": "让",
    "當": "当",
    "裝": "装",
    "變": "变",
    "擬": "拟",
    "應": "应",
    "該": "该",
    "執": "执",
    "獄": "狱",
    "題": "题",
    "嗎": "吗",
    "還": "还",
    "復": "复",
    "來": "来",
    "爲": "为",
    "為": "为",
    "條": "条",
    "層": "层",
    "認": "认",
    "與": "与",
    "權": "权",
    "點": "点",
    "問": "问",
    "輸": "输",
    "檢": "检",
    "測": "测",
    "試": "试",
    "調": "调",
    "啟": "启",
    "啓": "启",
    "閉": "闭",
    "動": "动",
    "導": "导",
    "義": "义",
    "務": "务",
    "標": "标",
    "責": "责",
    "於": "于",
    "嚴": "严",
    "關": "关",
    "絕": "绝",
    "時": "时",
    "們": "们",
    "單": "单",
    "戶": "户",
    "團": "团",
    "隊": "队",
    "輯": "辑",
    "編": "编",
    "幫": "帮",
    "麼": "么",
    "沒": "没",
    "須": "须",
    "準": "准",
    "遠": "远",
    "間": "间",
    "現": "现",
}
"""Traditional character -> simplified one, of the words above and of the phrases in `marks`."""
