// Follow Airflow's colours, open the page that a list selects, zoom lines, replay rows, and settle problems.
"use strict";

const root = document.documentElement;

/** Follow the colours of Airflow's page around this one. Without it, the system's setting applies. */
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

/** Open the page that a list selects, and apply a filter when it changes. */
function followLists() {
  for (const list of document.querySelectorAll("select[data-go]")) {
    list.addEventListener("change", () => { location.href = list.value; });
  }
  for (const list of document.querySelectorAll("select[data-submit]")) {
    list.addEventListener("change", () => list.form.requestSubmit());
  }
}

/** The least distance of labels below a line, in pixels. The last label ends at its point, the others are centred. */
const BETWEEN = 84;
const BEFORE_LAST = 110;

/** Label the first and the last visible point, and as many points between them as fit. */
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

/** Let a line zoom. `from` and `to` are percent of its whole width. */
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
    const range = inside.length ? `${inside[0].label} to ${inside[inside.length - 1].label}` : "";
    chart.querySelector(".shown").textContent = width < 100 ? range : "";
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

/** Send a JSON body to a route, and return the answer. Raises an error with the reason if the server refuses it. */
async function send(route, body) {
  const answer = await fetch(route, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const result = await answer.json().catch(() => ({}));
  if (answer.ok) return result;
  throw new Error(typeof result.detail === "string" ? result.detail : `The server responded with status ${answer.status}.`);
}

/** Send the request of a line in the list of problems, tell the result, and remove the line once it is settled. */
function settles(form) {
  const button = form.querySelector("button");
  const line = form.closest("li");
  const results = form.closest("section").querySelector(".results");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const note = document.createElement("p");
    results.append(note);
    note.textContent = `${button.textContent} …`;
    button.disabled = true;
    try {
      const result = await send(form.dataset.request, JSON.parse(form.dataset.body));
      note.textContent = result.text;
      if (!result.is_done) return;
      const list = line.parentElement;
      line.remove();
      if (!list.children.length) form.ownerDocument.querySelector("[data-done]").hidden = false;
    } catch (error) {
      note.textContent = `${button.textContent} failed: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
}

/** Copy the command beside a button. Without access to the clipboard, select it. */
function copies(button) {
  button.hidden = false;
  const label = button.textContent;
  const code = button.parentElement.querySelector("code");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
}

/** Open a page of Airflow in the page around this one, without loading it again. */
function leads(link) {
  if (window.parent === window) return;
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    event.preventDefault();
    window.parent.history.pushState({}, "", link.href);
    window.parent.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
  });
}

/** Replay the selected rows, and show the result. */
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
    output.textContent = "Replaying …";
    try {
      const rows = chosen.map((row) => row.value.split("/").map(Number));
      output.textContent = (await send(form.dataset.replay, { dataset: form.dataset.dataset, rows })).text;
      chosen.forEach((row) => { row.checked = false; row.disabled = true; row.closest("tr").classList.add("replayed"); });
    } catch (error) {
      output.textContent = `Replay failed: ${error.message}`;
    }
    count();
  });
  count();
}

followTheme();
followLists();
document.querySelectorAll("[data-zoom]").forEach(zoomable);
document.querySelectorAll("[data-replay]").forEach(replayable);
document.querySelectorAll("[data-request]").forEach(settles);
document.querySelectorAll("[data-copy]").forEach(copies);
document.querySelectorAll("[data-airflow]").forEach(leads);
