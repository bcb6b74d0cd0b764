// The chat widget: <script src="https://desk.example/v1/apps/support/widget.js" data-language="zh" defer></script>
// Everything that is shown was typed or told as text and is put in as text; nothing is ever read as HTML.
(() => {
  "use strict";
  const script = document.currentScript;
  const base = new URL(script.src).origin + "/v1/apps/support";
  const language = (script.dataset.language || document.documentElement.lang || navigator.language || "en").toLowerCase().startsWith("zh") ? "zh" : "en";
  const words = {
    zh: { open: "联系客服", title: "客服", close: "关闭", label: "请输入消息", send: "发送", hello: "您好！请问有什么可以帮您？", source: "出自：", right: "有帮助",
      wrong: "没帮助", thanks: "谢谢反馈。", failed: "发送失败，点此重试", person: "人工客服", waiting: "已转人工，请稍候。", typing: "正在回复…" },
    en: { open: "Chat with us", title: "Customer service", close: "Close", label: "Write a message", send: "Send", hello: "Hello! What can we do for you?", source: "From: ",
      right: "Helpful", wrong: "Not helpful", thanks: "Thank you.", failed: "Not sent. Try again", person: "Person", waiting: "A person will answer here.", typing: "Replying…" },
  }[language];
  const key = `noria-widget ${base}`;
  const kept = (() => { try { return JSON.parse(localStorage.getItem(key)) || {}; } catch { return {}; } })();
  const keep = () => { try { localStorage.setItem(key, JSON.stringify(kept)); } catch { /* private mode: this page alone */ } };
  kept.conversation ||= `w-${crypto.randomUUID()}`;

  const host = document.createElement("div");
  host.id = "noria-widget";
  const root = host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = `
    :host { all: initial; --paper: #fff; --ink: #15343c; --soft: #57707a; --line: #d9e0e0; --main: #12748c; --on: #fff; --foam: #e6f2f3; }
    @media (prefers-color-scheme: dark) { :host { --paper: #17252b; --ink: #e2edef; --soft: #9db3ba; --line: #2c4048; --main: #58bcd4; --on: #10212a; --foam: #1d343b; } }
    * { box-sizing: border-box; font: 15px/1.5 system-ui, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; }
    button { cursor: pointer; border: 0; border-radius: 10px; background: none; color: inherit; padding: 6px 10px; }
    button:focus-visible, textarea:focus-visible, .log:focus-visible { outline: 3px solid var(--main); outline-offset: 1px; }
    .open { position: fixed; right: 20px; bottom: 20px; z-index: 2147483000; background: var(--main); color: var(--on); border-radius: 999px; padding: 12px 20px;
      box-shadow: 0 6px 24px rgba(0,0,0,.22); font-weight: 600; }
    .panel { position: fixed; right: 20px; bottom: 20px; z-index: 2147483000; width: 380px; height: min(600px, calc(100vh - 40px)); display: flex; flex-direction: column;
      background: var(--paper); color: var(--ink); border: 1px solid var(--line); border-radius: 16px; box-shadow: 0 12px 48px rgba(0,0,0,.28); overflow: hidden; }
    [hidden] { display: none !important; }
    header { display: flex; justify-content: space-between; align-items: center; padding: 10px 10px 10px 16px; border-bottom: 1px solid var(--line); }
    header b { font-weight: 650; }
    .log { flex: 1; overflow-y: auto; padding: 14px; display: flex; flex-direction: column; gap: 10px; }
    .said { max-width: 86%; padding: 9px 13px; border-radius: 14px; white-space: pre-wrap; overflow-wrap: anywhere; }
    .said.user { align-self: flex-end; background: var(--main); color: var(--on); } .said.assistant, .said.person { align-self: flex-start; background: var(--foam); }
    .said.failed { opacity: .6; cursor: pointer; } .said a { color: inherit; }
    .said[aria-busy] { color: var(--soft); animation: late .3s; } @keyframes late { from, 99% { opacity: 0; } }
    .why { display: flex; flex-wrap: wrap; gap: 4px 8px; margin-top: 6px; font-size: 13px; color: var(--soft); align-items: center; } .why * { font-size: 13px; }
    .why button { border: 1px solid var(--line); padding: 2px 9px; }
    form { display: flex; gap: 8px; padding: 10px; border-top: 1px solid var(--line); }
    textarea { flex: 1; min-width: 0; resize: none; height: 44px; padding: 9px 11px; border: 1px solid var(--line); border-radius: 10px; background: var(--paper); color: var(--ink); }
    form button { background: var(--main); color: var(--on); font-weight: 600; padding: 6px 14px; }
    @media (max-width: 480px) { .panel { right: 0; bottom: 0; width: 100vw; height: 100dvh; border: 0; border-radius: 0; } }`;
  const make = (tag, more = {}, ...inside) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(more)) name in made ? (made[name] = value) : made.setAttribute(name, value);
    made.append(...inside);
    return made;
  };
  const log = make("div", { className: "log", role: "log", "aria-live": "polite", tabIndex: 0 });
  const entry = make("textarea", { maxLength: 8000, "aria-label": words.label, placeholder: words.label });
  const form = make("form", {}, entry, make("button", { type: "submit", textContent: words.send }));
  const close = make("button", { type: "button", textContent: "✕", "aria-label": words.close });
  const panel = make("div", { className: "panel", role: "dialog", "aria-label": words.title, hidden: true },
    make("header", {}, make("b", { textContent: words.title }), close), log, form);
  const open = make("button", { className: "open", type: "button", textContent: words.open, "aria-expanded": "false" });
  root.append(style, open, panel);
  const seen = new Set();
  let last = 0, listening = false, busy = Promise.resolve();

  const authorised = async (path, options = {}, again = true) => {
    if (!kept.token) {
      const made = await fetch(`${base}/visitors`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
      if (!made.ok) throw new Error((await made.json()).error.message);
      kept.token = (await made.json()).token;
      keep();
    }
    const headers = { authorization: `Bearer ${kept.token}`, "content-type": "application/json" };
    const answer = await fetch(path.startsWith("/v1") ? base.replace("/v1/apps/support", "") + path : base + path, { ...options, headers });
    if (answer.status === 401 && again) {  // an old token: the conversation was another visitor's by now
      delete kept.token;
      return authorised(path, options, false);
    }
    return answer;
  };
  const post = (path, body) => authorised(path, { method: "POST", body: JSON.stringify(body) });

  const show = (role, text, author = "") => {
    const bubble = make("div", { className: `said ${role}` }, text);
    if (role === "person") bubble.append(make("div", { className: "why", textContent: author || words.person }));
    log.append(bubble);
    log.scrollTop = log.scrollHeight;
    return bubble;
  };
  const link = (bubble, address) => {
    const node = [...bubble.childNodes].find((one) => one.nodeType === Node.TEXT_NODE && one.data.includes(address));
    if (!node || !/^https?:\/\//.test(address)) return;
    const shown = node.splitText(node.data.indexOf(address));
    shown.splitText(address.length);
    shown.replaceWith(make("a", { href: address, target: "_blank", rel: "noopener noreferrer", textContent: address }));
  };
  const foot = (bubble, reply) => {
    const why = make("div", { className: "why" });
    const sources = reply.sources || [];
    // A quotation's words say where they are from, in every channel; here the address among them may be opened.
    const addresses = sources.filter((one) => one.text && one.link).map((one) => one.link);
    for (const address of addresses.sort((one, other) => other.length - one.length)) link(bubble, address);
    const titles = sources.filter((one) => !one.text).map((one) => one.title).join("; ");
    if (titles) why.append(make("span", { textContent: words.source + titles }));
    if (reply.action === "answer" && reply.id) {
      for (const [name, right] of [["right", true], ["wrong", false]]) {
        const button = make("button", { type: "button", textContent: words[name] });
        button.onclick = async () => {
          await post("/v1/feedback", { request: reply.id, right });
          why.querySelectorAll("button").forEach((one) => one.remove());
          why.append(make("span", { textContent: words.thanks }));
        };
        why.append(button);
      }
    }
    if (why.childNodes.length) bubble.append(why);
    log.scrollTop = log.scrollHeight;
  };

  const read = async (answer, bubble) => {
    const reader = answer.body.getReader(), decoder = new TextDecoder();
    let rest = "", text = "", reply = null;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += decoder.decode(value, { stream: true });
      const lines = rest.split("\n\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line === "data: [DONE]") continue;
        const chunk = JSON.parse(line.slice(6));
        if (chunk.error) throw new Error(chunk.error.message);
        text += chunk.choices[0].delta.content || "";
        if (text) {
          bubble.firstChild.data = text;
          bubble.removeAttribute("aria-busy");
        }
        if (chunk.message) seen.add(chunk.message);
        reply = chunk.reply || reply;
        log.scrollTop = log.scrollHeight;
      }
    }
    return reply;
  };
  const send = (text, id, mine) => (busy = busy.then(() => exchange(text, id, mine)));
  const exchange = async (text, id, mine) => {
    mine.classList.remove("failed");
    mine.onclick = null;
    mine.title = "";
    const bubble = show("assistant", words.typing);
    bubble.setAttribute("aria-busy", "true");
    try {
      const answer = await post("/messages", { conversation: kept.conversation, message_id: id, text, stream: true });
      if (!answer.ok) throw new Error((await answer.json()).error.message);
      const reply = await read(answer, bubble);
      if (!reply) throw new Error("cut short");
      if (!reply.text) bubble.remove();
      seen.add(reply.message).add(reply.number);
      foot(bubble, reply);
      listen();
    } catch (error) {
      bubble.remove();
      mine.classList.add("failed");
      mine.title = words.failed;
      mine.onclick = () => send(text, id, mine);  // the same id: it is the same message, and kept once
    }
  };
  // What comes later, a person's reply too; also what was said before this page was opened.
  const listen = async () => {
    if (listening) return;
    listening = true;
    let wait = 0, pause = 1000;
    while (!panel.hidden) {
      try {
        const answer = await authorised(`/conversations/${kept.conversation}/messages?after=${last}&wait=${wait}`);
        if (answer.status === 404) break;
        if (!answer.ok) throw new Error(String(answer.status));
        const told = await answer.json();
        await busy;  // what is being sent is shown already, and its numbers are known when its reply is whole
        for (const one of told.messages) {
          if (seen.has(one.number)) continue;
          seen.add(one.number);
          if (one.text) foot(show(one.role, one.text, one.author), { sources: one.sources });
        }
        last = told.after;
        wait = 25;
        pause = 1000;
      } catch {
        await new Promise((done) => setTimeout(done, (pause = Math.min(2 * pause, 30000))));
      }
    }
    listening = false;
  };

  form.onsubmit = (event) => {
    event.preventDefault();
    const text = entry.value.trim();
    if (!text) return;
    entry.value = "";
    send(text, crypto.randomUUID(), show("user", text));
  };
  entry.onkeydown = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
  };
  const toggle = (on) => {
    panel.hidden = !on;
    open.hidden = on;
    open.setAttribute("aria-expanded", String(on));
    if (on) { entry.focus(); listen(); } else open.focus();
  };
  open.onclick = () => toggle(true);
  close.onclick = () => toggle(false);
  panel.onkeydown = (event) => { if (event.key === "Escape") toggle(false); };
  show("assistant", words.hello);
  keep();
  const place = () => document.body.append(host);
  document.body ? place() : addEventListener("DOMContentLoaded", place);
})();
