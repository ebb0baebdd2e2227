// What HTML alone cannot do: Airflow's colours, lists that lead somewhere, zoom, and the replay of rows.
"use strict";

const root = document.documentElement;

/** Take light or dark from Airflow's page around this one; without it the system's choice holds. */
function followTheme() {
  let outer;
  try {
    outer = window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    outer = null;
  }
  if (!outer) return;
  const apply = () => { root.dataset.theme = outer.classList.contains("dark") ? "dark" : "light"; };
  apply();
  new MutationObserver(apply).observe(outer, { attributes: true, attributeFilter: ["class"] });
}

/** A list of pages leads to the chosen one; a filter is applied when it is changed. */
function followLists() {
  for (const list of document.querySelectorAll("select[data-go]")) {
    list.addEventListener("change", () => { location.href = list.value; });
  }
  for (const list of document.querySelectorAll("select[data-submit]")) {
    list.addEventListener("change", () => list.form.requestSubmit());
  }
}

/** How far the labels below a line lie apart, in pixels; the last one ends at its point, the others are centred. */
const BETWEEN = 84;
const BEFORE_LAST = 110;

/** Label the first and the last of the points that are shown, and as many between them as there is room for. */
function label(marks, points, width) {
  const last = points[points.length - 1];
  const chosen = [points[0]];
  const apart = (earlier, later) => (later.x - earlier.x) / 100 * width;
  const between = Math.max(BETWEEN, width / 8);
  for (const point of points.slice(1, -1)) {
    const isFree = apart(chosen[chosen.length - 1], point) >= between && apart(point, last) >= Math.max(BEFORE_LAST, between);
    if (isFree) chosen.push(point);
  }
  if (points.length > 1) chosen.push(last);
  marks.replaceChildren(...chosen.map((point) => {
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    const isAtEnd = (100 - point.x) / 100 * width < 34;
    const values = { class: "mark", x: `${point.x}%`, y: 234, "text-anchor": isAtEnd ? "end" : "middle" };
    for (const [name, value] of Object.entries(values)) text.setAttribute(name, value);
    text.textContent = point.label;
    return text;
  }));
}

/** Zoom a line: from and to are percent of its whole width. */
function zoomable(chart) {
  const plot = chart.querySelector(".plot");
  const curve = chart.querySelector(".curve");
  const points = [...chart.querySelectorAll(".point")];
  let from = 0;
  let to = 100;
  const show = () => {
    const width = to - from;
    curve.setAttribute("viewBox", `${from * 10} 0 ${width * 10} 100`);
    const inside = [];
    for (const point of points) {
      const x = Number(point.dataset.x);
      const isInside = x >= from - 0.01 && x <= to + 0.01;
      const shown = Math.min(100, Math.max(0, ((x - from) / width) * 100));
      point.setAttribute("cx", `${shown}%`);
      point.toggleAttribute("hidden", !isInside);
      if (isInside) inside.push({ x: shown, label: point.dataset.label });
    }
    const room = plot.getBoundingClientRect().width;
    if (inside.length && room) label(chart.querySelector(".marks"), inside, room);
    const said = inside.length ? `${inside[0].label} to ${inside[inside.length - 1].label}` : "";
    chart.querySelector(".shown").textContent = width < 100 ? said : "";
  };
  new ResizeObserver(show).observe(plot);
  if (points.length < 5) return;
  const move = (start, width) => {
    const wide = Math.min(100, Math.max(100 * 4 / points.length, width));
    from = Math.min(100 - wide, Math.max(0, start));
    to = from + wide;
    show();
  };
  const by = {
    in: () => move(from + (to - from) / 2, (to - from) / 2),
    out: () => move(from - (to - from) / 2, (to - from) * 2),
    earlier: () => move(from - (to - from) / 4, to - from),
    later: () => move(from + (to - from) / 4, to - from),
  };
  chart.querySelector(".zoom").hidden = false;
  for (const button of chart.querySelectorAll("[data-by]")) {
    button.addEventListener("click", by[button.dataset.by]);
  }
}

/** What a replay did, in words. */
function inWords(result) {
  const parts = Object.entries(result.counts).filter(([name, rows]) => name !== "rows_in" && rows > 0);
  const said = parts.map(([name, rows]) => `${rows} ${name}`).join(", ") || "nothing was open";
  const since = result.admitted_from ? ` Reports from ${result.admitted_from} on rest on them: run those periods again.` : "";
  return `${result.counts.rows_in} tried: ${said}.${since}`;
}

/** Send the selected rows to be tried again, and say what became of them. */
function replayable(form) {
  const rows = [...form.querySelectorAll("input[name=row]")];
  const button = form.querySelector("button");
  const output = form.querySelector("output");
  const all = form.querySelector("[data-all]");
  if (!form.dataset.replay || !button) return;
  const selected = () => rows.filter((row) => row.checked && !row.disabled);
  const count = () => {
    const number = selected().length;
    button.disabled = number === 0;
    button.textContent = number ? `Replay ${number} selected row${number === 1 ? "" : "s"}` : "Replay selected rows";
  };
  form.addEventListener("change", (event) => {
    if (event.target === all) rows.filter((row) => !row.disabled).forEach((row) => { row.checked = all.checked; });
    count();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = selected();
    button.disabled = true;
    output.textContent = "Trying them again …";
    try {
      const answer = await fetch(form.dataset.replay, {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ dataset: form.dataset.dataset, rows: chosen.map((row) => row.value.split("/").map(Number)) }),
      });
      const result = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(typeof result.detail === "string" ? result.detail : `The server answers ${answer.status}.`);
      output.textContent = inWords(result);
      chosen.forEach((row) => { row.checked = false; row.disabled = true; row.closest("tr").classList.add("tried"); });
    } catch (error) {
      output.textContent = `Not replayed: ${error.message}`;
    }
    count();
  });
  count();
}

followTheme();
followLists();
document.querySelectorAll("[data-zoom]").forEach(zoomable);
document.querySelectorAll("[data-replay]").forEach(replayable);
