// How one moves about: pointer, keyboard and the address.

function cellUnder(event) {
  const box = figure.canvas.getBoundingClientRect();
  const clamp = (value, count) => Math.max(0, Math.min(count - 1, Math.floor(value)));
  return {
    row: clamp((event.clientY - box.top) / figure.pitch, group().rows.length),
    column: clamp((event.clientX - box.left) / figure.cell, group().columns.length),
  };
}

const hideTooltip = () => (find(".tooltip").hidden = true);

function showTooltip(said, event) {
  const tooltip = find(".tooltip");
  tooltip.hidden = false;
  tooltip.textContent = said;
  const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - tooltip.offsetWidth - 8);
  const below = event.clientY + 18 + tooltip.offsetHeight < window.innerHeight;
  const top = below ? event.clientY + 18 : event.clientY - 12 - tooltip.offsetHeight;
  Object.assign(tooltip.style, { left: `${left}px`, top: `${top}px` });
}

function point(where, event = null) {
  hideTooltip();
  if (state.held) return;
  Object.assign(state, where ?? { row: null, column: null });
  const said = showPointed();
  if (event !== null) showTooltip(said, event);
}

function hold(where) {
  const same = state.held && state.row === where.row && state.column === where.column;
  state.held = false;
  point(where);
  state.held = !same;
  showPointed();
  keepAddress();
}

function release() {
  state.held = false;
  point(null);
  keepAddress();
}

const STEP = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function moveInList(event, list) {
  const items = [...list.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: items.length - 1 }[event.key];
  if (event.key in STEP) state.held = false;
  if (event.key === "Enter" || event.key === " ") items[at].click();
  else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const other = (list === figure.rows ? figure.columns : figure.rows).children;
    other[Math.min(at, other.length - 1)].focus();
  } else if (items[to]) {
    items.forEach((item, index) => (item.tabIndex = index === to ? 0 : -1));
    items[to].focus();
  } else return;
  event.preventDefault();
}

function moveInPicture(event) {
  const step = STEP[event.key];
  if (event.key === "Enter" || event.key === " ") hold({ row: state.row ?? 0, column: state.column ?? 0 });
  else if (step) {
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
    state.held = false;
    point({
      row: clamp((state.row ?? 0) + step[0], group().rows.length),
      column: clamp((state.column ?? 0) + step[1], group().columns.length),
    });
  } else return;
  event.preventDefault();
}

function moveInGrid(event) {
  const step = STEP[event.key];
  if (!step) return;
  event.preventDefault();
  const layer = (state.layer ?? -1) + step[0];
  const head = (state.head ?? -1) + step[1];
  if (layer < -1 || layer >= group().layers || head < -1 || head >= group().heads) return;
  go({ layer: layer < 0 ? null : layer, head: layer < 0 || head < 0 ? null : head });
  find(".grid [aria-checked=true]").focus();
}

function moveInTabs(event) {
  const step = STEP[event.key]?.[1];
  if (!step || !groups[state.group + step]) return;
  go({ group: state.group + step, layer: null, head: null });
  find(".tabs [aria-selected=true]").focus();
}

// ---- the address: #cross, #cross/2 (a layer's average), #cross/2/5 (a head), and /row3 or /column3 for a token that is held

function address({ group: index, layer, head, row, column, held }) {
  const parts = [groups[index].name, ...(layer === null ? [] : [layer + 1]), ...(head === null ? [] : [head + 1])];
  if (held && row !== null) parts.push(`row${row + 1}`);
  if (held && column !== null) parts.push(`column${column + 1}`);
  return parts.join("/");
}

const keepAddress = () => location.replace(`#${address(state)}`);

function parse(hash) {
  const parts = /^#([a-z]+)(?:\/(\d+))?(?:\/(\d+))?(?:\/row(\d+))?(?:\/column(\d+))?$/.exec(hash);
  const index = groups.findIndex((one) => one.name === parts?.[1]);
  const nothing = { group: 0, layer: null, head: null, row: null, column: null, held: false };
  if (index < 0) return nothing;
  const counts = [groups[index].layers, groups[index].heads, groups[index].rows.length, groups[index].columns.length];
  const [layer, head, row, column] = counts.map((count, at) => {
    const number = Number(parts[at + 2]);
    return number >= 1 && number <= count ? number - 1 : null;
  });
  return { group: index, layer, head, row, column, held: row !== null || column !== null };
}

function go(change) {
  const moved = "group" in change && change.group !== state.group;
  if (moved) Object.assign(state, { row: null, column: null, held: false });
  Object.assign(state, change);
  if (moved || figure === null) showGroup();
  showHead();
  keepAddress();
}

function showGroup() {
  showTabs();
  find(".about").textContent = group().about;
  find("#panel").setAttribute("aria-label", group().title);
  showGrid();
  showScale();
  showHabits();
  showFigure();
}

function showHead() {
  for (const button of document.querySelectorAll(".grid button")) {
    const chosen = button.dataset.layer === String(state.layer ?? "") && button.dataset.head === String(state.head ?? "");
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
  }
  find("#head-title").textContent = nameOf(state.layer, state.head);
  find(".words").textContent = sayHabits(habitsOf(group(), state.layer, state.head));
  figure.canvas.setAttribute("aria-label", `${group().title}: ${nameOf(state.layer, state.head)}; the arrow keys move`);
  showPointed();
  showTable();
}

function followAddress() {
  if (location.hash === `#${address(state)}`) return;
  Object.assign(state, parse(location.hash));
  showGroup();
  showHead();
}

function start() {
  find("main").hidden = false;
  readColours();
  Object.assign(state, parse(location.hash));
  startMarks();
  showGroup();
  showHead();
  find(".grid").addEventListener("keydown", moveInGrid);
  find(".tabs").addEventListener("keydown", moveInTabs);
  find(".table").addEventListener("toggle", showTable);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") release();
  });
  window.addEventListener("hashchange", followAddress);
  window.addEventListener("resize", () => {
    layOut();
    showPointed();
  });
  darkPage.addEventListener("change", () => {
    readColours();
    showGroup();
    showHead();
  });
}

start();
