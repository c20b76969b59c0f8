"use strict";
// The page's pictures, from the weights it carries. Rows look, columns are looked at; layers and heads count from 1 on the
// page and in its address, from 0 here. Text from the model enters the page as text alone, never as HTML.

const STEPS = 4095;
const LINE_FROM = 0.03; // fainter lines are left out while no token is pointed at
const POWER = 0.65;
const TICKS = [0, 0.05, 0.2, 0.5, 1];
const NARROW = 560; // pixels
const NUMBERS_FROM = 30; // pixels: narrower cells have no room for theirs
const find = (selector) => document.querySelector(selector);
const percent = (weight) => `${(100 * weight).toFixed(1)}%`;
const groups = JSON.parse(find("#data").textContent).groups;
const state = { group: 0, layer: null, head: null, row: null, column: null, held: false };

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- weights

function unpack(group) {
  const bytes = Uint8Array.from(atob(group.weights), (letter) => letter.charCodeAt(0));
  const size = group.layers * group.heads * group.rows.length * group.columns.length;
  const weights = new Float32Array(size);
  for (let i = 0, at = 0; i < size; i += 2, at += 3) {
    weights[i] = (bytes[at] | ((bytes[at + 1] & 15) << 8)) / STEPS;
    if (i + 1 < size) weights[i + 1] = ((bytes[at + 1] >> 4) | (bytes[at + 2] << 4)) / STEPS;
  }
  return weights;
}

// One head's map, or the mean over a layer's heads (head null), or over all (layer null).
function mapOf(group, layer, head) {
  group.unpacked ??= unpack(group);
  group.maps ??= new Map();
  const key = `${layer}/${head}`;
  if (!group.maps.has(key)) {
    const size = group.rows.length * group.columns.length;
    const first = layer === null ? 0 : layer * group.heads + (head ?? 0);
    const count = layer === null ? group.layers * group.heads : head === null ? group.heads : 1;
    const mean = new Float32Array(size);
    for (let i = 0; i < count; i++) {
      for (let cell = 0; cell < size; cell++) mean[cell] += group.unpacked[(first + i) * size + cell] / count;
    }
    group.maps.set(key, mean);
  }
  return group.maps.get(key);
}

const group = () => groups[state.group];
const current = () => mapOf(group(), state.layer, state.head);
const weightAt = (row, column) => current()[row * group().columns.length + column];
const visible = (row, column) => !group().causal || column <= row;
const habitsOf = (of, layer, head) =>
  layer === null ? of.all : head === null ? of.perLayer[layer] : of.perHead[layer][head];

// ---- colours: one scale for every picture, so that all may be compared; a power makes the small weights visible

let colours = [];
const darkPage = matchMedia("(prefers-color-scheme: dark)");
const variable = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function readColours() {
  const stops = variable("--scale").split(/\s+/)
    .map((stop) => [1, 3, 5].map((at) => parseInt(stop.slice(at, at + 2), 16)));
  colours = Array.from({ length: 256 }, (_, i) => {
    const at = (i / 255) * (stops.length - 1);
    const from = Math.min(Math.floor(at), stops.length - 2);
    return stops[from].map((channel, c) => Math.round(channel + (stops[from + 1][c] - channel) * (at - from)));
  });
}
const shade = (weight) => colours[Math.round(255 * Math.min(weight, 1) ** POWER)];
const css = (weight) => `rgb(${shade(weight).join(" ")})`;

// Whether text on a weight's colour is better in --on-strong than in --ink: one is dark, the other light.
function isStrong(weight) {
  const [red, green, blue] = shade(weight).map((channel) => (channel / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.2 === darkPage.matches;
}

function paint(canvas, of, layer, head) {
  canvas.width = of.columns.length;
  canvas.height = of.rows.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  mapOf(of, layer, head).forEach((weight, cell) => {
    const hidden = of.causal && cell % canvas.width > Math.floor(cell / canvas.width);
    image.data.set([...shade(weight), hidden ? 0 : 255], 4 * cell);
  });
  context.putImageData(image, 0, 0);
}
