"use strict";
// Everything that came from somebody is put in as text, never as HTML.
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const STALE = 15000; // milliseconds after which a worker that was not met again is left out
const workers = new Map();
let token = null, asked = null, stopped = false;

const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1) + " %");
const milliseconds = (value) => (value === null ? "–" : value.toFixed(value < 10 ? 1 : 0) + " ms");

async function call(path, body) {
  const headers = token === null ? {} : { Authorization: "Bearer " + token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: JSON.stringify(body) });
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401) { stopped = true; $("door").hidden = false; }
  throw new Error(told.message || told.detail || "the server answered " + answer.status);
}

function trouble(error) {
  $("trouble").hidden = error === null;
  $("trouble").textContent = error === null ? "" : error.message;
}

function drawn(name, attributes, text) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text !== undefined) one.textContent = text;
  return one;
}

function bars(place, rows, title) { // rows: [label, share]; as wide as their place, so that letters keep their size
  const wide = Math.max(280, place.clientWidth), high = 26, from = Math.round(wide * 0.34), long = wide - from - 75, most = Math.floor(from / 8);
  const picture = drawn("svg", { viewBox: `0 0 ${wide} ${Math.max(1, rows.length) * high}`, role: "img", "aria-label": title });
  if (!rows.length) picture.append(drawn("text", { x: 0, y: 18, class: "soft" }, "nothing yet"));
  rows.forEach(([label, share], at) => {
    const y = at * high, name = label.length > most ? label.slice(0, most - 1) + "…" : label;
    picture.append(
      drawn("text", { x: 0, y: y + 17 }, name),
      drawn("rect", { x: from, y: y + 6, width: long, height: 14, rx: 4, class: "rail" }),
      drawn("rect", { x: from, y: y + 6, width: Math.max(2, long * share), height: 14, rx: 4, class: "bar" }),
      drawn("text", { x: wide, y: y + 17, "text-anchor": "end" }, percent(share)));
  });
  place.replaceChildren(picture);
}

function columns(place, counts) {
  const all = Math.max(280, place.clientWidth), most = Math.max(1, ...counts), wide = all / counts.length;
  const picture = drawn("svg", { viewBox: `0 0 ${all} 150`, role: "img", "aria-label": "requests in each second of the last minute" });
  picture.append(drawn("line", { x1: 0, x2: all, y1: 128.5, y2: 128.5, class: "axis" }));
  counts.forEach((count, at) => {
    const high = (108 * count) / most;
    if (count) picture.append(drawn("rect", { x: at * wide + 1, y: 128 - high, width: wide - 2, height: high, rx: 2, class: "bar" }));
  });
  picture.append(
    drawn("text", { x: 0, y: 14, class: "soft" }, "at most " + most),
    drawn("text", { x: 0, y: 146, class: "soft" }, "a minute ago"),
    drawn("text", { x: all, y: 146, "text-anchor": "end", class: "soft" }, "now"));
  place.replaceChildren(picture);
}

function summed() { // all workers that were met lately as one; a quantile is the mean of theirs, by their requests
  const every = [...workers.values()].map((one) => one.told.live);
  const total = (name) => every.reduce((sum, one) => sum + one[name], 0);
  const typical = (name) => {
    const known = every.filter((one) => one[name] !== null && one.requests_per_second > 0);
    const requests = known.reduce((sum, one) => sum + one.requests_per_second, 0);
    return requests ? known.reduce((sum, one) => sum + one[name] * one.requests_per_second, 0) / requests : null;
  };
  const weight = (one) => Math.min(one.rows, 1000);
  const mean = (name) => {
    const known = every.filter((one) => one[name] !== null && weight(one));
    const rows = known.reduce((sum, one) => sum + weight(one), 0);
    return rows ? known.reduce((sum, one) => sum + one[name] * weight(one), 0) / rows : null;
  };
  const rows = every.reduce((sum, one) => sum + weight(one), 0), mix = new Map();
  for (const one of every) for (const { label, share } of one.labels) mix.set(label, (mix.get(label) || 0) + (share * weight(one)) / rows);
  const seconds = every.length ? every[0].requests_by_second.map((_, at) => every.reduce((sum, one) => sum + one.requests_by_second[at], 0)) : [];
  return { total, typical, mean, seconds, mix: [...mix].sort((a, b) => b[1] - a[1]).slice(0, 12) };
}

function show(told) {
  const now = Date.now();
  workers.set(told.worker, { told, at: now });
  for (const [worker, one] of workers) if (now - one.at > STALE) workers.delete(worker);
  const { champion, canary, shadow } = told.versions, all = summed();
  const beside = [canary && `canary: version ${canary}`, shadow && `shadow: version ${shadow}`].filter(Boolean);
  $("versions").textContent = [champion ? `champion: version ${champion}` : "no champion yet", ...beside].join(" · ");
  $("rate").textContent = all.total("requests_per_second").toFixed(1);
  $("p50").textContent = milliseconds(all.typical("p50_ms"));
  $("p95").textContent = milliseconds(all.typical("p95_ms"));
  $("sure").textContent = percent(all.mean("confidence"));
  $("outside").textContent = percent(all.mean("out_of_scope"));
  $("failed").textContent = `${all.total("errors")}, ${all.total("refused")}`;
  columns($("throughput"), all.seconds);
  bars($("mix"), all.mix, "shares of the labels");
  const dropped = told.log && told.log.dropped ? ` · ${told.log.dropped} answers could not be logged` : "";
  $("about").textContent = `${all.total("requests")} requests since the start · ${workers.size} ${workers.size === 1 ? "worker" : "workers"} seen${dropped} · `;
  if ($("labels").childElementCount !== told.labels.length)
    $("labels").replaceChildren(...told.labels.map((label) => { const one = document.createElement("option"); one.value = label; return one; }));
}

async function look() {
  if (stopped || document.hidden) return;
  try { show(await call("live")); trouble(null); } catch (error) { trouble(error); }
}

$("ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("send").disabled = true;
  $("told").textContent = "";
  const begun = performance.now();
  try {
    const told = await call("predict", document.body.dataset.input === "tokens" ? { texts: [$("text").value] } : { text: $("text").value, top_k: 3 });
    const one = told.predictions[0];
    asked = one.id;
    $("label").textContent = Array.isArray(one.label) ? one.label.join(" ") : one.label;
    $("confidence").textContent = percent(one.confidence);
    $("scope").hidden = !one.out_of_scope;
    $("version").textContent = told.version;
    $("role").textContent = told.role;
    $("took").textContent = `${Math.round(performance.now() - begun)} ms`;
    $("answer").hidden = false;
    $("top").replaceChildren();
    if (one.top) bars($("top"), one.top.map((other) => [other.label, other.probability]), "the most probable labels");
    trouble(null);
  } catch (error) { trouble(error); }
  $("send").disabled = false;
});

$("correct").addEventListener("submit", async (event) => {
  event.preventDefault();
  const value = $("right").value.trim();
  try {
    const told = await call("feedback", { id: asked, label: document.body.dataset.input === "tokens" ? value.split(/\s+/) : value });
    $("told").textContent = "thank you: it is on the disk";
    $("right").value = "";
    trouble(null);
  } catch (error) { trouble(error); }
});

$("door").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  $("token").value = "";
  $("door").hidden = true;
  stopped = false;
  look();
});

setInterval(look, 1000);
look();
