
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const channels = (hex) => [1, 3, 5].map((start) => parseInt(hex.slice(start, start + 2), 16));
const RAMPS = { light: data.ramps.light.map(channels), dark: data.ramps.dark.map(channels) };
const SHADES = 64; // steps of colour from weight 0 to the largest
const element = (id) => document.getElementById(id);
const state = { sentence: 0, hidden: new Set(), values: false, palette: [] };

/** The weights of a view, by row: 16 bits each, from 0 to 50,000. */
function weightsOf(view) {
  const bytes = Uint8Array.from(atob(view.weights), (character) => character.charCodeAt(0));
  const steps = new DataView(bytes.buffer);
  const width = view.columns.length;
  return view.rows.map((_, row) => view.columns.map((_, column) => steps.getUint16(2 * (row * width + column), true) / 50000));
}

/** Relative luminance of WCAG 2. */
function luminance(colour) {
  const [red, green, blue] = colour.map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Background and text colour of each shade, from weight 0 to the largest. */
function palette() {
  const ramp = RAMPS[isDark() ? "dark" : "light"];
  return Array.from({ length: SHADES + 1 }, (_, step) => {
    const position = (step / SHADES) * (ramp.length - 1);
    const low = Math.min(Math.floor(position), ramp.length - 2);
    const colour = ramp[low].map((value, index) => Math.round(value + (ramp[low + 1][index] - value) * (position - low)));
    return [`rgb(${colour.join(" ")})`, luminance(colour) > 0.179 ? "#000000" : "#ffffff"];
  });
}

function paint(target, shade) {
  [target.style.backgroundColor, target.style.color] = state.palette[Math.round(shade * SHADES)];
}

function shades(row) {
  const largest = Math.max(...row, 0);
  return row.map((weight) => (largest > 0 ? (weight / largest) ** data.gamma : 0));
}

function create(name, text, properties = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  Object.assign(made, properties);
  return made;
}

/** The direction of the first letter: words have one of their own, so the text must be given one. */
function direction(text) {
  const letter = text.match(/\p{L}/u);
  return letter && /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/.test(letter[0]) ? "rtl" : "ltr";
}

const word = (name, text) => create(name, text, { dir: "auto" });

function drawView(view) {
  const weights = weightsOf(view);
  const figure = create("figure");
  const caption = create("figcaption");
  if (view.title) caption.append(create("strong", view.title));
  const text = word("div", view.text);
  text.className = "text";
  caption.append(text);
  const confidence = `confidence ${view.probability.toFixed(2)} a piece`;
  caption.append(create("small", view.note ? `${view.note}; ${confidence}` : confidence));
  const table = create("table");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", view.title || "weights");
  const head = create("tr");
  head.append(create("td"));
  for (const column of view.columns) {
    const label = word("th", column);
    label.scope = "col";
    head.append(label);
  }
  head.append(create("td", undefined, { className: "figure" }));
  table.createTHead().append(head);
  const body = table.createTBody();
  const cells = weights.map((row, r) => {
    const line = create("tr");
    const label = word("th", view.rows[r]);
    label.scope = "row";
    line.append(label);
    const best = row.some((weight) => weight > 0) ? row.indexOf(Math.max(...row)) : -1;
    const shaded = shades(row);
    const made = row.map((weight, c) => {
      const cell = create("td", state.values ? String(Math.round(100 * weight) || "") : c === best ? "•" : "");
      cell.setAttribute("aria-label", `${view.rows[r]}, ${view.columns[c]}: ${weight.toFixed(2)}`);
      cell.tabIndex = r === 0 && c === 0 ? 0 : -1;
      if (c === best) cell.className = "best";
      paint(cell, shaded[c]);
      return cell;
    });
    line.append(...made, create("td", view.entropy[r].toFixed(1), { className: "figure", title: "entropy, nats" }));
    body.append(line);
    return made;
  });
  const foot = create("tr");
  foot.append(create("th", "coverage", { scope: "row" }));
  view.columns.forEach((_, c) => {
    foot.append(create("td", view.coverage[c].toFixed(1), { className: "figure", title: "coverage" }));
  });
  table.createTFoot().append(foot);
  listen(table, view, weights, cells, head);
  const scroll = create("div", undefined, { className: "scroll" });
  scroll.append(table);
  figure.append(caption, scroll);
  return figure;
}

/** Pointer and keyboard in one table. */
function listen(table, view, weights, cells, head) {
  let lit = [];
  const clear = () => {
    for (const each of lit) each.classList.remove("lit");
    lit = [];
    shadeSource(null);
  };
  const light = (r, c) => {
    clear();
    lit = [...(r === null ? [] : [cells[r][0] && cells[r][0].parentNode.firstChild]), ...(c === null ? [] : [head.children[c + 1]])];
    if (r !== null && c !== null) lit.push(cells[r][c]);
    lit = lit.filter(Boolean);
    for (const each of lit) each.classList.add("lit");
    if (r !== null) shadeSource(view, weights[r]);
    describe(view, weights, r, c);
  };
  const at = (target) => {
    const cell = target.closest("td, th");
    if (!cell || !table.contains(cell)) return [null, null];
    const row = body(cell) ? cell.parentNode.sectionRowIndex : null;
    const column = cell.cellIndex - 1;
    return [row, column >= 0 && column < view.columns.length ? column : null];
  };
  const body = (cell) => cell.parentNode.parentNode.tagName === "TBODY";
  const show = (event) => {
    const [r, c] = at(event.target);
    if (r !== null || c !== null) light(r, c);
  };
  table.addEventListener("pointerover", show);
  table.addEventListener("click", show);
  table.addEventListener("pointerleave", clear);
  table.addEventListener("focusin", show);
  table.addEventListener("keydown", (event) => {
    const [r, c] = at(event.target);
    if (r === null || c === null) return;
    const steps = {
      ArrowUp: [r - 1, c], ArrowDown: [r + 1, c], ArrowLeft: [r, c - 1], ArrowRight: [r, c + 1],
      Home: [r, 0], End: [r, view.columns.length - 1],
    };
    const next = steps[event.key];
    const cell = next && cells[next[0]] && cells[next[0]][next[1]];
    if (!next) return;
    event.preventDefault();
    if (!cell) return;
    event.target.tabIndex = -1;
    cell.tabIndex = 0;
    cell.focus();
  });
}

/** Shades the words of the source text by a row of weights, where they are its columns. */
function shadeSource(view, row) {
  const words = element("source").children;
  const shaded = view && row && row.length >= words.length && view.inSource ? shades(row) : null;
  for (let index = 0; index < words.length; index += 1) {
    words[index].removeAttribute("style");
    if (shaded) paint(words[index], shaded[index]);
  }
}

function describe(view, weights, r, c) {
  if (r !== null && c !== null) {
    element("details").textContent = `${view.rows[r]} ← ${view.columns[c]}  ${weights[r][c].toFixed(2)}`;
    return;
  }
  const byRow = r !== null;
  const labels = byRow ? view.columns : view.rows;
  const found = byRow ? weights[r] : weights.map((row) => row[c]);
  const order = labels.map((_, index) => index).sort((a, b) => found[b] - found[a]).slice(0, 5);
  const parts = order.filter((index) => found[index] >= 0.01).map((index) => `${labels[index]} ${found[index].toFixed(2)}`);
  element("details").textContent = byRow
    ? `${view.rows[r]} ← ${parts.join(" · ")}`
    : `${view.columns[c]} → ${parts.join(" · ")}`;
}

/** The table, row and column of the cell that has the focus; null where none has. */
function focusedCell() {
  const cell = document.activeElement.closest("#tables tbody td");
  if (!cell) return null;
  const tables = [...document.querySelectorAll("#tables table")];
  return [tables.indexOf(cell.closest("table")), cell.parentNode.sectionRowIndex, cell.cellIndex];
}

/** Gives the focus to the cell at that position, or else to the first one. */
function focusCell([number, row, column]) {
  const tables = document.querySelectorAll("#tables table");
  const table = tables[number] || tables[0];
  const first = table && table.querySelector("[tabindex]");
  if (!first) return;
  const wanted = table.tBodies[0].rows[row] && table.tBodies[0].rows[row].cells[column];
  const cell = wanted && wanted.hasAttribute("tabindex") ? wanted : first;
  first.tabIndex = -1;
  cell.tabIndex = 0;
  cell.focus();
}

function render() {
  const focused = focusedCell();
  state.palette = palette();
  const sentence = data.sentences[state.sentence];
  element("details").textContent = "";
  element("tables").replaceChildren();
  element("source").replaceChildren();
  if (!sentence) {
    element("tables").append(create("p", "No sentence has these words.", { className: "empty" }));
    return;
  }
  const titles = sentence.views.map((view) => view.title);
  const shown = sentence.views.filter((view) => !state.hidden.has(view.title));
  const first = sentence.views.find((view) => view.inSource);
  const columns = first ? first.columns.filter((_, index) => index < first.columns.length - (first.columns.at(-1) === "⏎")) : [sentence.source];
  element("source").dir = direction(sentence.source);
  element("source").append(...columns.map((text) => word("span", text)));
  for (const each of [...element("source").children].slice(1)) each.before(" ");
  element("tables").append(...shown.map(drawView));
  element("views").replaceChildren();
  if (titles.length > 1) {
    for (const title of titles) {
      const button = create("button", title, { type: "button" });
      button.setAttribute("aria-pressed", String(!state.hidden.has(title)));
      button.addEventListener("click", () => {
        if (!state.hidden.delete(title)) state.hidden.add(title);
        render();
        [...element("views").children].find((each) => each.textContent === title).focus();
      });
      element("views").append(button);
    }
  }
  element("sentence").value = String(state.sentence);
  if (focused) focusCell(focused);
}

function listSentences() {
  const words = element("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = data.sentences
    .map((sentence, index) => ({ sentence, index }))
    .filter(({ sentence }) => {
      if (!words.length) return true;
      const text = [sentence.source, ...sentence.views.map((view) => view.text)].join(" ").toLowerCase();
      return words.every((each) => text.includes(each));
    });
  element("sentence").replaceChildren(
    ...found.map(({ sentence, index }) => create("option", `${sentence.number}  ${sentence.source}`, { value: String(index) })),
  );
  if (!found.some(({ index }) => index === state.sentence)) state.sentence = found.length ? found[0].index : -1;
}

function step(by) {
  const options = [...element("sentence").options].map((option) => Number(option.value));
  const next = options[options.indexOf(state.sentence) + by];
  if (next === undefined) return;
  state.sentence = next;
  render();
}

element("sentence").addEventListener("change", (event) => { state.sentence = Number(event.target.value); render(); });
element("search").addEventListener("input", () => { listSentences(); render(); });
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("values").addEventListener("change", (event) => { state.values = event.target.checked; render(); });
element("theme").addEventListener("change", (event) => {
  if (event.target.value) document.documentElement.dataset.theme = event.target.value;
  else delete document.documentElement.dataset.theme;
  render();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input[type=search], select");
  if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    "/": () => element("search").focus(),
    v: () => element("values").click(),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
});
listSentences();
render();
