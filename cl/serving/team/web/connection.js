// The token stays in this tab; it is sent in a header, so no other page can send it.
const KEPT = "perennial-token";
let token = sessionStorage.getItem(KEPT);

class SignInNeeded extends Error {}

async function call(path, body) {
  const headers = token === null ? {} : { Authorization: "Bearer " + token };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method: body === undefined ? "GET" : "POST", headers, credentials: "omit", redirect: "error" };
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try { response = await fetch(path, options); } catch { throw new Error("The server does not answer. Is cl ui still running?"); }
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  if (response.status === 401) throw new SignInNeeded(token === null ? "" : "This server does not accept that token.");
  if (response.status === 429 && (content.message || "").includes("wrong tokens")) throw new SignInNeeded("Too many wrong tokens. Wait a moment, then try again.");
  const message = content.message || `The server answered ${response.status}.`;
  throw new Error(message.charAt(0).toUpperCase() + message.slice(1));
}

function keepToken(value) {
  token = value;
  if (value === null) sessionStorage.removeItem(KEPT);
  else sessionStorage.setItem(KEPT, value);
}

function showTrouble(error) {
  const message = error instanceof Error ? error.message : "";
  $("trouble").textContent = message;
  $("trouble").hidden = message === "";
  if (error instanceof SignInNeeded) askForToken();
}

function showResult(text) { $("result").textContent = text; }

// Run a function on each item, a few at a time: a slow project keeps one place, and the others go on.
async function forEach(items, most, run) {
  const rest = [...items];
  await Promise.all(Array.from({ length: most }, async () => {
    while (rest.length) await run(rest.shift());
  }));
}
