// What is shown: the overview of all heads, and one head as lines and as a picture.

// ---- tokens

// The sign of a piece that goes on a word is made faint; white space is made visible.
function tokenText(token) {
  const shown = token.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/^ | $/g, "␣") || "∅";
  if (!/^·./.test(shown)) return [shown];
  return [element("span", { className: "mark", textContent: "·" }), shown.slice(1)];
}
const quoted = (token) => `“${token}”`;

// ---- the overview: tabs, a picture of each head, what the heads do

function nameOf(layer, head) {
  if (layer === null) return `Average of all ${group().layers * group().heads} heads`;
  return head === null ? `Layer ${layer + 1}, average of its heads` : `Layer ${layer + 1}, head ${head + 1}`;
}

function sayHabits(found) {
  const distance = found.distance === null ? "" : ` · ${found.distance.toFixed(1)} tokens away on average`;
  return `${found.words} · ${found.tokens.toFixed(1)} tokens wide (${found.entropy.toFixed(1)} bits)${distance}`;
}

function showTabs() {
  find(".tabs").replaceChildren(...groups.map((one, index) => {
    const chosen = index === state.group;
    const tab = element("button", { type: "button", textContent: one.title, tabIndex: chosen ? 0 : -1 });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", chosen);
    tab.setAttribute("aria-controls", "panel");
    tab.addEventListener("click", () => go({ group: index, layer: null, head: null }));
    return tab;
  }));
}

function thumbnail(layer, head) {
  const canvas = element("canvas");
  paint(canvas, group(), layer, head);
  const label = `${nameOf(layer, head)}: ${habitsOf(group(), layer, head).words}`;
  const button = element("button", { type: "button", title: label }, canvas);
  button.classList.toggle("everything", layer === null);
  button.classList.toggle("average", head === null);
  button.setAttribute("role", "radio");
  button.setAttribute("aria-label", label);
  Object.assign(button.dataset, { layer: layer ?? "", head: head ?? "" });
  button.addEventListener("click", () => go({ layer, head }));
  return button;
}

function showGrid() {
  const { layers, heads } = group();
  const words = (textContent, className = "") => element("span", { textContent, className });
  const grid = find(".grid");
  grid.style.gridTemplateColumns = `max-content minmax(1.6rem, 1.35fr) repeat(${heads}, minmax(1.1rem, 1fr))`;
  grid.replaceChildren(words("all"), thumbnail(null, null), words("the average of all heads", "rest"));
  grid.append(words("layer", "corner"), words("avg."), ...Array.from({ length: heads }, (_, head) => words(head + 1)));
  for (let layer = 0; layer < layers; layer++) {
    grid.append(words(layer + 1), thumbnail(layer, null));
    for (let head = 0; head < heads; head++) grid.append(thumbnail(layer, head));
  }
}

function showScale() {
  const canvas = find(".scale canvas");
  canvas.width = 256;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  colours.forEach((colour, x) => {
    context.fillStyle = `rgb(${colour.join(" ")})`;
    context.fillRect(x, 0, 1, 1);
  });
  find(".scale ol").replaceChildren(...TICKS.map((weight) => {
    const tick = element("li", { textContent: `${100 * weight}%` });
    tick.style.left = `${100 * weight ** POWER}%`;
    return tick;
  }));
}

function showHabits() {
  const found = new Map();
  group().perHead.forEach((layer, l) => layer.forEach((head, h) => {
    const habits = head.habits.length ? head.habits : [[head.words, null]];
    for (const [name, share] of habits) found.set(name, [...(found.get(name) ?? []), { l, h, share }]);
  }));
  const named = [...found].sort(([, a], [, b]) => (b[0].share !== null) - (a[0].share !== null) || b.length - a.length);
  find(".habits").replaceChildren(...named.flatMap(([name, heads]) => [
    element("dt", { textContent: name, dir: "auto" }),
    element("dd", {}, ...heads.sort((a, b) => b.share - a.share).map(({ l, h, share }) => {
      const text = share === null ? "" : ` ${Math.round(100 * share)}%`;
      const label = element("b", { textContent: `${l + 1}/${h + 1}` });
      const button = element("button", { type: "button", title: nameOf(l, h) }, label, text);
      button.addEventListener("click", () => go({ layer: l, head: h }));
      return button;
    })),
  ]));
}

// ---- one head: tokens, lines, picture

let figure = null;

function tokenList(tokens, className, label, side) {
  const list = element("ol", { className: `tokens ${className}` });
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", label);
  tokens.forEach((token, index) => {
    const text = element("span", { className: "token", dir: "auto" }, ...tokenText(token));
    const item = element("li", { tabIndex: index ? -1 : 0 }, text, element("span", { className: "number" }));
    item.setAttribute("role", "option");
    const here = { row: null, column: null, [side]: index };
    item.addEventListener("pointerenter", () => point(here));
    item.addEventListener("pointerleave", () => point(null));
    item.addEventListener("focus", () => point(here));
    item.addEventListener("blur", () => point(null));
    item.addEventListener("click", () => hold(here));
    list.append(item);
  });
  list.addEventListener("keydown", (event) => moveInList(event, list));
  return list;
}

function showFigure() {
  const { rows, columns, rowTitle, columnTitle } = group();
  const caption = (textContent, side = "") => element("div", { textContent, className: `caption ${side}` });
  const canvas = element("canvas", { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-roledescription", "heat map");
  figure = {
    columns: tokenList(columns, "to", columnTitle, "column"),
    lines: document.createElementNS("http://www.w3.org/2000/svg", "svg"),
    rows: tokenList(rows, "from", rowTitle, "row"),
    above: element("div", { className: "above" }, ...columns.map((token) => element("span", {}, ...tokenText(token)))),
    canvas,
  };
  const beside = rows.map((token) => element("li", {}, element("span", { className: "token", dir: "auto" }, ...tokenText(token))));
  const names = element("ol", { className: "tokens to names" }, ...beside);
  for (const ornament of [figure.lines, figure.above, names]) ornament.setAttribute("aria-hidden", "true");
  find(".figure").replaceChildren(
    element("div", { className: "links" }, caption(columnTitle, "right"), caption(""), caption(rowTitle), figure.columns, figure.lines, figure.rows),
    element("div", { className: "map" }, element("div", { className: "corner" }), figure.above, names, canvas),
  );
  canvas.addEventListener("pointermove", (event) => point(cellUnder(event), event));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => hold(cellUnder(event)));
  canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && state.row === null && point({ row: 0, column: 0 }));
  canvas.addEventListener("blur", () => point(null));
  canvas.addEventListener("keydown", moveInPicture);
  layOut();
}

// Rows as high as legible, columns as wide as fits; the picture goes below the lines where the screen is narrow.
function layOut() {
  const { rows, columns } = group();
  const box = find(".figure");
  const set = (name, value) => box.style.setProperty(name, value);
  const longest = Math.max(rows.length, columns.length);
  figure.pitch = Math.min(32, Math.max(18, Math.floor(620 / longest)));
  set("--pitch", `${figure.pitch}px`);
  set("--lines", longest > 24 ? "4.5rem" : "7rem");
  const stacked = box.clientWidth < NARROW;
  box.classList.toggle("stacked", stacked);
  const beside = stacked ? find(".names") : find(".links");
  const room = box.clientWidth - beside.offsetWidth - 8;
  figure.cell = Math.min(figure.pitch + 12, Math.max(10, Math.floor(room / columns.length)));
  set("--cell", `${figure.cell}px`);
  set("--above", `${figure.above.offsetHeight}px`);
  const height = longest * figure.pitch;
  figure.lines.setAttribute("height", height);
  const ratio = window.devicePixelRatio;
  const [width, tall] = [columns.length * figure.cell, rows.length * figure.pitch];
  Object.assign(figure.canvas, { width: width * ratio, height: tall * ratio });
  Object.assign(figure.canvas.style, { width: `${width}px`, height: `${tall}px` });
}

function drawPicture() {
  const { rows, columns } = group();
  const context = figure.canvas.getContext("2d");
  const { cell, pitch } = figure;
  const gap = cell >= 14 ? 1 : 0;
  context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
  context.clearRect(0, 0, columns.length * cell, rows.length * pitch);
  const pointed = state.row !== null || state.column !== null;
  const [ink, strongInk, accent] = ["--ink", "--on-strong", "--accent"].map(variable);
  Object.assign(context, { font: `11px ${variable("--sans")}`, textAlign: "center", textBaseline: "middle" });
  for (let row = 0; row < rows.length; row++) {
    for (let column = 0; column < columns.length; column++) {
      if (!visible(row, column)) continue;
      context.globalAlpha = !pointed || row === state.row || column === state.column ? 1 : 0.3;
      context.fillStyle = css(weightAt(row, column));
      context.fillRect(column * cell, row * pitch, cell - gap, pitch - gap);
      if (cell < NUMBERS_FROM || weightAt(row, column) < 0.005) continue;
      context.fillStyle = isStrong(weightAt(row, column)) ? strongInk : ink;
      context.fillText(Math.round(100 * weightAt(row, column)), (column + 0.5) * cell, (row + 0.5) * pitch);
    }
  }
  context.globalAlpha = 1;
  context.strokeStyle = accent;
  context.lineWidth = 2;
  if (state.row !== null && state.column !== null) {
    context.strokeRect(state.column * cell + 1, state.row * pitch + 1, cell - gap - 2, pitch - gap - 2);
  }
}

function drawLines() {
  const { rows, columns } = group();
  const width = figure.lines.clientWidth;
  const paths = [];
  for (let row = 0; row < rows.length; row++) {
    for (let column = 0; column < columns.length; column++) {
      const weight = weightAt(row, column);
      const pointed = state.row !== null ? row === state.row : column === state.column;
      if (weight < (pointed ? 0.005 : LINE_FROM)) continue;
      if (!pointed && (state.row !== null || state.column !== null)) continue;
      const [from, to] = [(row + 0.5) * figure.pitch, (column + 0.5) * figure.pitch];
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("d", `M${width - 3} ${from}C${width / 2} ${from} ${width / 2} ${to} 3 ${to}`);
      path.setAttribute("stroke-width", (0.7 + 4 * weight).toFixed(2));
      path.setAttribute("stroke-opacity", Math.min(1, (pointed ? 0.25 : 0.05) + weight ** 0.75).toFixed(3));
      path.classList.toggle("active", pointed);
      paths.push(path);
    }
  }
  figure.lines.replaceChildren(...paths);
}

function markTokens(list, { active, weightOf }) {
  [...list.children].forEach((item, index) => {
    const weight = weightOf(index);
    item.classList.toggle("active", index === active);
    item.classList.toggle("held", index === active && state.held);
    item.setAttribute("aria-selected", index === active);
    item.classList.toggle("strong", weight !== null && index !== active && isStrong(weight));
    item.style.backgroundColor = weight === null || index === active || weight < 0.005 ? "" : css(weight);
    item.querySelector(".number").textContent = weight === null || weight < 0.005 ? "" : `${(100 * weight).toFixed(weight < 0.0995 ? 1 : 0)}%`;
  });
}

function readOut() {
  const { rows, columns } = group();
  const { row, column } = state;
  const most = (tokens, weightOf) => tokens.map((token, index) => [token, weightOf(index)])
    .sort(([, a], [, b]) => b - a).slice(0, 5).filter(([, weight]) => weight >= 0.005)
    .map(([token, weight]) => `${quoted(token)} ${percent(weight)}`).join(", ");
  const readout = find(".readout");
  readout.classList.toggle("hint", row === null && column === null);
  if (row !== null && column !== null) {
    const seen = visible(row, column) ? percent(weightAt(row, column)) : "not yet written, cannot be seen";
    return (readout.textContent = `${quoted(rows[row])} looks at ${quoted(columns[column])}: ${seen}`);
  }
  if (row !== null) {
    return (readout.textContent = `${quoted(rows[row])} looks at ${most(columns, (index) => weightAt(row, index))}`);
  }
  if (column !== null) {
    const who = most(rows, (index) => weightAt(index, column));
    return (readout.textContent = `${quoted(columns[column])} is looked at by ${who || "no token"}`);
  }
  return (readout.textContent = "Point at a token or at a cell; a click holds it.");
}

function showPointed() {
  const { row, column } = state;
  markTokens(figure.columns, { active: column, weightOf: (index) => (row === null ? null : weightAt(row, index)) });
  markTokens(figure.rows, { active: row, weightOf: (index) => (column === null || row !== null ? null : weightAt(index, column)) });
  [...figure.above.children].forEach((label, index) => label.classList.toggle("active", index === column));
  drawPicture();
  drawLines();
  return readOut();
}

function showTable() {
  const details = find(".table");
  const { rows, columns } = group();
  const cell = (name, textContent, scope) => element(name, { textContent, ...(scope ? { scope } : {}) });
  const head = element("tr", {}, element("td"), ...columns.map((token) => cell("th", token, "col")));
  const body = rows.map((token, row) => element("tr", {}, cell("th", token, "row"),
    ...columns.map((_, column) => cell("td", visible(row, column) ? percent(weightAt(row, column)) : ""))));
  find(".table div").replaceChildren(...(details.open ? [element("table", {}, element("thead", {}, head), element("tbody", {}, ...body))] : []));
}
