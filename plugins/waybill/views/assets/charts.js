// Draw each chart from the table below it. Pointer, touch and arrow keys show its values.
"use strict";

(() => {
  const FONT = 'Inter, system-ui, "Segoe UI", Roboto, sans-serif';
  const BAR_HEIGHT = 26;
  const COMPARED_CELL_HEIGHT = 38;
  const LINE_HEIGHT = 250;
  const SMALL_LINE_HEIGHT = 130;
  const FUNNEL_HEIGHT = 230;
  const NARROW_FUNNEL = 400;
  const ZOOMABLE_POINTS = 8;
  const LONGEST_FRAME = 200;
  const LABEL_PART = 0.36;
  const LABEL_WIDTH = 300;
  const LABEL_ROOM = 100;
  const hasFinePointer = matchMedia("(pointer: fine)").matches;

  /** What draws each chart of the page once more. */
  const redraws = new Set();
  let palette = null;

  /** Return the colours of the page as it is now: light or dark. */
  function colours() {
    if (!palette) {
      const style = getComputedStyle(document.documentElement);
      palette = Object.fromEntries(["panel", "text", "muted", "border", "accent", "track"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    }
    return palette;
  }

  function followColours() {
    const redraw = () => { palette = null; redraws.forEach((show) => show()); };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  /** Return the colour between two colours such as `#ffffff`. `part` is 0 for the first and 1 for the second. */
  function mixed(first, second, part) {
    const channels = (colour) => [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
    const ends = channels(second);
    return `rgb(${channels(first).map((channel, place) => Math.round(channel + (ends[place] - channel) * part)).join(",")})`;
  }

  /** Return the text of a cell with its unit and at most two decimals. */
  function textOf(cell, unit) {
    const isLong = /^-?[\d,]+\.\d{3,}$/.test(cell.textContent) && "value" in cell.dataset;
    const text = isLong ? Number(cell.dataset.value).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }) : cell.textContent;
    return `${text} ${unit}`.trim();
  }

  /** Return the small charts of a table: for each drawn column of a line, or each group of bars. */
  function readTable(table, kind) {
    const headings = [...table.tHead.rows[0].cells];
    const drawn = headings.map((heading, place) => ({ heading, place })).filter(({ heading }) => "drawn" in heading.dataset);
    const rows = [...table.tBodies[0].rows].filter((row) => row.dataset.label);
    const point = (row, { heading, place }) => {
      const cell = row.cells[place];
      const { label, note = "", group = "", day, pick } = row.dataset;
      const value = "value" in cell.dataset ? Number(cell.dataset.value) : null;
      return { label, note, group, day, pick, value, column: heading.textContent, text: textOf(cell, heading.dataset.unit) };
    };
    const chart = (title, unit, points) => ({ title, unit, points });
    if (kind === "heatmap") return [{ columns: drawn.map(({ heading }) => heading.textContent), ...chart("", "%", rows.flatMap((row) => drawn.map((column) => point(row, column)).filter((one) => one.value !== null))) }];
    if (kind === "line") {
      return drawn.map((column) => chart(drawn.length > 1 ? column.heading.textContent : "", column.heading.dataset.unit,
        rows.map((row) => point(row, column)).filter((one) => one.value !== null).reverse()));
    }
    const groups = [...new Set(rows.map((row) => row.dataset.group || ""))];
    return groups.map((group) => chart(group, drawn[0].heading.dataset.unit,
      rows.filter((row) => (row.dataset.group || "") === group).map((row) => point(row, drawn[0])).filter((one) => one.value !== null)));
  }

  /** Return the change between two values as text: in percent, or in points between two percentages. */
  function changeOf(before, value, unit) {
    if (before === null || before === undefined || (!before && unit !== "%")) return "";
    const moved = unit === "%" ? value - before : (value / before - 1) * 100;
    const sign = moved > 0 ? "+" : moved < 0 ? "−" : "±";
    return `${sign}${Math.abs(moved).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 })} ${unit === "%" ? "points" : "%"}`;
  }

  /** Return what a point says, as lines of text: its label, its value, and its change from the point before. */
  function wordsOf(chart, place) {
    const point = chart.points[place];
    const lines = [point.label, point.note ? `${point.text} (${point.note})` : point.text];
    if (chart.kind === "line" && place > 0) {
      const change = changeOf(chart.points[place - 1].value, point.value, chart.unit);
      if (change) lines.push(`${change} vs ${chart.points[place - 1].label}`);
    }
    if (chart.kind === "funnel" && shareOf(chart.points, place)) lines.push(`${shareOf(chart.points, place)} of the step before`);
    if (point.other) {
      const change = changeOf(point.other.value, point.value, chart.unit);
      lines.push(`${point.other.name}: ${point.other.text}${change ? `, ${change}` : ""}`);
    }
    if (point.pick) lines.push("Click or press Enter to filter.");
    if (chart.kind === "heatmap") lines[0] = `${point.label}, ${point.column}`;
    return lines;
  }

  /** Return the tip of a point as an element. Text from files cannot act as HTML. */
  function tipOf(chart, place) {
    const tip = document.createElement("div");
    wordsOf(chart, place).forEach((line, number) => {
      const part = document.createElement(number === 1 ? "strong" : "span");
      part.textContent = line;
      tip.append(part);
    });
    tip.className = "reading";
    return tip;
  }

  /** Return a description for people who do not see the chart. */
  function descriptionOf(chart) {
    const { points, title } = chart;
    if (!points.length) return title;
    const [first, last] = [points[0], points[points.length - 1]];
    const sorted = [...points].sort((one, other) => one.value - other.value);
    const [least, most] = [sorted[0], sorted[sorted.length - 1]];
    const ends = chart.kind === "line" ? `From ${first.label}, ${first.text}, to ${last.label}, ${last.text}. ` : "";
    return `${title}. ${points.length} values. ${ends}Most: ${most.label}, ${most.text}. Least: ${least.label}, ${least.text}. The arrow keys read each value.`;
  }

  /** Return the options that all charts share. */
  function shared(chart, colour) {
    return {
      animation: false,
      textStyle: { fontFamily: FONT, color: colour.text },
      tooltip: {
        trigger: chart.kind === "line" ? "axis" : "item",
        confine: true,
        backgroundColor: colour.panel,
        borderColor: colour.border,
        textStyle: { fontFamily: FONT, color: colour.text, fontSize: 13 },
        axisPointer: { type: "cross", snap: true, label: { show: false }, lineStyle: { color: colour.muted }, crossStyle: { color: colour.muted } },
        formatter: (found) => tipOf(chart, (Array.isArray(found) ? found[0] : found).dataIndex),
      },
    };
  }

  function lineOption(chart, colour, width) {
    const { points } = chart;
    const isSmall = chart.height < LINE_HEIGHT;
    const canZoom = !isSmall && points.length >= ZOOMABLE_POINTS;
    const days = points.map((point) => Date.parse(point.day));
    const labels = new Map(days.map((day, place) => [day, points[place].label]));
    const axis = { axisLine: { lineStyle: { color: colour.border } }, axisTick: { show: false } };
    const label = { color: colour.muted, fontFamily: FONT, fontSize: 11 };
    return {
      ...shared(chart, colour),
      useUTC: true,
      grid: { left: 4, right: 14, top: chart.compare ? 28 : 12, bottom: canZoom ? 34 : 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: {
        ...axis,
        type: "time",
        splitLine: { show: false },
        axisLabel: { ...label, customValues: chosenDays(days, chart.shown, width), formatter: (day) => labels.get(day) ?? "", hideOverlap: true, showMinLabel: true, showMaxLabel: true, alignMinLabel: "left", alignMaxLabel: "right" },
      },
      yAxis: {
        ...axis,
        type: "value",
        splitNumber: isSmall ? 2 : 4,
        splitLine: { lineStyle: { color: colour.border } },
        axisLine: { show: false },
        axisLabel: { ...label, formatter: (value) => `${value.toLocaleString("en")}${chart.unit === "%" ? " %" : ""}` },
      },
      dataZoom: canZoom ? [{
        type: "slider", height: 18, bottom: 4, left: 60, right: 20, brushSelect: false, showDetail: false, minValueSpan: 3 * (days[1] - days[0]),
        borderColor: colour.border, fillerColor: "transparent", dataBackground: { lineStyle: { color: colour.muted }, areaStyle: { color: colour.track } },
        selectedDataBackground: { lineStyle: { color: colour.accent }, areaStyle: { color: colour.accent, opacity: 0.15 } },
        handleStyle: { color: colour.panel, borderColor: colour.accent }, moveHandleStyle: { color: colour.border }, textStyle: label,
      }] : [],
      toolbox: canZoom ? { itemSize: 0, feature: { dataZoom: { yAxisIndex: false, brushStyle: { color: colour.accent, opacity: 0.15 } } } } : undefined,
      series: [{
        type: "line",
        data: points.map((point, place) => ({
          value: [days[place], point.value],
          symbol: "circle",
          itemStyle: point.note ? { color: colour.panel, borderColor: colour.accent, borderWidth: 2 } : {},
        })),
        symbolSize: points.length < 60 && !isSmall ? 7 : 4,
        showAllSymbol: points.length < 60 || points.some((point) => point.note),
        lineStyle: { color: colour.accent, width: 2 },
        itemStyle: { color: colour.accent },
        areaStyle: { color: colour.accent, opacity: 0.08 },
        name: chart.period,
      }, ...compared(chart, colour, (point, place) => [days[place], point.other.value]).map((series) => ({
        ...series, type: "line", symbol: "none", lineStyle: { color: colour.muted, width: 1.5, type: "dashed" },
      }))],
      ...legend(chart, colour),
    };
  }

  /** Return the second series of a compared chart; nothing if no point has a counterpart. */
  function compared(chart, colour, valueOf) {
    if (!chart.points.some((point) => point.other)) return [];
    return [{ name: chart.compare, silent: true, itemStyle: { color: colour.muted }, data: chart.points.map((point, place) => (point.other ? valueOf(point, place) : null)).filter((value) => value !== null || chart.kind !== "line") }];
  }

  /** Return the legend of a compared chart. */
  function legend(chart, colour) {
    if (!chart.points.some((point) => point.other)) return {};
    return { legend: { show: true, top: 0, right: 0, itemWidth: 18, itemHeight: 8, textStyle: { color: colour.text, fontFamily: FONT, fontSize: 12 } } };
  }

  /** Return the days to label within the shown range (in percent): the first, the last, and what fits between. */
  function chosenDays(days, shown, width) {
    const [from, to] = shown.map((part) => days[0] + (days[days.length - 1] - days[0]) * part / 100);
    const inside = days.filter((day) => day >= from - 1 && day <= to + 1);
    if (inside.length < 2) return inside;
    const last = inside[inside.length - 1];
    const apart = (to - from) * LABEL_ROOM / Math.max(width, LABEL_ROOM);
    const chosen = [inside[0]];
    for (const day of inside.slice(1, -1)) {
      const isFree = day - chosen[chosen.length - 1] >= (chosen.length > 1 ? apart : 1.4 * apart);
      if (isFree && last - day >= 1.4 * apart) chosen.push(day);
    }
    return [...chosen, last];
  }

  function barsOption(chart, colour, width) {
    const { points } = chart;
    const names = { type: "category", inverse: true, axisLine: { show: false }, axisTick: { show: false }, triggerEvent: true };
    const label = { color: colour.text, fontFamily: FONT, fontSize: 13, lineHeight: 14 };
    const words = (point) => point.note ? `${point.text}  {${point.note.toLowerCase()}|${point.note}}` : point.text;
    const chip = { fontSize: 11, fontWeight: 600, padding: [2, 5], borderRadius: 6, backgroundColor: colour.track, color: colour.muted };
    return {
      ...shared(chart, colour),
      grid: { left: 4, right: points.some((point) => point.note) ? 8 : 0, top: chart.compare ? 24 : 0, bottom: 0, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: { type: "value", show: false, min: Math.min(0, ...points.flatMap((point) => [point.value, point.other?.value ?? 0])), max: chart.most },
      yAxis: [
        { ...names, data: points.map((point) => point.label), axisLabel: { ...label, width: Math.round(Math.min(LABEL_WIDTH, width * LABEL_PART)), overflow: "break", interval: 0 } },
        { ...names, data: points.map((point, place) => ({ value: `${place}` })), position: "right", axisLabel: { ...label, interval: 0, rich: { low: chip, mid: chip, high: chip }, formatter: (_, place) => words(points[place]) } },
      ],
      series: [{
        type: "bar",
        barWidth: chart.compare ? 10 : 14,
        cursor: points.some((point) => point.pick) ? "pointer" : "default",
        showBackground: true,
        backgroundStyle: { color: colour.track, borderRadius: 3 },
        name: chart.period,
        itemStyle: { color: colour.accent, borderRadius: 3 },
        data: points.map((point) => (point.value < 0 ? { value: point.value, itemStyle: { color: colour.muted } } : point.value)),
      }, ...compared(chart, colour, (point) => point.other.value).map((series) => ({ ...series, type: "bar", barWidth: 5, barGap: "20%" }))],
      ...legend(chart, colour),
    };
  }

  /** Return the share of a step of a funnel in the step before; empty for the first one. */
  function shareOf(points, place) {
    const before = place ? points[place - 1].value : 0;
    return before ? `${(100 * points[place].value / before).toFixed(1)} %` : "";
  }

  function funnelOption(chart, colour, width) {
    const { points } = chart;
    const isNarrow = width < NARROW_FUNNEL;
    const half = isNarrow ? 25 : 20;
    const labelOf = (place) => {
      const { text, value, other } = points[place];
      const share = shareOf(points, place);
      const words = [text, isNarrow ? !other && share : share && `${share} of the step before`, other && changeOf(other.value, value, chart.unit)];
      return `${points[place].label}\n${words.filter(Boolean).join(" · ")}`;
    };
    const shape = { type: "funnel", sort: "none", top: chart.compare ? 24 : 4, bottom: 4, max: chart.most, minSize: "1%", gap: 3, itemStyle: { borderWidth: 0 } };
    const labels = {
      label: { position: "right", color: colour.text, fontFamily: FONT, fontSize: 13, lineHeight: 17, formatter: ({ dataIndex: place }) => labelOf(place) },
      labelLine: { length: 12, lineStyle: { color: colour.border } },
    };
    const own = {
      ...shape,
      left: 0,
      data: points.map((point, place) => ({ name: point.label, value: point.value, itemStyle: { color: mixed(colour.accent, colour.panel, 0.12 * place) } })),
    };
    if (!chart.compare) return { ...shared(chart, colour), series: [{ ...own, ...labels, width: "45%" }] };
    // Two halves beside each other: the period on the left, the other one on the right.
    const heading = { top: 4, padding: 0, textStyle: { color: colour.text, fontFamily: FONT, fontSize: 12, fontWeight: 600 } };
    return {
      ...shared(chart, colour),
      title: [{ ...heading, text: chart.period, left: `${half - 1}%`, textAlign: "right" }, { ...heading, text: chart.compare, left: `${half + 1}%` }],
      series: [
        { ...own, width: `${half - 0.5}%`, funnelAlign: "right", label: { show: false }, labelLine: { show: false } },
        ...compared(chart, colour, ({ label, other }) => ({ name: label, value: other.value })).map((series) => ({
          ...series, ...shape, ...labels, left: `${half + 0.5}%`, width: `${half - 0.5}%`, funnelAlign: "left",
          itemStyle: { ...shape.itemStyle, color: colour.muted }, data: series.data.map((one, place) => one ?? { name: points[place].label, value: 0 }),
        })),
      ],
    };
  }

  /** Return the rounded difference of a point from its counterpart, as a list of at most one text. */
  function differenceOf({ value, other }) {
    if (!other) return [];
    const moved = Math.round(value - other.value);
    return [`${moved > 0 ? "+" : moved < 0 ? "−" : "±"}${Math.abs(moved)}`];
  }

  function heatmapOption(chart, colour) {
    const { columns } = chart;
    const rows = [...new Set(chart.points.map((point) => point.label))];
    const label = { color: colour.muted, fontFamily: FONT, fontSize: 12 };
    const axis = { type: "category", axisLine: { show: false }, axisTick: { show: false }, axisLabel: label };
    return {
      ...shared(chart, colour),
      grid: { left: 0, right: 0, top: 4, bottom: 0, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
      xAxis: { ...axis, data: columns, position: "top" },
      yAxis: { ...axis, data: rows, inverse: true },
      visualMap: { show: false, min: 0, max: 100, inRange: { color: [mixed(colour.panel, colour.accent, 0.05), mixed(colour.panel, colour.accent, 0.5)] } },
      series: [{
        type: "heatmap",
        itemStyle: { borderColor: colour.panel, borderWidth: 2, borderRadius: 4 },
        label: { show: true, color: colour.text, fontFamily: FONT, fontSize: 12, lineHeight: 15, formatter: ({ value, dataIndex: place }) => [value[2].toFixed(0), ...differenceOf(chart.points[place])].join("\n") },
        data: chart.points.map((point) => [columns.indexOf(point.column), rows.indexOf(point.label), point.value]),
      }],
    };
  }

  const OPTIONS = { line: lineOption, bars: barsOption, funnel: funnelOption, heatmap: heatmapOption };

  /** Return the height of a bar with its label, which may need several lines. */
  function rowHeightOf(chart, width) {
    const characters = Math.max(...chart.points.map((point) => point.label.length));
    return Math.max(BAR_HEIGHT, 12 + 14 * Math.ceil(characters * 7.2 / Math.min(LABEL_WIDTH, width * LABEL_PART)));
  }

  function heightOf(chart, isSmall, width) {
    if (chart.kind === "line") return isSmall ? SMALL_LINE_HEIGHT : LINE_HEIGHT;
    if (chart.kind === "funnel") return FUNNEL_HEIGHT;
    if (chart.kind === "bars") return chart.points.length * rowHeightOf(chart, width) + (chart.compare ? 24 : 0);
    const rows = new Set(chart.points.map((point) => point.label)).size + 1;
    return rows * (chart.compare ? COMPARED_CELL_HEIGHT : BAR_HEIGHT);
  }

  /** Draw a chart into an element, and let it follow width, colours, keys and zoom. */
  function draw(element, chart, output) {
    element.style.height = `${chart.height}px`;
    element.tabIndex = 0;
    element.setAttribute("role", "application");
    element.setAttribute("aria-roledescription", "chart");
    element.setAttribute("aria-label", descriptionOf(chart));
    const drawn = echarts.init(element, null, { renderer: "svg" });
    const isZoomed = () => chart.shown[0] > 0 || chart.shown[1] < 100;
    let canDrag = false;
    const show = () => {
      drawn.setOption(OPTIONS[chart.kind](chart, colours(), element.clientWidth));
      if (canDrag) drawn.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
    };
    // Dragging needs a second layout, which no chart waits for.
    if (chart.kind === "line" && hasFinePointer) element.addEventListener("pointerenter", () => { canDrag = true; show(); }, { once: true });
    let place = -1;
    const go = (to) => {
      place = Math.min(chart.points.length - 1, Math.max(0, to));
      drawn.dispatchAction({ type: "showTip", seriesIndex: 0, dataIndex: place });
      drawn.dispatchAction({ type: "downplay", seriesIndex: 0 });
      drawn.dispatchAction({ type: "highlight", seriesIndex: 0, dataIndex: place });
      output.textContent = wordsOf(chart, place).join(", ");
    };
    const zoom = (from, to) => {
      const [start, end] = [Math.max(0, from), Math.min(100, to)];
      if (end - start > 1) drawn.dispatchAction({ type: "dataZoom", dataZoomIndex: 0, start, end });
    };
    const closer = (part) => {
      const [from, to] = chart.shown;
      const middle = place < 0 ? (from + to) / 2 : 100 * place / Math.max(1, chart.points.length - 1);
      zoom(middle - (middle - from) * part, middle + (to - middle) * part);
    };
    const keys = {
      ArrowRight: () => go(place + 1),
      ArrowDown: () => go(place + 1),
      ArrowLeft: () => go(place < 0 ? chart.points.length - 1 : place - 1),
      ArrowUp: () => go(place < 0 ? chart.points.length - 1 : place - 1),
      Home: () => go(0),
      End: () => go(chart.points.length - 1),
      Enter: () => pick(place),
      Escape: () => drawn.dispatchAction({ type: "hideTip" }),
      ...(chart.kind === "line" ? { "+": () => closer(0.5), "-": () => closer(2), 0: () => zoom(0, 100) } : {}),
    };
    const pick = (chosen) => {
      const address = chart.points[chosen]?.pick;
      if (address) location.assign(address + (chart.compare ? `${address === "?" ? "" : "&"}compare=${chart.compare}` : ""));
    };
    drawn.on("click", ({ dataIndex, seriesIndex }) => { if (seriesIndex === 0) pick(dataIndex); });
    element.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    element.addEventListener("blur", keys.Escape);
    drawn.on("datazoom", () => {
      const [{ start, end }] = drawn.getOption().dataZoom;
      chart.shown = [start, end];
      element.parentElement.querySelector(".whole").hidden = !isZoomed();
      show();
    });
    const following = follow(element, drawn, show);
    /** Draw other points. While the chart has the focus, its description stays, so that nobody hears it again and again. */
    const update = () => {
      if (document.activeElement !== element) element.setAttribute("aria-label", descriptionOf(chart));
      if (element.style.height !== `${chart.height}px`) {
        element.style.height = `${chart.height}px`;
        drawn.resize();
      }
      show();
    };
    const remove = () => { following.disconnect(); redraws.delete(show); drawn.dispose(); };
    return { whole: () => zoom(0, 100), update, remove };
  }

  const form = document.querySelector(".asked");
  const comparison = form?.elements.compare;
  const asked = new URLSearchParams(location.search).get("compare") ?? "";
  if (comparison) comparison.value = [...comparison.options].some((option) => option.value === asked) ? asked : "";
  const compare = comparison?.value ?? "";

  /** The page of the period to compare with, loaded once; null without one. */
  const otherPage = compare && fetch(comparison.selectedOptions[0].dataset.page, { credentials: "same-origin" })
    .then((answer) => (answer.ok ? answer.text() : ""))
    .then((text) => new DOMParser().parseFromString(text, "text/html"));

  /** Return the number of the month of a period such as `2026-03` or `2026-03-31`; NaN for a week. */
  const monthOf = (period) => (/^\d{4}-\d\d(-|$)/.test(period) ? 12 * period.slice(0, 4) + Number(period.slice(5, 7)) - 1 : NaN);
  const monthsBetween = form ? monthOf(form.dataset.period) - monthOf(compare) : NaN;

  /** Return a month moved by the distance of the two periods; empty for weeks. */
  function movedMonth(month) {
    const moved = monthOf(month) - monthsBetween;
    return Number.isNaN(moved) ? "" : `${Math.floor(moved / 12)}-${String(1 + (moved % 12)).padStart(2, "0")}`;
  }

  /** Give each point its counterpart in the period to compare with. Lines and rows of months are moved by its distance. */
  async function addOthers(charts, plot, kind) {
    if (kind === "line") {
      for (const { points } of charts) {
        const placeOf = (period) => points.findIndex((point) => point.label === period);
        const [here, there] = [placeOf(form.dataset.period), placeOf(compare)];
        if (here < 0 || there < 0) continue;
        points.forEach((point, place) => {
          const { label, value, text } = points[place - here + there] ?? {};
          if (label) point.other = { name: label, value, text };
        });
      }
      return;
    }
    const card = plot.closest("section").id;
    const table = (await otherPage).getElementById(card)?.querySelector("table");
    if (!table) return;
    const found = readTable(table, kind).flatMap((chart) => chart.points);
    for (const point of charts.flatMap((chart) => chart.points)) {
      const label = kind === "heatmap" ? movedMonth(point.label) : point.label;
      const isCounterpart = (one) => one.label === label && one.group === point.group && (kind !== "heatmap" || one.column === point.column);
      const { value, text } = found.find(isCounterpart) ?? {};
      if (text) point.other = { name: kind === "heatmap" ? label : compare, value, text };
    }
  }

  /** Add to each key figure its value in the period to compare with. The change needs two complete periods. */
  async function compareFigures() {
    const others = new Map([...(await otherPage).querySelectorAll("[data-figure]")].map((other) => [other.dataset.figure, other]));
    for (const figure of document.querySelectorAll("[data-figure]")) {
      const other = others.get(figure.dataset.figure);
      if (!other) continue;
      const partial = other.dataset.partial || figure.dataset.partial;
      const change = partial || changeOf(Number(other.dataset.value), Number(figure.dataset.value), figure.dataset.unit);
      const line = document.createElement("span");
      line.className = "change compared";
      line.textContent = `${compare}: ${other.dataset.text.trim()}${change ? ` (${change})` : ""}`;
      figure.append(line);
    }
  }

  /** Return the small charts of the table of a plot, without empty ones. */
  function chartsOf(plot) {
    return readTable(plot.parentElement.querySelector("table"), plot.dataset.kind).filter((chart) => chart.points.length);
  }

  /** Return the greatest value of charts, which share a scale. */
  function mostOf(charts) {
    return Math.max(0, ...charts.flatMap((chart) => chart.points.flatMap((point) => [point.value, point.other?.value ?? 0])));
  }

  /** The drawn charts of each plot, and what updates and removes each. */
  const drawings = new Map();

  /** Draw the rows of a table that a script has changed: in place, or anew if there are other charts than before. */
  function followRows(plot) {
    const before = drawings.get(plot);
    if (!before) return;
    const charts = chartsOf(plot);
    if (charts.length === before.length && charts.every(({ title }, place) => title === before[place].chart.name)) {
      const most = mostOf(charts);
      before.forEach(({ chart, element, update }, place) => {
        Object.assign(chart, { points: charts[place].points, most });
        chart.height = heightOf(chart, charts.length > 1, element.clientWidth);
        update();
      });
      return;
    }
    before.forEach(({ remove }) => remove());
    plot.replaceChildren();
    drawAll(plot);
  }

  /** Draw all small charts of a table. */
  async function drawAll(plot) {
    const { kind, title } = plot.dataset;
    const charts = chartsOf(plot);
    if (compare) await addOthers(charts, plot, kind);
    const most = mostOf(charts);
    const drawn = [];
    const output = document.createElement("output");
    output.className = "unseen";
    const whole = document.createElement("button");
    Object.assign(whole, { type: "button", className: "whole", hidden: true, textContent: "Show all" });
    plot.classList.toggle("multiples", charts.length > 1);
    for (const chart of charts) {
      const isCompared = chart.points.some((point) => point.other);
      Object.assign(chart, { kind, most, period: form?.dataset.period ?? "", compare: isCompared ? compare : "", shown: [0, 100], name: chart.title, title: chart.title ? `${title}: ${chart.title}` : title });
      const part = document.createElement("div");
      if (chart.name) {
        const heading = document.createElement("h4");
        heading.textContent = chart.name;
        part.append(heading);
      }
      const element = document.createElement("div");
      element.className = "drawing";
      part.append(element);
      plot.append(part);
      chart.height = heightOf(chart, charts.length > 1, element.clientWidth);
      if (charts.length === 1) part.append(whole);
      if (kind === "heatmap" && isCompared) {
        const explanation = document.createElement("p");
        explanation.className = "more";
        const distance = Math.abs(monthsBetween);
        explanation.textContent = `The second number is the difference, in points, from the row ${distance} month${distance === 1 ? "" : "s"} ${monthsBetween < 0 ? "later" : "before"}.`;
        part.append(explanation);
      }
      const { whole: showAll, update, remove } = draw(element, chart, output);
      drawn.push({ chart, element, update, remove });
      if (charts.length === 1) whole.addEventListener("click", showAll);
    }
    drawings.set(plot, drawn);
    plot.append(output);
    plot.style.minHeight = "";
  }

  /** Draw the small line of a key figure. It repeats what the figure says, so it takes no focus. */
  function drawSpark(element) {
    const values = element.dataset.values.split(" ").map(Number);
    const drawn = echarts.init(element, null, { renderer: "svg" });
    const last = values.length - 1;
    const show = () => {
      const { accent } = colours();
      const scale = { type: "value", show: false, scale: true };
      drawn.setOption({
        animation: false,
        grid: { left: 2, right: 4, top: 4, bottom: 3 },
        xAxis: { type: "category", show: false, boundaryGap: false },
        yAxis: scale,
        series: [{ type: "line", silent: true, data: values, symbol: "circle", symbolSize: (_, { dataIndex }) => (dataIndex === last ? 5 : 0), showAllSymbol: true, lineStyle: { color: accent, width: 1.5 }, itemStyle: { color: accent } }],
      });
    };
    element.setAttribute("aria-hidden", "true");
    follow(element, drawn, show);
  }

  /** Draw now, and again when width or colours change; return what observes the width. */
  function follow(element, drawn, show) {
    show();
    redraws.add(show);
    let width = drawn.getWidth();
    const observer = new ResizeObserver(() => {
      // The first call tells the width that the chart already has.
      if (element.clientWidth === width) return;
      drawn.resize();
      width = drawn.getWidth();
      show();
    });
    observer.observe(element);
    return observer;
  }

  /** Let the headings of a table sort its rows: numbers the largest first, texts by the alphabet. */
  function sortable(table) {
    const body = table.tBodies[0];
    if (!table.tHead || !body || body.rows.length < 2) return;
    [...table.tHead.rows[0].cells].forEach((heading, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      heading.append(button);
      const valueOf = (row) => row.cells[place]?.textContent.trim() ?? "";
      const numberOf = (row) => Number(row.cells[place]?.dataset.value ?? (valueOf(row).replaceAll(",", "") || NaN));
      button.addEventListener("click", () => {
        const isNumeric = heading.classList.contains("number");
        const before = heading.getAttribute("aria-sort");
        const order = before ? (before === "ascending" ? "descending" : "ascending") : isNumeric ? "descending" : "ascending";
        const sign = order === "ascending" ? 1 : -1;
        const compareRows = (one, other) => {
          if (!isNumeric) return sign * valueOf(one).localeCompare(valueOf(other), "en", { numeric: true });
          const [first, second] = [numberOf(one), numberOf(other)];
          if (Number.isNaN(first) || Number.isNaN(second)) return Number.isNaN(first) - Number.isNaN(second);
          return sign * (first - second);
        };
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", order);
        body.append(...[...body.rows].sort(compareRows));
      });
    });
  }

  const waiting = [];
  let isDrawing = false;

  const isOnScreen = (plot) => {
    const { top, bottom } = plot.getBoundingClientRect();
    return bottom >= 0 && top < innerHeight;
  };
  /** Wait for the next frame, but not long: a page that is not shown paints none. */
  const painted = () => new Promise((resolve) => { requestAnimationFrame(() => setTimeout(resolve)); setTimeout(resolve, LONGEST_FRAME); });
  const idle = () => new Promise((resolve) => { window.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 500 }) : setTimeout(resolve, 50); });

  /** Draw the charts that wait: first those on the screen, each shown before the next is drawn, the others when idle. */
  async function drawWaiting() {
    if (isDrawing) return;
    isDrawing = true;
    while (waiting.length) {
      const onScreen = waiting.filter(isOnScreen);
      const next = onScreen.find((plot) => plot.matches(".plot")) ?? onScreen[0] ?? waiting[0];
      if (!onScreen.length) await idle();
      waiting.splice(waiting.indexOf(next), 1);
      // If one cannot be drawn, the others are.
      if (next.matches(".spark")) await Promise.resolve(next).then(drawSpark).catch(console.error);
      else drawAll(next).catch(console.error);
      await painted();
    }
    isDrawing = false;
  }

  /** Keep room for a chart that is not drawn yet, so that only charts near the screen are drawn at first. */
  function keepRoom(plot) {
    const { kind } = plot.dataset;
    const table = plot.parentElement.querySelector("table");
    const isSmall = table.querySelectorAll("th[data-drawn]").length > 1;
    const height = { line: isSmall ? SMALL_LINE_HEIGHT : LINE_HEIGHT, funnel: FUNNEL_HEIGHT }[kind] ?? BAR_HEIGHT * table.querySelectorAll("tr[data-label]").length;
    plot.style.minHeight = `${height}px`;
  }

  const nearby = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      nearby.unobserve(target);
      waiting.push(target);
    }
    drawWaiting();
  }, { rootMargin: "600px" });
  followColours();
  if (compare) compareFigures();
  document.querySelectorAll(".plot").forEach(keepRoom);
  document.querySelectorAll(".plot, .spark").forEach((plot) => nearby.observe(plot));
  document.querySelectorAll(".plot").forEach((plot) => plot.addEventListener("rows", () => followRows(plot)));
  document.querySelectorAll("table.sortable").forEach(sortable);
})();
