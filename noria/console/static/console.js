// What every page does by itself: counts of what waits for a person, a menu of long pages, and a drawer that Escape shuts.
const EVERY_MS = 15000, LONG = 2.2, LEAST = 4;

async function count() {
  if (document.hidden) return;
  let waiting;
  try {
    const answer = await fetch("/console/waiting", { headers: { accept: "application/json" }, redirect: "error" });
    if (!answer.ok) return;
    waiting = await answer.json();
  } catch {
    return; // the server is away: the counts stand as they were
  }
  for (const badge of document.querySelectorAll("[data-count]")) {
    const found = waiting[badge.dataset.count] || 0;
    badge.hidden = !found;
    badge.textContent = found;
  }
}

let shown = "";
function contents() {
  const menu = document.querySelector(".inner"), page = document.querySelector(".page");
  if (!menu || !page) return;
  const heads = [...page.querySelectorAll(".card > h2, .card-head > h2")].filter((one) => one.checkVisibility());
  const long = page.scrollHeight > LONG * innerHeight && heads.length >= LEAST;
  if (long) heads.forEach((one, place) => { one.id ||= `part-${place + 1}`; }); // of those drawn anew, too
  const text = long ? heads.map((one) => one.textContent).join("\n") : "";
  if (text === shown && (!long || menu.childElementCount)) return;
  shown = text;
  menu.hidden = !long;
  menu.replaceChildren(...(long ? heads : []).map((one) => {
    const link = document.createElement("a");
    link.href = `#${one.id}`;
    link.textContent = one.textContent;
    if (one.getAttribute("translate")) link.setAttribute("translate", one.getAttribute("translate"));
    return link;
  }));
}

let planned = 0;
function soon() {
  clearTimeout(planned);
  planned = setTimeout(contents, 250);
}

addEventListener("keydown", (event) => {
  const menu = document.getElementById("menu");
  if (event.key === "Escape" && menu && menu.checked) {
    menu.checked = false;
    menu.focus();
  }
});
addEventListener("visibilitychange", count);
addEventListener("resize", soon);
new MutationObserver(soon).observe(document.body, { childList: true, subtree: true });
setInterval(count, EVERY_MS);
count();
soon();
