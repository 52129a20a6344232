"use strict";
// Untrusted content is inserted as text, never as HTML.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const STALE = 15000; // milliseconds after which a worker that was not seen again is left out
const workers = new Map();
let token = null, predictionId = null, stopped = false, knownLabels = [];

const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1) + " %");
const milliseconds = (value) => (value === null ? "–" : value.toFixed(value < 10 ? 1 : 0) + " ms");

async function call(path, body) {
  const headers = token === null ? {} : { Authorization: "Bearer " + token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: JSON.stringify(body) });
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  if (response.status === 401) { stopped = true; $("door").hidden = false; }
  throw new Error(content.message || content.detail || "The server answered " + response.status);
}

function showError(error) {
  $("trouble").hidden = error === null;
  $("trouble").textContent = error === null ? "" : error.message;
}

function svgElement(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function drawBars(container, rows, title) { // rows: [label, share]; as wide as the container, so that text keeps its size
  const width = Math.max(280, container.clientWidth), rowHeight = 26, barStart = Math.round(width * 0.34), barWidth = width - barStart - 75, maxLetters = Math.floor(barStart / 8);
  const picture = svgElement("svg", { viewBox: `0 0 ${width} ${Math.max(1, rows.length) * rowHeight}`, role: "img", "aria-label": title });
  if (!rows.length) picture.append(svgElement("text", { x: 0, y: 18, class: "soft" }, "Nothing yet"));
  rows.forEach(([label, share], index) => {
    const y = index * rowHeight, name = label.length > maxLetters ? label.slice(0, maxLetters - 1) + "…" : label;
    picture.append(
      svgElement("text", { x: 0, y: y + 17 }, name),
      svgElement("rect", { x: barStart, y: y + 6, width: barWidth, height: 14, rx: 4, class: "rail" }),
      svgElement("rect", { x: barStart, y: y + 6, width: Math.max(2, barWidth * share), height: 14, rx: 4, class: "bar" }),
      svgElement("text", { x: width, y: y + 17, "text-anchor": "end" }, percent(share)));
  });
  container.replaceChildren(picture);
}

function drawColumns(container, counts) {
  const total = Math.max(280, container.clientWidth), largest = Math.max(1, ...counts), columnWidth = total / counts.length;
  const picture = svgElement("svg", { viewBox: `0 0 ${total} 150`, role: "img", "aria-label": "requests in each second of the last minute" });
  picture.append(svgElement("line", { x1: 0, x2: total, y1: 128.5, y2: 128.5, class: "axis" }));
  counts.forEach((count, index) => {
    const columnHeight = (108 * count) / largest;
    if (count) picture.append(svgElement("rect", { x: index * columnWidth + 1, y: 128 - columnHeight, width: columnWidth - 2, height: columnHeight, rx: 2, class: "bar" }));
  });
  picture.append(
    svgElement("text", { x: 0, y: 14, class: "soft" }, "At most " + largest),
    svgElement("text", { x: 0, y: 146, class: "soft" }, "A minute ago"),
    svgElement("text", { x: total, y: 146, "text-anchor": "end", class: "soft" }, "Now"));
  container.replaceChildren(picture);
}

function summarise() { // statistics over all recently seen workers; a quantile is their mean, weighted by requests
  const all = [...workers.values()].map((worker) => worker.content.live);
  const total = (name) => all.reduce((sum, worker) => sum + worker[name], 0);
  const typical = (name) => {
    const known = all.filter((worker) => worker[name] !== null && worker.requests_per_second > 0);
    const requests = known.reduce((sum, worker) => sum + worker.requests_per_second, 0);
    return requests ? known.reduce((sum, worker) => sum + worker[name] * worker.requests_per_second, 0) / requests : null;
  };
  const weight = (worker) => Math.min(worker.rows, 1000);
  const mean = (name) => {
    const known = all.filter((worker) => worker[name] !== null && weight(worker));
    const rows = known.reduce((sum, worker) => sum + weight(worker), 0);
    return rows ? known.reduce((sum, worker) => sum + worker[name] * weight(worker), 0) / rows : null;
  };
  const rows = all.reduce((sum, worker) => sum + weight(worker), 0), mix = new Map();
  for (const worker of all) for (const { label, share } of worker.labels) mix.set(label, (mix.get(label) || 0) + (share * weight(worker)) / rows);
  const seconds = all.length ? all[0].requests_by_second.map((_, second) => all.reduce((sum, worker) => sum + worker.requests_by_second[second], 0)) : [];
  return { total, typical, mean, seconds, mix: [...mix].sort((a, b) => b[1] - a[1]).slice(0, 12) };
}

function show(content) {
  const now = Date.now();
  workers.set(content.worker, { content, seenAt: now });
  for (const [worker, entry] of workers) if (now - entry.seenAt > STALE) workers.delete(worker);
  const { champion, canary, shadow } = content.versions, all = summarise();
  const challengers = [canary && `Canary: version ${canary}`, shadow && `Shadow: version ${shadow}`].filter(Boolean);
  $("versions").textContent = [champion ? `Champion: version ${champion}` : "No champion yet", ...challengers].join(" · ");
  $("rate").textContent = all.total("requests_per_second").toFixed(1);
  $("p50").textContent = milliseconds(all.typical("p50_ms"));
  $("p95").textContent = milliseconds(all.typical("p95_ms"));
  $("sure").textContent = percent(all.mean("confidence"));
  $("outside").textContent = percent(all.mean("out_of_scope"));
  $("failed").textContent = `${all.total("errors")}, ${all.total("refused")}`;
  drawColumns($("throughput"), all.seconds);
  drawBars($("mix"), all.mix, "shares of the labels");
  const dropped = content.log && content.log.dropped ? ` · ${content.log.dropped} answers could not be logged` : "";
  $("about").textContent = `${all.total("requests")} ${all.total("requests") === 1 ? "request" : "requests"} since the start · ${workers.size} ${workers.size === 1 ? "worker" : "workers"} seen${dropped} · `;
  knownLabels = content.labels;
  if ($("labels").childElementCount !== content.labels.length)
    $("labels").replaceChildren(...content.labels.map((label) => { const option = document.createElement("option"); option.value = label; return option; }));
}

async function refresh() {
  if (stopped || document.hidden) return;
  try { show(await call("live")); showError(null); } catch (error) { showError(error); }
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("send").disabled = true;
  $("feedback-status").textContent = "";
  $("new-label").hidden = true;
  const started = performance.now();
  try {
    const content = await call("predict", asked());
    const prediction = content.predictions[0];
    predictionId = prediction.id;
    $("label").textContent = shownAnswer(prediction[document.body.dataset.field]);
    $("confidence").textContent = percent(prediction.confidence);
    $("scope").hidden = !prediction.out_of_scope;
    $("version").textContent = content.version;
    $("role").textContent = content.role;
    $("took").textContent = `${Math.round(performance.now() - started)} ms`;
    $("answer").hidden = false;
    $("top").replaceChildren();
    if (prediction.top) drawBars($("top"), prediction.top.map((candidate) => [candidate.label, candidate.probability]), "the most probable labels");
    showError(null);
  } catch (error) { showError(error); }
  $("send").disabled = false;
});

const kind = document.body.dataset.answer; // of the answer: label, labels, tags, texts, or another
const isTokens = () => kind === "tags";
const separators = { tags: /\s+/, labels: /\s*[;|]\s*/, texts: /\s+\/\s+/ };
const typedLabels = () => {
  const typed = $("right").value.trim();
  return separators[kind] ? typed.split(separators[kind]).filter((part) => part !== "") : [typed];
};

function asked() { // the body of a request, from the fields of the form
  const input = document.body.dataset.input, top = document.body.dataset.top === "yes" ? { top_k: 3 } : {};
  if (input === "words") return { texts: [$("text").value] };
  if (input === "text") return { text: $("text").value, ...top };
  const row = {};
  for (const field of document.querySelectorAll("#ask [data-column]")) {
    const typed = field.value.trim();
    if (typed !== "") row[field.dataset.column] = field.dataset.kind === "text" ? field.value : field.dataset.kind === "messages" ? readTurns(field.value) : readParts(typed, field.dataset.kind);
  }
  return { input: row, ...top };
}

function readTurns(typed) { // a conversation in JSON; any other text is its first turn
  try { const turns = JSON.parse(typed); if (Array.isArray(turns)) return turns; } catch { /* it is a text */ }
  return [{ role: "user", content: typed }];
}

function readParts(typed, kind) { // words, integers, or parts of another list that are separated as in a file
  if (kind === "span" || kind === "numbers") return typed.split(/[^-\d]+/).filter((part) => part !== "").map(Number);
  return typed.split(separators[kind] || /\s+/);
}

function shownAnswer(answer) {
  if (!Array.isArray(answer)) return String(answer);
  return answer.join({ labels: "; ", texts: " / " }[kind] || " ") || "none";
}

function distance(one, other) { // the number of letters to change, add, drop, or swap with the next
  let before = [], row = [...Array(other.length + 1).keys()];
  for (let i = 1; i <= one.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= other.length; j++) {
      row.push(Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (one[i - 1] === other[j - 1] ? 0 : 1)));
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = above;
  }
  return row[other.length];
}

function closestLabel(label) { // a known label that may have been meant, or null
  const near = knownLabels.filter((known) => Math.abs(known.length - label.length) <= 3).map((known) => [distance(label.toLowerCase(), known.toLowerCase()), known]);
  const [best] = near.filter(([letters, known]) => letters <= Math.max(1, Math.min(3, known.length / 3))).sort((one, other) => one[0] - other[0]);
  return best ? best[1] : null;
}

function askAboutNewLabel(label) {
  const close = isTokens() ? null : closestLabel(label);
  $("new-label-question").textContent = `The model does not know the label “${label}”.` + (close ? ` Did you mean “${close}”?` : " Add it as a new label?");
  $("use-known").hidden = close === null;
  $("use-known").textContent = close === null ? "" : `Use “${close}”`;
  $("use-known").dataset.label = close || "";
  $("use-known").dataset.typed = label;
  $("add-label").textContent = `Add “${label}” as a new label`;
  $("new-label").hidden = false;
  $(close === null ? "add-label" : "use-known").focus();
}

async function saveLabel(labels, isNew) {
  $("new-label").hidden = true;
  try {
    const body = { id: predictionId, [document.body.dataset.field]: kind === "label" || kind === "text" ? labels[0] : labels };
    await call("feedback", isNew ? { ...body, new_label: true } : body);
    $("feedback-status").textContent = "Thank you, saved.";
    $("right").value = "";
    showError(null);
  } catch (error) { showError(error); }
  $("right").focus();
}

$("correct").addEventListener("submit", (event) => {
  event.preventDefault();
  $("feedback-status").textContent = "";
  const labels = typedLabels(), unknown = ["label", "labels", "tags"].includes(kind) ? labels.find((label) => !knownLabels.includes(label) && !(isTokens() && label === "O")) : undefined;
  if (unknown === undefined) saveLabel(labels, false);
  else askAboutNewLabel(unknown);
});
$("add-label").addEventListener("click", () => saveLabel(typedLabels(), true));
$("use-known").addEventListener("click", () => saveLabel(typedLabels().map((label) => (label === $("use-known").dataset.typed ? $("use-known").dataset.label : label)), false));
$("change-label").addEventListener("click", () => { $("new-label").hidden = true; $("right").focus(); });
$("right").addEventListener("input", () => { $("new-label").hidden = true; });

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  $("token").value = "";
  $("door").hidden = true;
  stopped = false;
  refresh();
});

setInterval(refresh, 1000);
refresh();
