"use strict";
document.documentElement.classList.add("scripted");
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function number(value) {
  if (value === null || value === undefined) return "";
  const size = Math.abs(value);
  return size >= 1000 ? Math.round(value).toLocaleString("en") : size >= 1e-3 || size === 0 ? String(Number(value.toPrecision(5))) : value.toExponential(2);
}

// Curves: the values nearest to the pointer.
for (const svg of all("svg[data-chart]")) {
  const chart = data.charts[Number(svg.dataset.chart)];
  const output = find("output", svg.parentElement);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "cursor");
  const steps = [...new Set(chart.series.flatMap((series) => series.points.map((point) => point[0])))].sort((a, b) => a - b);
  let shown = steps.length - 1;
  const show = (x) => {
    const [x0, x1] = chart.extent, { left, right } = chart;
    const texts = chart.series.map((series) => {
      const nearest = series.points.reduce((best, point) => Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best);
      return `${series.name} ${number(nearest[1])} at ${number(nearest[0])}`;
    });
    output.textContent = texts.join(", ");
    const at = Math.min(right, Math.max(left, left + (x - x0) / (x1 - x0) * (right - left)));
    for (const [name, value] of [["x1", at], ["x2", at], ["y1", chart.top], ["y2", chart.bottom]]) line.setAttribute(name, value);
    svg.append(line);
  };
  const point = (event) => {
    const box = svg.getBoundingClientRect(), [x0, x1] = chart.extent;
    const at = (event.clientX - box.left) / box.width * chart.width;
    show(x0 + (at - chart.left) / (chart.right - chart.left) * (x1 - x0));
  };
  svg.addEventListener("pointermove", point);
  svg.addEventListener("pointerdown", point);
  svg.addEventListener("pointerleave", () => { line.remove(); });
  svg.addEventListener("keydown", (event) => {
    const to = { ArrowRight: Math.min(steps.length - 1, shown + 1), ArrowLeft: Math.max(0, shown - 1), Home: 0, End: steps.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); shown = to; show(steps[shown]); }
  });
}

// The passage: what the model expected at each token.
const passage = find("#passage");
if (passage) {
  const spans = all("span", passage), detail = find("#detail");
  let chosen = -1;
  const choose = (k) => {
    if (k < 0 || k >= spans.length || k === chosen) return;
    if (chosen >= 0) spans[chosen].classList.remove("chosen");
    chosen = k;
    spans[k].classList.add("chosen");
    const token = data.passage[k];
    const list = element("table"), names = element("tr");
    names.append(element("th", "probability", "n"), element("th", "token"));
    list.append(names);
    for (const [name, p] of token.choices) {
      const row = element("tr");
      row.append(element("td", (p * 100).toFixed(2) + " %", "n"), element("td", name));
      list.append(row);
    }
    const head = element("p");
    head.append(element("strong", token.token), ` ${token.bits.toFixed(2)} bits, probability ${number(token.p)}, rank ${number(token.rank)}. The model's first choices:`);
    detail.replaceChildren(head, list);
  };
  passage.addEventListener("pointerover", (event) => choose(spans.indexOf(event.target)));
  passage.addEventListener("click", (event) => choose(spans.indexOf(event.target)));
  passage.addEventListener("keydown", (event) => {
    const to = { ArrowRight: Math.min(spans.length - 1, chosen + 1), ArrowLeft: Math.max(0, chosen - 1), Home: 0, End: spans.length - 1 }[event.key];
    if (to !== undefined) { event.preventDefault(); choose(to); }
  });
  choose(0);
}

// Hidden units.
const unit = find("#unit");
if (unit) {
  const spans = all("span", find("#units"));
  const show = () => {
    const values = data.units[Number(unit.value)].values;
    spans.forEach((span, k) => {
      const level = Math.min(8, Math.ceil(Math.abs(values[k]) / 12.5));
      span.className = level ? (values[k] > 0 ? "w" : "c") + level : "";
      span.title = (values[k] / 100).toFixed(2);
    });
  };
  unit.addEventListener("change", show);
  show();
}

// Attention.
const head = find("#head");
if (head) {
  const show = () => {
    const [l, h] = head.value.split(",").map(Number);
    all("#attention tr").forEach((row, t) => all("td", row).forEach((cell, j) => {
      const share = data.attention.shares[l][h][t][j];
      const level = Math.min(8, Math.ceil(share / 12.5));
      cell.className = level ? "c" + level : "";
      cell.title = `${data.attention.tokens[t]} attends to ${data.attention.tokens[j]}: ${share} %`;
    }));
  };
  head.addEventListener("change", show);
  show();
}

// Embeddings.
const search = find("#search");
if (search) {
  const types = all("#embeddings .type"), output = find("#neighbors"), { tokens, neighbors } = data.embeddings;
  const choose = (k) => {
    types.forEach((type) => type.classList.remove("found", "near"));
    if (k < 0) { output.textContent = ""; return; }
    types[k].classList.add("found");
    types[k].parentElement.append(types[k]);
    for (const [j] of neighbors[k]) types[j].classList.add("near");
    output.textContent = `${tokens[k]}: ` + neighbors[k].map(([j, cosine]) => `${tokens[j]} ${cosine.toFixed(2)}`).join(", ");
  };
  search.addEventListener("input", () => {
    const wanted = search.value;
    const exact = tokens.findIndex((token) => token === wanted || token === "␣" + wanted);
    choose(wanted ? (exact >= 0 ? exact : tokens.findIndex((token) => token.startsWith(wanted))) : -1);
  });
  types.forEach((type, k) => {
    type.addEventListener("pointerenter", () => choose(k));
    type.addEventListener("click", () => choose(k));
  });
}
