// The drift widget: a table of columns and the picture of one of them. Plain DOM and SVG; loads nothing.

const COLUMNS = [
  { key: "column", label: "column", text: true },
  { key: "drifted", label: "verdict" },
  { key: "effect", label: "effect", heat: "213, 94, 0" },
  { key: "p_adjusted", label: "adjusted p" },
  { key: "psi", label: "PSI", heat: "0, 114, 178" },
  { key: "js", label: "JS", heat: "0, 114, 178" },
  { key: "missing_current", label: "missing", heat: "204, 121, 167", percent: true },
  { key: "n_current", label: "rows" },
  { key: "reason", label: "reason", text: true },
];
const STATES = { true: ["yes", "drifted"], false: ["no", "not drifted"], null: ["unsure", "undecided"] };
const SVG = "http://www.w3.org/2000/svg";
const SIDES = ["reference", "current"];
const WORDS = { reference: "reference", current: "now" };

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function shape(tag, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(1);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

const percent = (share) => (share === null ? "–" : `${number(share * 100)} %`);

// A column that came or went has no effect, and stands above every one that has.
const place = (row, key) => (key === "effect" && row.effect === null && row.drifted === true ? Infinity : row[key]);

function compare(a, b, key) {
  const [x, y] = [place(a, key), place(b, key)];
  if (x === y) return 0;
  if (x === null) return -1;
  if (y === null) return 1;
  return typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
}

function visibleRows(rows, state) {
  const wanted = state.filter.trim().toLowerCase();
  const found = rows.filter((row) => row.column.toLowerCase().includes(wanted) && (!state.onlyDrifted || row.drifted !== false));
  const sign = state.descending ? -1 : 1;
  return found.sort((a, b) => sign * compare(a, b, state.sort));
}

function cell(row, column, largest) {
  const value = row[column.key];
  if (column.key === "drifted") {
    const [kind, word] = STATES[String(value)];
    return element("td", {}, element("span", { class: `state ${kind}` }, word));
  }
  if (column.text) return element("td", { class: column.key === "column" ? "name" : "reason" }, value ?? "");
  const made = element("td", { class: `number ${column.key}` }, column.percent ? percent(value) : number(value));
  const top = largest[column.key];
  if (top > 0 && value !== null) made.style.backgroundColor = `rgba(${column.heat}, ${(0.55 * Math.abs(value)) / top})`;
  return made;
}

function header(state, sortBy) {
  const cells = COLUMNS.map((column) => {
    const order = state.sort !== column.key ? "none" : state.descending ? "descending" : "ascending";
    const button = element("button", { type: "button" }, column.label);
    button.addEventListener("click", () => sortBy(column));
    return element("th", { scope: "col", "aria-sort": order, class: column.text || column.key === "drifted" ? column.key : `number ${column.key}` }, button);
  });
  return element("thead", {}, element("tr", {}, ...cells));
}

function body(rows, largest, selected, select) {
  const made = element("tbody");
  for (const row of rows) {
    const line = element("tr", { tabindex: "0", "aria-selected": String(row.column === selected), "data-column": row.column });
    line.append(...COLUMNS.map((column) => cell(row, column, largest)));
    line.addEventListener("click", () => select(row.column));
    line.addEventListener("keydown", (event) => onRowKey(event, line, () => select(row.column)));
    made.append(line);
  }
  return made;
}

function onRowKey(event, line, choose) {
  const next = { ArrowDown: line.nextElementSibling, ArrowUp: line.previousElementSibling }[event.key];
  if (event.key === "Enter" || event.key === " ") choose();
  else if (next) next.focus();
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// ── The picture of one column ──────────────────────────────────────────────────────────────────────────────────────

function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.floor((high - first) / step + 1e-9) + 1 }, (_, i) => Number((first + i * step).toPrecision(12)));
}

// Axes over the grid of a numeric column, shares up to `highest`: the drawing, and what turns values into places.
function axes(detail, highest, label) {
  const [width, height, left, bottom, top] = [760, 220, 46, 24, 8];
  const edges = detail.edges;
  const x = (value) => left + ((value - edges[0]) / (edges[edges.length - 1] - edges[0])) * (width - left - 8);
  const y = (share) => height - bottom - (share / highest) * (height - bottom - top);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  for (const share of ticks(0, highest, 4)) {
    svg.append(shape("line", { class: "grid", x1: left, x2: width - 8, y1: y(share), y2: y(share) }));
    svg.append(shape("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, `${number(share * 100)} %`));
  }
  for (const value of ticks(edges[0], edges[edges.length - 1], 7)) {
    svg.append(shape("text", { x: x(value), y: height - 7, "text-anchor": "middle" }, number(value, 4)));
  }
  return { svg, x, y, top, tall: height - bottom - top };
}

function histogram(detail, say) {
  const edges = detail.edges;
  const highest = Math.max(...detail.reference, ...detail.current, 1e-9);
  const { svg, x, y, top, tall } = axes(detail, highest, `reference and now of ${detail.name}`);
  for (const side of SIDES) svg.append(shape("path", { class: side, d: steps(edges, detail[side], x, y) }));
  detail.reference.forEach((share, i) => {
    const hit = shape("rect", { class: "hit", x: x(edges[i]), width: x(edges[i + 1]) - x(edges[i]), y: top, height: tall });
    const text = `${number(edges[i], 4)} to ${number(edges[i + 1], 4)}: reference ${percent(share)}, now ${percent(detail.current[i])}`;
    svg.append(explained(hit, text, say));
  });
  return svg;
}

function steps(edges, shares, x, y) {
  const tops = shares.map((share, i) => `V${y(share)}H${x(edges[i + 1])}`);
  return `M${x(edges[0])},${y(0)}${tops.join("")}V${y(0)}Z`;
}

// The distribution functions: step lines through the points that lie on the grid, and what is known at the ends.
function cumulative(detail, say) {
  const { svg, x, y, top, tall } = axes(detail, 1, `shares of reference and now up to each value of ${detail.name}`);
  const [low, high] = [detail.edges[0], detail.edges[detail.edges.length - 1]];
  const inside = (value) => Math.min(Math.max(value, low), high);
  for (const side of SIDES) {
    const upto = detail[`${side}_upto`];
    const before = detail.points.filter((value) => value < low).length;
    const line = detail.points.map((value, i) => (value < low || value > high ? "" : `H${x(value)}V${y(upto[i])}`));
    svg.append(shape("path", { class: `${side} line`, d: `M${x(low)},${y(before ? upto[before - 1] : 0)}${line.join("")}H${x(high)}` }));
  }
  detail.points.forEach((value, i) => {
    const [from, to] = [x(inside(value)), x(inside(detail.points[i + 1] ?? high))];
    if (to <= from) return;
    const hit = shape("rect", { class: "hit", x: from, width: to - from, y: top, height: tall });
    svg.append(explained(hit, `up to ${number(value, 4)}: reference ${percent(detail.reference_upto[i])}, now ${percent(detail.current_upto[i])}`, say));
  });
  return svg;
}

// Either picture of a numeric column, and the button that turns one into the other.
function numeric(detail, say) {
  const made = element("div");
  const button = element("button", { type: "button", class: "turn", "aria-pressed": "false" }, "cumulative");
  const draw = (up) => {
    button.setAttribute("aria-pressed", String(up));
    made.replaceChildren(...(detail.points?.length ? [button] : []), up ? cumulative(detail, say) : histogram(detail, say));
  };
  button.addEventListener("click", () => draw(button.getAttribute("aria-pressed") === "false"));
  draw(false);
  return made;
}

function bars(detail, say) {
  const [width, left, band] = [760, 190, 30];
  const height = detail.levels.length * band + 24;
  const highest = Math.max(...detail.reference, ...detail.current, 1e-9);
  const length = (share) => (share / highest) * (width - left - 70);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `reference and now of ${detail.name}` });
  for (const share of ticks(0, highest, 5)) {
    svg.append(shape("line", { class: "grid", x1: left + length(share), x2: left + length(share), y1: 0, y2: height - 20 }));
    svg.append(shape("text", { x: left + length(share), y: height - 6, "text-anchor": "middle" }, `${number(share * 100)} %`));
  }
  detail.levels.forEach((level, i) => {
    const name = level === "" ? "(empty)" : level.length > 26 ? `${level.slice(0, 25)}…` : level;
    svg.append(shape("text", { class: "level", x: left - 8, y: i * band + 18, "text-anchor": "end" }, name));
    SIDES.forEach((side, k) => {
      svg.append(shape("rect", { class: side, x: left, y: i * band + 3 + k * 12, width: length(detail[side][i]), height: 11, rx: 1.5 }));
    });
    const hit = shape("rect", { class: "hit", x: 0, y: i * band, width, height: band });
    svg.append(explained(hit, `${name}: reference ${percent(detail.reference[i])}, now ${percent(detail.current[i])}`, say));
  });
  return svg;
}

function explained(hit, text, say) {
  hit.append(shape("title", {}, text));
  hit.addEventListener("pointerenter", () => say(text));
  hit.addEventListener("pointerleave", () => say(""));
  return hit;
}

function legend() {
  const output = element("span", { class: "value" });
  const keys = SIDES.map((side) => {
    const swatch = element("i");
    swatch.style.background = `var(--prodml-${side})`;
    return element("span", {}, swatch, WORDS[side]);
  });
  return [element("div", { class: "legend" }, ...keys, output), (text) => (output.textContent = text)];
}

function detailView(row, detail) {
  const made = element("section", { class: "detail", "aria-live": "polite" });
  if (!row) return made;
  made.append(element("h4", {}, row.column), element("p", {}, row.reason));
  if (!detail) {
    made.append(element("p", {}, "No distribution was kept for this column."));
    return made;
  }
  const [keys, say] = legend();
  made.append(keys, detail.edges.length ? numeric(detail, say) : bars(detail, say));
  if (detail.note) made.append(element("p", {}, detail.note));
  return made;
}

// ── The whole ──────────────────────────────────────────────────────────────────────────────────────────────────────

const staticOf = (id) => `.prodml-static-${CSS.escape(id)}`;

// A style rule rather than a property of the elements: it also hides what reaches the page later.
function hideStatic(id) {
  const rule = element("style", {}, `${staticOf(id)} { display: none !important; }`);
  document.head.append(rule);
  return () => rule.remove();
}

function isDark(root) {
  const channels = getComputedStyle(root).color.match(/[\d.]+/g) ?? [0, 0, 0];
  return channels.slice(0, 3).reduce((sum, channel) => sum + Number(channel), 0) > 382;
}

function title(summary) {
  const facts = (summary.facts ?? []).map(([name, value]) => element("span", {}, `${name} `, element("b", {}, String(value))));
  return [element("h3", {}, summary.title ?? "Drift"), element("div", { class: "facts" }, ...facts)];
}

function tools(state, draw) {
  const search = element("input", { type: "search", placeholder: "filter columns", "aria-label": "filter columns" });
  search.addEventListener("input", () => draw({ filter: search.value }));
  const box = element("input", { type: "checkbox" });
  box.addEventListener("change", () => draw({ onlyDrifted: box.checked }));
  const count = element("span", { class: "count", role: "status" });
  return [element("div", { class: "tools" }, search, element("label", {}, box, " only drifted or undecided"), count), count];
}

function render({ model, el }) {
  const rows = model.get("rows");
  const largest = Object.fromEntries(COLUMNS.filter((c) => c.heat).map((c) => [c.key, Math.max(0, ...rows.map((row) => Math.abs(row[c.key] ?? 0)))]));
  const state = { sort: "effect", descending: true, filter: "", onlyDrifted: false };
  const root = element("div", { class: "prodml-drift" });
  const table = element("table", { "aria-label": "drift per column" });
  const [bar, count] = tools(state, draw);
  const detail = element("div");

  function draw(change = {}) {
    Object.assign(state, change);
    const shown = visibleRows([...rows], state);
    count.textContent = shown.length === rows.length ? `${rows.length} columns` : `${shown.length} of ${rows.length} columns`;
    const focused = table.contains(document.activeElement) ? focusedKey() : null;
    table.replaceChildren(header(state, sortBy), body(shown, largest, model.get("selected"), select));
    focused?.()?.focus();
  }

  function focusedKey() {
    const line = document.activeElement.closest("tr[data-column]");
    if (line) return () => [...table.querySelectorAll("tr[data-column]")].find((other) => other.dataset.column === line.dataset.column);
    const i = [...table.querySelectorAll("th button")].indexOf(document.activeElement);
    return () => table.querySelectorAll("th button")[i];
  }

  function sortBy(column) {
    draw({ sort: column.key, descending: state.sort === column.key ? !state.descending : !column.text });
  }

  function select(name) {
    model.set("selected", name);
    model.save_changes();
    show();
  }

  function show() {
    const name = model.get("selected");
    detail.replaceChildren(detailView(rows.find((row) => row.column === name), model.get("details")[name]));
    draw();
  }

  // Title and facts stand above the static table already, where that is on the page.
  const above = document.querySelector(staticOf(model.get("picture_id"))) ? [] : title(model.get("summary"));
  root.append(...above, bar, element("div", { class: "scroll" }, table), detail);
  el.append(root);
  if (isDark(root)) root.classList.add("prodml-dark");
  const first = visibleRows([...rows], state).find((row) => row.column in model.get("details"));
  if (!model.get("selected") && first) model.set("selected", first.column);
  show();
  model.on("change:selected", show);
  const restore = hideStatic(model.get("picture_id"));
  return () => {
    model.off("change:selected", show);
    restore();
  };
}

export default { render };
