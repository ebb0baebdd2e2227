// Keep the figures of a stream up to date: ask for them every second, and let ages grow in between.
"use strict";

(() => {
  const EVERY = 1000;
  const WHILE_HIDDEN = 15000;
  const LONGEST = 30000;
  const PATIENCE = 10000;

  const live = document.getElementById("live");
  const stale = document.getElementById("stale");
  const time = new Intl.DateTimeFormat("en-GB", { timeZone: live.dataset.zone, hour: "2-digit", minute: "2-digit", second: "2-digit" });

  /** The figures as they were received, their entity tag, and how far the warehouse's clock is ahead of this one. */
  let shown = {};
  let tag = "";
  let ahead = Number(live.dataset.now) + 1000 * live.dataset.age - Date.now();
  let updatedAt = Number(live.dataset.now);
  let failures = 0;
  let timer = 0;
  let isAsking = false;

  const now = () => Date.now() + ahead;

  /** Return an age in milliseconds as text. */
  function ageOf(passed) {
    const seconds = Math.max(0, passed / 1000);
    if (seconds < 10) return `${seconds.toFixed(1)} s`;
    if (seconds < 120) return `${Math.floor(seconds)} s`;
    if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
    return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} days`;
  }

  /** Set the text of an element only if it changes, so that a selection and a reader's place stay. */
  function say(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  /** Show a text, or the age of an instant in its place. */
  function fill(element, { text, since }) {
    if (since === undefined) {
      delete element.dataset.since;
      say(element, text);
    } else {
      element.dataset.since = since;
      say(element, ageOf(now() - since));
    }
  }

  function showAges() {
    for (const element of live.querySelectorAll("[data-since]")) say(element, ageOf(now() - Number(element.dataset.since)));
  }

  function showTile(name, cell) {
    const tile = live.querySelector(`[data-tile="${name}"]`);
    if (!tile) return;
    tile.firstElementChild.className = cell.state;
    fill(tile.querySelector("strong"), cell);
    say(tile.querySelector(".change"), cell.note);
  }

  function rowOf({ cells, label, values, note, day }, headings) {
    const row = document.createElement("tr");
    Object.assign(row.dataset, { label, ...(note ? { note } : {}), ...(day ? { day } : {}) });
    cells.forEach((text, place) => {
      const cell = row.insertCell();
      cell.className = headings[place].className;
      cell.textContent = text;
      if (place in values) cell.dataset.value = values[place];
    });
    return row;
  }

  function showSection(name, rows) {
    const section = live.querySelector(`[data-section="${name}"]`);
    if (!section) return;
    const table = section.querySelector("table");
    table.tBodies[0].replaceChildren(...rows.map((row) => rowOf(row, table.tHead.rows[0].cells)));
    section.querySelector("figure").hidden = !rows.length;
    section.querySelector(".empty").hidden = rows.length > 0;
    section.querySelector(".plot").dispatchEvent(new Event("rows"));
  }

  function shardOf(cells, headings) {
    const row = document.createElement("tr");
    cells.forEach((one, place) => {
      const cell = row.insertCell();
      cell.className = headings[place].className || "time";
      cell.dataset.name = headings[place].textContent;
      const part = document.createElement("span");
      if (one.state) part.className = `state ${one.state}`;
      fill(part, one);
      const note = document.createElement("small");
      note.textContent = one.note;
      cell.append(part, note);
    });
    return row;
  }

  function showShards(shards) {
    const table = document.querySelector("#shards table");
    table.tBodies[0].replaceChildren(...shards.map((cells) => shardOf(cells, table.tHead.rows[0].cells)));
  }

  /** Show the parts of new figures that differ from the shown ones. */
  function show(found) {
    if (found.version !== live.dataset.version) throw new Error("The server has another version of this page. Load it again.");
    const differs = (part, name) => JSON.stringify(found[part][name]) !== JSON.stringify(shown[part]?.[name]);
    const notice = document.getElementById("notice");
    document.getElementById("unread").hidden = found.is_read;
    document.getElementById("read").hidden = !found.is_read;
    say(notice, found.notice);
    notice.hidden = !found.notice;
    say(document.getElementById("books"), found.books);
    for (const [name, cell] of Object.entries(found.tiles)) if (differs("tiles", name)) showTile(name, cell);
    for (const [name, rows] of Object.entries(found.sections)) if (differs("sections", name)) showSection(name, rows);
    if (JSON.stringify(found.shards) !== JSON.stringify(shown.shards)) showShards(found.shards);
    shown = found;
  }

  /** Ask for the figures once. Raises an error with the reason if there are none. */
  async function ask() {
    const headers = { Accept: "application/json", ...(tag ? { "If-None-Match": tag } : {}) };
    const answer = await fetch(live.dataset.address, { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    /** The figures may have been read for somebody else, a while ago. */
    const age = 1000 * (answer.headers.get("Age") ?? 0);
    if (answer.status !== 304) {
      const found = await answer.json().catch(() => ({}));
      if (answer.status === 401) throw new Error("You are logged out. Load this page again.");
      if (!answer.ok) throw new Error(typeof found.detail === "string" ? found.detail : `The server responded with status ${answer.status}.`);
      tag = answer.headers.get("ETag") ?? "";
      ahead = found.now + age - Date.now();
      show(found);
    }
    updatedAt = now() - age;
  }

  /** Ask again and again: less often while nobody looks, and after failures. */
  async function follow() {
    clearTimeout(timer);
    if (isAsking) return;
    isAsking = true;
    try {
      await ask();
      failures = 0;
      stale.hidden = true;
    } catch (error) {
      failures += 1;
      const reason = error instanceof TypeError || error.name === "TimeoutError" ? "The server does not respond." : error.message;
      say(stale, `Not updated since ${time.format(updatedAt)}. ${reason}`);
      stale.hidden = false;
    }
    isAsking = false;
    say(document.getElementById("updated"), `As of ${time.format(updatedAt)}.${failures ? "" : " Updated every second."}`);
    timer = setTimeout(follow, Math.min(LONGEST, (document.hidden ? WHILE_HIDDEN : EVERY) * 2 ** Math.min(failures, 5)));
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) follow(); });
  setInterval(() => { if (!document.hidden) showAges(); }, EVERY);
  showAges();
  follow();
})();
