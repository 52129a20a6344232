// The list of projects, and which of them is shown: #/KEY is one of them, anything else is the list.
const PARALLEL = 4; // projects that are read at the same time
const RENEWED = 60000; // milliseconds after which the list is read again, unless somebody is writing
const AGAIN = 5000; // milliseconds after which a project that was too slow is asked for again
const known = new Map();
let listing = null, reading = 0;

const shownKey = () => (location.hash.match(/^#\/([0-9a-f]{16})$/) || [])[1];
const isWriting = () => [...document.querySelectorAll("textarea")].some((area) => area.value.trim() !== "" || area === document.activeElement);

function askForToken() {
  keepToken(null);
  known.clear();
  $("sign-in").hidden = false;
  for (const id of ["overview", "detail", "refresh", "sign-out"]) $(id).hidden = true;
  $("detail").replaceChildren();
  $("projects").replaceChildren();
  $("approval-list").replaceChildren();
  $("person").textContent = "";
  $("token").focus();
}

async function readAll() {
  const round = ++reading;
  try {
    if (token === null && (await call("api/access")).needs_token) { askForToken(); return; }
    listing = await call("api/projects");
  } catch (error) { showTrouble(error); return; }
  showTrouble(null);
  $("sign-in").hidden = true;
  $("refresh").hidden = false;
  $("sign-out").hidden = !listing.has_tokens;
  $("person").textContent = listing.person ? `Signed in as ${listing.person}` : "";
  $("folder").textContent = `Folder ${listing.folder}`;
  $("none").hidden = listing.projects.length > 0;
  $("cut").hidden = !listing.is_cut;
  const there = new Set(listing.projects.map((project) => project.key));
  for (const key of known.keys()) if (!there.has(key)) known.delete(key);
  render();
  const wanted = shownKey();
  const order = [...listing.projects].sort((one, other) => (other.key === wanted) - (one.key === wanted));
  await forEach(order, PARALLEL, async ({ key }) => { if (round === reading) await readProject(key); });
}

async function readProject(key) {
  try {
    known.set(key, await call(`api/projects/${key}`));
  } catch (error) {
    if (error instanceof SignInNeeded) { showTrouble(error); return; }
    const listed = listing.projects.find((project) => project.key === key);
    if (!known.has(key)) known.set(key, { key, path: listed ? listed.path : key, unread: error.message });
    if (error.message.includes("still being read")) setTimeout(() => readProject(key), AGAIN);
  }
  renderCard(key);
  renderApprovals();
  if (shownKey() === key) renderDetail();
}

function render() {
  const key = shownKey();
  $("overview").hidden = Boolean(key);
  $("detail").hidden = !key;
  $("projects").replaceChildren(...listing.projects.map((project) => element("li", { id: `card-${project.key}` }, card(project))));
  renderApprovals();
  if (key) renderDetail();
  else document.title = "Projects";
}

function renderCard(key) {
  const slot = $(`card-${key}`), listed = listing.projects.find((project) => project.key === key);
  if (slot && listed) slot.replaceChildren(card(listed));
}

function renderApprovals() {
  const waiting = [...known.values()].filter((project) => project.approval);
  $("approvals").hidden = waiting.length === 0;
  const shown = JSON.stringify(waiting.map((project) => [project.key, project.approval]));
  if ($("approval-list").dataset.shown === shown) return; // the forms stay as they are, with what is being written
  $("approval-list").dataset.shown = shown;
  $("approval-list").replaceChildren(...waiting.map((project) => approvalForm(project, () => readProject(project.key), "list")));
}

function card(listed) {
  const project = known.get(listed.key);
  const link = element("a", { href: `#/${listed.key}` }, (project && project.name) || listed.path);
  const head = [element("h3", {}, link), element("p", { class: "soft small" }, listed.path === "." ? "In the folder itself" : listed.path)];
  if (!project) return element("article", {}, ...head, element("p", { class: "soft" }, "Reading …"));
  if (project.unread) return element("article", {}, ...head, problem(project.unread));
  if (!project.name) return element("article", {}, ...head, ...project.problems.map(problem));
  const { waiting } = project, last = project.timeline.rows[0];
  const arrived = waiting.experiences.length + waiting.more_experiences + waiting.files.length + waiting.more_files;
  const badges = [
    project.approval ? badge("Needs your decision", "warn") : null,
    project.alarms.length ? badge(count(project.alarms.length, "drift alarm"), "warn") : null,
    arrived ? badge(`${arrived} waiting`) : null,
    waiting.feedback ? badge(`${waiting.feedback} new ${waiting.feedback === 1 ? "label" : "labels"}`) : null,
    project.quarantined_rows ? badge(`${project.quarantined_rows.toLocaleString("en")} set aside`) : null,
  ].filter(Boolean);
  return element("article", {}, ...head,
    ...project.problems.map(problem),
    element("p", {}, project.champion ? element("span", {}, `Champion: version ${project.champion.version}, since `, when(project.champion.since)) : "No version serves yet"),
    last ? element("p", {}, `Last cycle: ${last.experience}, `, badge(word(last.verdict), verdictKind(last.verdict))) : null,
    badges.length ? element("div", { class: "badges" }, badges) : null);
}

function renderDetail() {
  const key = shownKey(), project = known.get(key);
  if (!project || project.unread) {
    const line = project ? problem(project.unread) : element("p", { class: "soft" }, "Reading …");
    $("detail").replaceChildren(element("p", {}, element("a", { href: "#/" }, "← All projects")), line);
    return;
  }
  document.title = `${project.name || project.path}: project`;
  if ($("detail").contains(document.activeElement) && document.activeElement.tagName === "TEXTAREA") return;
  $("detail").replaceChildren(...projectSections(project, () => readProject(key)));
}

window.addEventListener("hashchange", () => {
  if (!listing) return;
  showResult("");
  render();
  const title = $("project-title");
  (title || $("content")).focus();
  scrollTo(0, 0);
});

$("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken($("token").value.trim());
  $("token").value = "";
  readAll().then(() => { if ($("sign-in").hidden) $("content").focus(); });
});

$("refresh").addEventListener("click", () => { showResult(""); readAll(); });
$("sign-out").addEventListener("click", () => { showResult("You have signed out."); askForToken(); });
setInterval(() => { if (listing && $("sign-in").hidden && !document.hidden && !isWriting()) readAll(); }, RENEWED);
readAll();
