"""Marks of prompt injection in Chinese and English: words that try to undo, reveal or replace a model's instructions.

They find what is said openly. An attack that is paraphrased, encoded or spread over turns passes them: they are a first
sieve beside a classifier, and no promise.
"""

from __future__ import annotations

import re

_EN_INSTRUCTIONS = r"(?:instructions?|prompts?|rules|directions|directives|guidelines|guardrails|orders|constraints|policies|polic(?:y|ies))"
_EN_EARLIER = r"(?:previous|prior|above|earlier|preceding|initial|original|former|system|existing|current|your|my|all|any|every|the|those|these|of|safety|content)"
_ZH_UNDO = r"(?:忽略|无视|忘记|忘掉|抛开|丢弃|不要理会|别理会|不用管|不要管|别管|不再遵守|不必遵守|不要遵守|停止遵守|跳过|推翻|覆盖)"
_ZH_EARLIER = r"(?:以上|上面|上述|之前|先前|前面|此前|原来|原先|一开始|最初|所有|全部|一切|任何|你的|系统|设定好?|给你|收到|已有|的|安全)"
_ZH_INSTRUCTIONS = r"(?:指令|指示|提示词?|规则|要求|设定|命令|约束|限制|准则|规定|说明|内容|对话)"

MARKS: dict[str, re.Pattern[str]] = {
    "override": re.compile(
        rf"\b(?:ignore|disregard|forget|override|bypass|discard|overrule|skip|do not (?:follow|obey)|don't (?:follow|obey)|stop following)\s+"
        rf"(?:{_EN_EARLIER}\W+){{1,5}}(?:\w+\W+){{0,2}}?{_EN_INSTRUCTIONS}\b"
        r"|\b(?:ignore|disregard|forget)\s+(?:everything|all|anything)\s+(?:(?:that|which)\s+)?(?:(?:you\s+(?:were|have been|are)\s+told|i (?:said|told you)|i've said)|(?:above|before|previously|prior|so far))\b"
        rf"|\b(?:ignore|disregard|forget)\s+(?:what|everything|all|anything)\b[^.!?\n]{{0,12}}\b(?:you (?:were|are|have been|had been) (?:told|taught|given)|i (?:told|said))\b"
        rf"|\b(?:your|earlier|previous|prior|former)\s+(?:\w+\s+)?{_EN_INSTRUCTIONS}\s+(?:are (?:void|cancelled|null|no longer)|no longer|do not|don't)\b"
        r"|\byour (?:new|real|true|actual|only) (?:instructions?|tasks?|goals?|rules?|mission|purpose|orders?)\s+(?:is|are|as follows|now)\b"
        r"|\bstop being (?:an?|the)\b[^.!?\n]{0,30}\b(?:bot|assistant|model|agent|ai)\b"
        r"|(?:忘记|忘掉|忽略|无视)[^。！？\n]{0,10}(?:告诉|教|要求|规定)你的"
        r"|你(?:之前|先前|原来|以前|现在|现有|收到)?的[^，。！？\n]{0,4}(?:指令|设定|规则|规定|准则|要求)(?:都|已经?|全部|统统)?(?:不再(?:有效|适用|生效)|不算数?|作废|无效|失效|取消)"
        r"|(?:推翻|抛弃|放弃|违反|违背|打破|不要遵守|别遵守|不用遵守)(?:掉|了)?(?:你|给你|所有|一切|安全|道德|运营方)[^，。！？\n]{0,8}(?:指令|规则|规定|设定|准则|限制|约束)"
        r"|你(?:新|真正|唯一|现在)的(?:任务|指令|目标|身份|使命|角色)(?:是|如下|变成|[:：])|别(?:再)?当(?:客服|助手|机器人|人工智能)"
        rf"|{_ZH_UNDO}(?:掉|了)?{_ZH_EARLIER}{{1,6}}[^，。！？\n]{{0,4}}?{_ZH_INSTRUCTIONS}"
        rf"|(?:以上|上面|上述|之前|先前|前面)(?:的)?(?:所有|全部|一切)?(?:的)?{_ZH_INSTRUCTIONS}(?:全部|统统|都|已经?)?(?:作废|无效|失效|取消|不算)"
        rf"|(?:把|将)[^，。！？\n]{{0,8}}{_ZH_INSTRUCTIONS}(?:全部|统统|都)?(?:忘掉|忘记|抛开|丢掉|忽略|清空)",
        re.I,
    ),
    "reveal": re.compile(
        r"\b(?:reveal|show|print|repeat|output|display|tell|give|disclose|leak|recite|write out|dump|share|expose|quote)\b(?:\s+(?:me|us|out|back))?\W+"
        r"(?:\w+\W+){0,4}?(?:(?:system|initial|hidden|original|secret|internal|starting|developer)\s+(?:prompts?|instructions?|messages?|rules|directives)|your (?:own )?(?:prompt|instructions))\b"
        r"|\b(?:what (?:are|were|is)|what's) (?:your|the) (?:\w+ )?(?:system |initial |hidden |original |secret |internal )(?:prompt|instructions?|message)"
        r"|\byour (?:own )?(?:system|hidden|secret|initial|internal|underlying|confidential) (?:prompts?|instructions?|rules|configuration|directives|messages?)\b"
        r"|\b(?:instructions?|configuration|rules|prompt|text|words?) (?:that )?(?:you (?:were|have been) (?:given|told|trained with)|(?:was|were) (?:written|given|placed) (?:above|before))\b"
        r"|\b(?:everything|all|text|lines?|words?|messages?)\b[^.!?\n]{0,20}\b(?:above|before) (?:this|the) (?:line|conversation|message|text|chat|sentence)\b"
        r"|\byou(?:'ve| were| have been)? (?:been )?told (?:not )?to (?:keep|hide|say|reveal|share)\b|\b(?:were|are) you (?:told|asked|instructed) (?:not )?to (?:keep|hide|say|reveal|share)\b"
        r"|\b(?:repeat|print|output) (?:everything|all|the (?:text|words?)) (?:above|before)"
        r"|(?:显示|输出|告诉我|说出|重复|泄露|透露|打印|复述|公开|展示|写出|给我看|原样返回|交出)[^，。！？\n]{0,10}?(?:系统提示词?|系统指令|系统消息|初始指令|初始提示词?|隐藏指令|隐藏的?提示|内部指令|内部规则|原始提示词?|原始指令|开发者指令|你的(?:提示词|指令|设定|规则))"
        r"|[你您]的(?:系统(?:提示词?|指令|设定|消息)|隐藏(?:的)?(?:指令|提示词?|规则)|内部(?:的)?(?:规则|指令|提示词?)|初始(?:指令|设定|提示词?)|底层(?:指令|设定)|原始(?:指令|设定))"
        r"|(?:打印|导出|列出|公开|泄露|输出)[^，。！？\n]{0,4}你的(?:配置|提示词?|指令|规则|设定|记忆)|你的(?:配置|提示词?|指令|设定|记忆)[^，。！？\n]{0,4}(?:打印|导出|列出|公开|输出|发)(?:出来|给我)"
        r"|(?:这段?对话|这一行|这句话|这条消息|本条消息)[^，。！？\n]{0,4}(?:之前|以上|上面|前面)的?[^，。！？\n]{0,6}(?:文字|内容|话|信息)|(?:让|叫|要求|规定)你(?:保密|隐瞒|不(?:要|能|准)(?:说|透露))"
        r"|(?:系统提示词?|初始指令|初始提示词?|隐藏指令|内部指令|原始指令)[^，。！？\n]{0,6}(?:是什么|有哪些|发给我|发出来|告诉我|念一遍|写出来|贴出来)"
        r"|(?:重复|复述|输出|打印)(?:一遍)?(?:以上|上面|上述)(?:的)?(?:所有|全部|每一个)?(?:的)?(?:内容|文字|对话)",
        re.I,
    ),
    "persona": re.compile(
        r"\b(?:you are|you're|act|behave|respond|pretend)\b[^.!?\n]{0,40}\b(?:unrestricted|uncensored|unfiltered|jailbroken|without (?:any |all )?(?:restrictions?|rules|limits|limitations|filters?|censorship|morals?|ethics|guidelines)|no (?:restrictions|rules|limits|limitations|filters|ethics|guidelines)|not bound by)"
        r"|\b(?:answer|respond|reply|write|speak|tell|act|behave)\b[^.!?\n]{0,40}\b(?:without (?:any )?(?:moral|ethic|safety|restriction|filter|censor|limitation)\w*|as if (?:you had no|your|there were no)\b[^.!?\n]{0,20}\b(?:guidelines|rules|restrictions|limits|filters|policies))"
        r"|\b(?:not|n't|no longer|never) (?:be )?(?:bound|limited|restricted|constrained) by (?:your|any|the|its|these)\b|\bjailbroken\b"
        r"|\bdo anything now\b|\b(?:DAN|developer|debug|god|jailbreak|sudo|admin(?:istrator)?) mode\b(?:[^.!?\n]{0,20}\b(?:enabled?|activated?|on)\b)"
        r"|\b(?:enable|activate|enter|switch (?:in)?to|turn on)\W+(?:\w+\W+){0,2}?(?:DAN|developer|debug|god|jailbreak|sudo) mode\b"
        r"|\bfrom now on,? you (?:are|will|must|have)\b[^.!?\n]{0,60}\b(?:DAN|no (?:rules|restrictions|limits|filter)|unrestricted|evil|never refuse)"
        r"|你(?:现在)?(?:是|叫|扮演|变成)\s?DAN\b|越狱(?:的|后的|版|状态)?(?:模型|助手|人工智能|AI|机器人)|你(?:已经?)?(?:拥有|获得|具有|享有)(?:了)?(?:最高|全部|所有|管理员|超级|root)\s?权限"
        r"|(?:当作?|假装|假设|就当)[^。！？\n]{0,8}(?:准则|规则|限制|约束|规定|审查)(?:都|全部)?(?:不存在|没有了|失效|取消)|没有[^，。！？\n]{0,6}(?:约束|限制)你"
        r"|(?:不要有?|没有|不带|无需|抛开|放下)(?:任何|一切|所有)?(?:的)?(?:道德|伦理|安全|法律)(?:上的|方面的)?(?:约束|限制|顾虑|底线|准则)"
        r"|(?:你现在是|你是|扮演|假装|装作|从现在(?:开始|起))[^。！？\n]{0,30}(?:没有(?:任何|一切)?(?:限制|约束|规则|道德|审查|底线)|不受(?:任何|一切)?[^，。！？\n]{0,6}(?:限制|约束|审查|管控)|无(?:限制|审查|道德)|不(?:会|能|得)拒绝)"
        r"|(?:进入|开启|打开|启用|切换到|激活)[^，。！？\n]{0,4}(?:开发者|越狱|上帝|调试|无限制|管理员|DAN)\s?模式"
        r"|(?:绕过|突破|解除|关闭|取消)[^，。！？\n]{0,6}(?:安全|内容|道德|审查|伦理|敏感)[^，。！？\n]{0,4}(?:限制|审查|过滤|机制|策略|检查|约束)",
        re.I,
    ),
    "forged": re.compile(
        r"<\|(?:im_start|im_end|system|user|assistant|begin|end|endoftext|eot_id|start_header_id)\|>|\[/?INST\]|<</?SYS>>"
        r"|(?:^|\n)\s*(?:#{2,}\s*)?(?:system|assistant|系统|助手)\s*(?:prompt|message|override|提示|消息|指令)?\s*[:：]\s*\S|(?:^|\n)\s*#{2,}\s*(?:new )?(?:instructions?|指令)\s*[:：]\s*\S"
        r"|\bBEGIN (?:NEW )?(?:SYSTEM )?(?:PROMPT|INSTRUCTIONS)\b|\bEND OF (?:SYSTEM )?(?:PROMPT|INSTRUCTIONS)\b|(?:新的?系统(?:提示|指令)|系统指令更新|系统升级)\s*[:：]",
        re.I,
    ),
}  # fmt: skip
"""Kind of mark -> its pattern."""
