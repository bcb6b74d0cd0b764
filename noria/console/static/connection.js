// Says when a page has no live connection to its server, and brings back what was written in it if the connection makes it load anew.
(() => {
  const PATIENCE = 5000, key = `noria-written:${location.pathname}`;
  const fields = () => [...document.querySelectorAll(".page textarea, .page input:not([type=password], [type=checkbox], [type=file])")];
  const name = (field) => field.getAttribute("aria-label") ?? "";
  const connected = () => Boolean(window.socket?.connected && window.did_handshake);
  let heard = Date.now();

  setInterval(() => {
    if (connected()) heard = Date.now();
    const note = document.getElementById("connection");
    if (note) note.hidden = Date.now() - heard < PATIENCE;
    if (window.socket) bring(); // what is entered before it connects is sent when it does
  }, 500);

  addEventListener("pagehide", () => {
    const written = fields().map((field) => [name(field), field.value]);
    if (!connected() && written.some(([, value]) => value)) sessionStorage.setItem(key, JSON.stringify(written));
  });

  function bring() {
    const written = JSON.parse(sessionStorage.getItem(key) ?? "[]");
    if (!written.length || !fields().length) return;
    sessionStorage.removeItem(key);
    fields().forEach((field, place) => {
      const [label, value] = written[place] ?? ["", ""];
      if (!value || field.value || label !== name(field)) return;
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    });
  }
})();
