// The page's behaviour: charts in the colours of the theme, filters, players whose spectrogram is the button, sliders.
"use strict";

const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// theme

const root = document.documentElement;
const themeButton = document.getElementById("theme");
const preferred = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;

function setTheme() {
  const dark = chosen === null ? preferred.matches : chosen === "dark";
  root.dataset.theme = dark ? "dark" : "light";
  themeButton.setAttribute("aria-pressed", String(dark));
}

themeButton.addEventListener("click", () => {
  chosen = root.dataset.theme === "dark" ? "light" : "dark";
  setTheme();
  drawCharts();
});
preferred.addEventListener("change", () => {
  setTheme();
  drawCharts();
});
setTheme();

// charts

const specs = JSON.parse(document.getElementById("charts").textContent);
const shown = { arms: null, fold: "all" };
let views = [];
let drawing = Promise.resolve();
const NARROW = 520; // pixels

function inTheme(value, style) {
  if (Array.isArray(value)) return value.map((one) => inTheme(one, style));
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, key === "values" ? one : inTheme(one, style)]));
  }
  const found = typeof value === "string" && /^var\((--[\w-]+)\)$/.exec(value);
  return found ? style.getPropertyValue(found[1]).trim() : value;
}

function themed() {
  const style = getComputedStyle(root);
  const [ink, muted, line] = ["--ink", "--muted", "--line"].map((name) => style.getPropertyValue(name).trim());
  const text = { labelColor: ink, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500 };
  return {
    style,
    config: {
      background: "transparent",
      font: style.getPropertyValue("--sans").trim(),
      view: { stroke: null },
      axis: { ...text, domain: false, ticks: false, labelPadding: 8, gridColor: line, titlePadding: 10 },
      axisY: { grid: false },
      legend: text,
    },
  };
}

async function draw(place, theme) {
  const spec = inTheme(specs[place.dataset.chart], theme.style);
  // A legend below its chart is no wider than the chart: on a narrow screen an entry a line.
  const width = place.clientWidth;
  const legend = { ...theme.config.legend, labelLimit: width - 40, ...(width < NARROW && { columns: 1 }) };
  const axisY = { ...theme.config.axisY, labelLimit: Math.max(110, width / 4) };
  const config = { ...theme.config, legend, axisY };
  const options = { actions: false, renderer: "svg", config, tooltip: { theme: "custom" } };
  const { view } = await vegaEmbed(place, spec, options);
  return view;
}

function drawCharts() {
  drawing = drawing.then(async () => {
    views.forEach((view) => view.finalize());
    const theme = themed();
    views = await Promise.all($$("[data-chart]").map((place) => draw(place, theme)));
    await filterCharts();
    root.dataset.drawn = root.dataset.theme;
  });
  return drawing;
}

async function filterCharts() {
  for (const view of views) {
    const known = view.getState({ signals: (name) => name in shown, data: () => false }).signals;
    for (const [name, value] of Object.entries(shown)) {
      if (name in known && value !== null) view.signal(name, value);
    }
    await view.runAsync();
  }
}

const armBoxes = $$("#arm-filter input");
armBoxes.forEach((box) =>
  box.addEventListener("change", () => {
    shown.arms = armBoxes.filter((one) => one.checked).map((one) => one.value);
    filterCharts();
  }),
);
document.getElementById("fold-filter").addEventListener("change", (event) => {
  shown.fold = event.target.value === "all" ? "all" : Number(event.target.value);
  filterCharts();
});

// players

const PLAY = "M3 1.5 14 8 3 14.5z";
const PAUSE = "M3 2h3.5v12H3zM9.5 2H13v12H9.5z";

function icon() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  return svg;
}

$$(".screen audio").forEach((audio) => {
  const screen = audio.parentElement;
  const button = document.createElement("button");
  const head = document.createElement("span");
  const svg = icon();
  const what = audio.getAttribute("aria-label");
  button.type = "button";
  button.className = "play";
  head.className = "head";
  button.append(head, svg);
  audio.controls = false;
  audio.hidden = true;
  screen.append(button);

  function follow() {
    head.style.left = `${(100 * audio.currentTime) / (audio.duration || 1)}%`;
    if (!audio.paused) requestAnimationFrame(follow);
  }
  function tell() {
    screen.classList.toggle("playing", !audio.paused);
    button.setAttribute("aria-label", `${audio.paused ? "Play" : "Pause"} ${what}`);
    svg.firstChild.setAttribute("d", audio.paused ? PLAY : PAUSE);
    if (!audio.paused) follow();
  }
  button.addEventListener("click", () => {
    if (!audio.paused) return audio.pause();
    $$(".screen audio").forEach((other) => other.pause());
    audio.currentTime = 0;
    return audio.play().catch(() => {}); // a pause before the sound has begun
  });
  ["play", "pause", "ended"].forEach((name) => audio.addEventListener(name, tell));
  tell();
});

// classes and alphas

$$("[data-filters]").forEach((select) => {
  const rows = $$("[data-row]", document.getElementById(select.dataset.filters));
  select.addEventListener("change", () => {
    rows.forEach((row) => (row.hidden = select.value !== "all" && row.dataset.row !== select.value));
  });
});

$$(".alphas").forEach((box) => {
  const slider = box.querySelector("input");
  const output = box.querySelector("output");
  const steps = $$(".step", box);
  const what = box.dataset.of ?? "alpha";
  function show() {
    steps.forEach((step, index) => {
      step.hidden = index !== slider.valueAsNumber;
      if (step.hidden) $$("audio", step).forEach((audio) => audio.pause());
    });
    const alpha = steps[slider.valueAsNumber].dataset.alpha;
    slider.setAttribute("aria-valuetext", `${what} ${alpha}`);
    output.textContent = `${what} ${alpha}`;
  }
  slider.hidden = false;
  box.classList.add("live");
  slider.addEventListener("input", show);
  show();
});

// contents

const contents = document.querySelector("nav details");
if (matchMedia("(max-width: 1119px)").matches) contents.open = false;
const links = new Map($$("nav a").map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver(
  (entries) => {
    entries
      .filter((entry) => entry.isIntersecting)
      .forEach((entry) => {
        links.forEach((link) => link.removeAttribute("aria-current"));
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      });
  },
  { rootMargin: "-10% 0px -70% 0px" },
);
$$("main > section").forEach((section) => seen.observe(section));

drawCharts();
