// Characters chosen in a text that is labelled: by mouse, by finger, or by keys without an editable field, which input methods would fill.
window.noriaSpans = (() => {
  let chosen = [0, 0]; // code points, as the server counts them: kept when a button takes the selection away
  const box = () => document.querySelector("[data-spans]");
  const count = (text) => [...text].length;

  function offset(text, node, at) {
    const range = document.createRange();
    range.selectNodeContents(text);
    range.setEnd(node, at);
    return range.toString().length;
  }

  function place(text, at) {
    const walk = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    let left = at, node = text, next;
    while ((next = walk.nextNode())) {
      node = next;
      if (left <= node.length) return [node, left];
      left -= node.length;
    }
    return [node, node.length ?? 0];
  }

  // What is selected now: of a key that follows at once the event comes too late.
  function take() {
    const text = box(), found = getSelection();
    if (!text || !found.rangeCount || !text.contains(found.anchorNode) || !text.contains(found.focusNode)) return;
    const ends = [offset(text, found.anchorNode, found.anchorOffset), offset(text, found.focusNode, found.focusOffset)];
    chosen = ends.sort((one, other) => one - other).map((at) => count(text.textContent.slice(0, at)));
  }
  document.addEventListener("selectionchange", take);

  function borders(content, granularity) {
    const parts = new Intl.Segmenter(undefined, { granularity }).segment(content);
    return [...[...parts].map((one) => one.index), content.length];
  }

  function move(text, event) {
    const content = text.textContent, found = getSelection();
    const inside = found.rangeCount && text.contains(found.anchorNode) && text.contains(found.focusNode);
    let [from, to] = inside
      ? [offset(text, found.anchorNode, found.anchorOffset), offset(text, found.focusNode, found.focusOffset)]
      : [0, 0];
    const steps = borders(content, event.ctrlKey ? "word" : "grapheme");
    const next = (at) => steps.find((one) => one > at) ?? content.length;
    const before = (at) => steps.findLast((one) => one < at) ?? 0;
    const key = event.key;
    if (event.shiftKey) {
      to = { ArrowRight: () => next(to), ArrowLeft: () => before(to), Home: () => 0, End: () => content.length }[key]();
    } else if (key === "ArrowRight" || key === "End") {
      const at = key === "End" ? before(content.length) : Math.max(from, to);
      [from, to] = [at < content.length ? at : before(at), at < content.length ? next(at) : at];
    } else {
      const at = key === "Home" ? 0 : Math.min(from, to);
      [from, to] = at ? [before(at), at] : [0, next(0)];
    }
    found.setBaseAndExtent(...place(text, from), ...place(text, to));
  }

  return {
    chosen: () => chosen,
    // Forget what was chosen in the text before, and let keys go on from here.
    begin(at, focus) {
      chosen = [at, at];
      setTimeout(() => {
        const text = box();
        if (!text) return;
        if (focus && !document.activeElement?.closest("input, textarea")) text.focus({ preventScroll: true });
        const units = [...text.textContent].slice(0, at).join("").length;
        if (document.activeElement === text) getSelection().collapse(...place(text, units));
      }, 60); // once the page has drawn it
    },
    key(event, emit) {
      const text = event.currentTarget;
      if (event.isComposing || event.altKey || event.metaKey) return;
      if (/^(Arrow(Left|Right)|Home|End)$/.test(event.key)) move(text, event);
      else if (!event.ctrlKey && /^([0-9su]|Enter|Backspace|Delete)$/i.test(event.key)) {
        take();
        emit({ key: event.key.toLowerCase(), at: chosen });
      }
      else return;
      event.preventDefault();
      event.stopPropagation();
    },
  };
})();
