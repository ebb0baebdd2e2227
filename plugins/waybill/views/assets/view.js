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

/** Zoom a line: from and to are percent of its whole width. */
function zoomable(chart) {
  const curve = chart.querySelector(".curve");
  const points = [...chart.querySelectorAll(".point")];
  const marks = [...chart.querySelectorAll(".mark")];
  if (points.length < 5) return;
  let from = 0;
  let to = 100;
  const show = () => {
    const width = to - from;
    curve.setAttribute("viewBox", `${from * 10} 0 ${width * 10} 100`);
    const inside = [];
    for (const one of [...points, ...marks]) {
      const x = Number(one.dataset.x);
      const isInside = x >= from - 0.01 && x <= to + 0.01;
      one.setAttribute(one.tagName === "circle" ? "cx" : "x", `${((x - from) / width) * 100}%`);
      one.toggleAttribute("hidden", !isInside);
      one.setAttribute("visibility", isInside ? "visible" : "hidden");
      if (isInside && one.tagName === "circle") inside.push(one.querySelector("title").textContent.split(":")[0]);
    }
    chart.querySelector(".shown").textContent = inside.length ? `${inside[0]} to ${inside[inside.length - 1]}` : "";
  };
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
