// Follow Airflow's colours, open the page that a list selects, replay rows, and settle problems.
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
  for (const list of document.querySelectorAll("[data-submit]")) {
    list.addEventListener("change", () => list.form.requestSubmit());
  }
}

/** Send a JSON body to a route, and return the answer. Raises an error with the reason if the server refuses it. */
async function send(route, body, method = "POST") {
  const answer = await fetch(route, {
    method,
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(body),
  });
  const result = await answer.json().catch(() => ({}));
  if (answer.ok) return result;
  throw new Error(typeof result.detail === "string" ? result.detail : `The server responded with status ${answer.status}.`);
}

/** Show a section as it is now, except its results, and focus the line of an incident. */
async function refresh(section, incident) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(section.id);
  if (!answer.ok || !fresh) return location.reload();
  const results = section.querySelector(".results");
  [...section.children].filter((one) => one !== results).forEach((one) => one.remove());
  results.before(...[...fresh.children].filter((one) => !one.matches(".results")));
  enliven(section);
  const line = section.querySelector(`[data-incident="${incident}"]`);
  line?.closest("details")?.setAttribute("open", "");
  (line ?? section.querySelector("h2")).focus();
}

/** Send the request of a line in the list of problems, tell the result, and show what has changed. */
function settles(form) {
  const button = form.querySelector("button");
  const line = form.closest("li, tr");
  const section = form.closest("section");
  const results = section.querySelector(".results");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const note = document.createElement("p");
    results.append(note);
    note.textContent = `${button.textContent} …`;
    button.disabled = true;
    try {
      const { request, body, method, result: told } = form.dataset;
      const result = await send(request, JSON.parse(body), method);
      note.textContent = told ?? result.text;
      if (form.dataset.refresh) return await refresh(section, form.dataset.refresh);
      if (!told && !result.is_done) return;
      const list = line.parentElement;
      line.remove();
      const done = list.parentElement.querySelector("[data-done]");
      if (done && !list.children.length) done.hidden = false;
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
  const rows = [...form.querySelectorAll("input[name=row], input[name=event]")];
  const button = form.querySelector("button[type=submit]");
  const output = form.querySelector("output");
  const all = form.querySelector("[data-all]");
  if (!form.dataset.replay || !button) return;
  const selected = () => rows.filter((row) => row.checked && !row.disabled);
  const count = () => {
    const number = selected().length;
    button.disabled = number === 0;
    button.textContent = number ? `Replay ${number} selected row${number === 1 ? "" : "s"}` : "Replay selected rows";
  };
  for (const chooser of document.querySelectorAll("[data-select]")) {
    const own = rows.filter((row) => row.dataset.reasons.split(" ").includes(chooser.dataset.select));
    chooser.hidden = !own.length;
    chooser.addEventListener("click", () => {
      own.filter((row) => !row.disabled).forEach((row) => { row.checked = true; });
      count();
      button.focus();
    });
  }
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
      const of = (name) => chosen.filter((row) => row.name === name).map((row) => row.value.split("/"));
      const body = { dataset: form.dataset.dataset, rows: of("row").map((row) => row.map(Number)), events: of("event") };
      output.textContent = (await send(form.dataset.replay, body)).text;
      chosen.forEach((row) => { row.checked = false; row.disabled = true; row.closest("tr").classList.add("replayed"); });
    } catch (error) {
      output.textContent = `Replay failed: ${error.message}`;
    }
    count();
  });
  count();
}

/** Show the restricted values of one rejected record in its line, after the server has recorded that they are shown. */
function reveals(button) {
  const cell = button.parentElement;
  const output = cell.querySelector("output");
  const why = document.querySelector("input[name=why]");
  const broken = new Set([...cell.querySelectorAll("mark")].map((mark) => mark.parentElement.querySelector("i")?.textContent));
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { values, text } = await send(button.dataset.reveal, { ...JSON.parse(button.dataset.body), reason: why?.value ?? "" });
      const shown = values.flatMap(([name, value]) => {
        const span = document.createElement("span");
        const label = document.createElement("i");
        label.textContent = name;
        const content = document.createElement("mark");
        content.textContent = value;
        span.append(label, " ", broken.has(name) ? content : value);
        return [span, " "];
      });
      const note = document.createElement("small");
      note.setAttribute("role", "status");
      note.textContent = text;
      cell.replaceChildren(...shown, note);
    } catch (error) {
      output.textContent = `Reveal failed: ${error.message}`;
      button.disabled = false;
    }
  });
}

/** Make the forms, buttons and links within an element work. */
function enliven(element) {
  element.querySelectorAll("[data-replay]").forEach(replayable);
  element.querySelectorAll("[data-request]").forEach(settles);
  element.querySelectorAll("[data-copy]").forEach(copies);
  element.querySelectorAll("[data-reveal]").forEach(reveals);
  element.querySelectorAll("[data-airflow]").forEach(leads);
}

followTheme();
followLists();
enliven(document);
