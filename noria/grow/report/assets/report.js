const root = document.documentElement;
const texts = JSON.parse(document.getElementById("charts").textContent);
const drawn = new Map();

function localised(value, language) {
  if (Array.isArray(value)) return value.map((item) => localised(item, language));
  if (value === null || typeof value !== "object") return value;
  const keys = Object.keys(value);
  if (keys.length === 2 && "en" in value && "zh" in value) return value[language];
  return Object.fromEntries(keys.map((key) => [key, localised(value[key], language)]));
}

// A legend wraps into as many lines as its names need; the plot begins below it.
function roomForLegend(options, width) {
  if (!options.legend || options.legend.show === false) return;
  const names = options.legend.data || [...new Set(options.series.map((series) => series.name).filter(Boolean))];
  let lines = 1;
  let used = 0;
  for (const name of names) {
    const item = 48 + [...name].reduce((sum, letter) => sum + (letter > "\u2e7f" ? 13 : 7.5), 0);
    if (used + item > width && used > 0) {
      lines += 1;
      used = 0;
    }
    used += item;
  }
  options.grid.top = 34 + 24 * lines;
}

function draw() {
  const language = root.dataset.language;
  for (const place of document.querySelectorAll(".chart")) {
    let chart = drawn.get(place);
    if (!chart) {
      chart = window.echarts.init(place, null, { renderer: "svg" });
      drawn.set(place, chart);
    }
    const options = localised(texts[place.dataset.chart], language);
    roomForLegend(options, place.clientWidth);
    options.textStyle = { fontFamily: getComputedStyle(document.body).fontFamily };
    options.aria = { enabled: true };
    chart.setOption(options, true);
  }
}

function speak(language) {
  root.dataset.language = language;
  root.lang = language === "zh" ? "zh-CN" : "en";
  document.title = language === "zh" ? root.dataset.titleZh : root.dataset.titleEn;
  draw();
}

function resize() {
  for (const chart of drawn.values()) chart.resize();
  draw();
}

const asked = location.hash === "#zh" || location.hash === "#en" ? location.hash.slice(1) : null;
const habit = navigator.language && navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
document.querySelector("button.language").addEventListener("click", () => speak(root.dataset.language === "en" ? "zh" : "en"));
window.addEventListener("resize", resize);
window.addEventListener("beforeprint", resize);
window.addEventListener("afterprint", resize);
speak(asked || habit);
root.dataset.ready = "yes";
