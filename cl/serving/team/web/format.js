"use strict";
// Everything that comes from the server is inserted as text, never as HTML.
const $ = (id) => document.getElementById(id);

const WORDS = {
  learn: "Learn", none: "No update", hold: "Hold", promoted: "Promoted", refused: "Refused", held: "Held",
  waiting: "Waits for approval", canary: "Canary", shadow: "Shadow", pass: "passed", fail: "failed", undecided: "undecided",
  champion: "Champion", promote: "promoted after its gates", override: "promoted by hand despite its gates",
  approve: "approved", rollback: "rolled back to", adopt: "taken over from the registry", repair: "vouched for after a repair",
};
const word = (name) => WORDS[name] || name || "–";
const count = (number, name, plural = name + "s") => `${number.toLocaleString("en")} ${number === 1 ? name : plural}`;
const percent = (share) => (share === null ? "–" : (100 * share).toFixed(1) + " %");

// Return an element: attributes by name, `on` a map of listeners, children texts or elements; empty children are left out.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [kind, listener] of Object.entries(value)) made.addEventListener(kind, listener);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function when(moment) {
  if (!moment) return "–";
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return String(moment);
  return element("time", { datetime: moment }, date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }));
}

// Return a table; columns are [title, cell of a row, class], and a narrow screen shows the titles in the cells.
function table(caption, columns, rows) {
  const head = element("tr", {}, columns.map(([title]) => element("th", { scope: "col" }, title)));
  const body = rows.map((row) => element("tr", {}, columns.map(([title, cell, kind]) => element("td", { "data-label": title, class: kind }, cell(row)))));
  return element("table", {}, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, body));
}

const facts = (pairs) => element("dl", {}, pairs.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
const problem = (line) => element("p", { class: "problem" }, line);
const badge = (text, kind = "") => element("span", { class: `badge ${kind}` }, text);
const verdictKind = (verdict) => ({ promoted: "good", refused: "bad", held: "bad", waiting: "warn" })[verdict] || "";
