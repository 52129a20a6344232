// One project in full: champion, what waits, timeline, alarms, quarantine, report.
function projectSections(project, reread) {
  const title = project.name || project.path;
  return [
    element("p", {}, element("a", { href: "#/" }, "← All projects")),
    element("h2", { id: "project-title", tabindex: -1 }, title),
    element("p", { class: "soft" }, project.path === "." ? "In the folder itself" : project.path),
    ...project.problems.map(problem),
    project.approval ? section("Waiting for your decision", approvalForm(project, reread, "project")) : null,
    project.name ? section("Champion", ...championLines(project)) : null,
    project.name ? section("What waits", waitingList(project.waiting)) : null,
    project.name ? section("Timeline", ...timeline(project)) : null,
    project.alarms.length ? section("Drift alarms", ...project.alarms.map((alarm) => alarmBlock(project, alarm))) : null,
    project.quarantine.length ? section("Quarantine", ...quarantine(project)) : null,
    project.name ? section("Report", reportLine(project)) : null,
  ].filter(Boolean);
}

let sections = 0;
function section(title, ...children) {
  const id = `section-${++sections}`;
  return element("section", { "aria-labelledby": id }, element("h2", { id }, title), ...children);
}

function championLines(project) {
  const { champion, trials } = project;
  if (!champion) return [element("p", {}, "No version serves yet.")];
  const role = (entry) => facts([
    [word(entry.alias), `version ${entry.version}${entry.share === null ? "" : `, ${percent(entry.share)} of the requests`}`],
    ["Since", when(entry.since)],
    ["Why", `${word(entry.action)}: ${entry.why}`],
    ["By", entry.actor],
  ]);
  return [role(champion), ...trials.map(role)];
}

const STATES = {
  new: "not looked at yet",
  later: "learned with the next update",
  held: "held: look at it, then run it again",
};

function waitingList(waiting) {
  const lines = [
    ...waiting.experiences.map((entry) => `Experience ${entry.id}, ${count(entry.rows, "row")}: ${STATES[entry.state] || entry.state}`),
    waiting.more_experiences ? `${count(waiting.more_experiences, "more experience")}` : null,
    ...waiting.files.map((name) => `File ${name}: in the source, not ingested yet`),
    waiting.more_files ? `${count(waiting.more_files, "more file")}` : null,
    waiting.feedback ? `${count(waiting.feedback, "answer has", "answers have")} a label from feedback that is not ingested yet` : null,
  ].filter(Boolean);
  const note = waiting.files_note ? element("p", { class: "soft small" }, `Files: ${waiting.files_note}.`) : null;
  return element("div", {}, lines.length ? element("ul", {}, lines.map((line) => element("li", {}, line))) : element("p", {}, "Nothing waits."), note);
}

function timeline(project) {
  const { rows, total } = project.timeline;
  if (!total) return [element("p", {}, "No cycle yet. ", element("code", {}, "cl ingest PATH"), ", then ", element("code", {}, "cl run"), ".")];
  const caption = `${count(total, "cycle")}, newest first. Forgotten: positive is a loss.`;
  const columns = [
    ["Experience", (row) => [element("strong", {}, row.experience), element("div", { class: "soft small" }, row.rows === null ? "" : count(row.rows, "row"), row.quarantined ? `, ${row.quarantined} set aside` : "")], "name"],
    ["Ended", (row) => when(row.ended)],
    ["Decision", (row) => [word(row.decision), row.drifted ? " (drift)" : "", why(row)]],
    ["Score", (row) => row.score || "–", "number"],
    ["Forgotten", (row) => row.forgotten || "–", "number"],
    ["Verdict", (row) => badge(word(row.verdict), verdictKind(row.verdict))],
    ["Champion", (row) => (row.champion ? `version ${row.champion}` : "none"), "number"],
  ];
  const made = table(caption, columns, rows);
  const more = element("button", { type: "button", class: "quiet" }, "Show older cycles");
  let next = project.timeline.older;
  more.hidden = next === null;
  more.addEventListener("click", () => load(more, async () => {
    const page = await call(`api/projects/${project.key}/cycles?skip=${next}`);
    const fresh = [...table("", columns, page.rows).querySelectorAll("tbody tr")];
    made.tBodies[0].append(...fresh);
    next = page.older;
    more.hidden = next === null;
    showResult(`${count(fresh.length, "older cycle")} shown.`);
  }));
  return [made, element("div", { class: "buttons" }, more)];
}

function why(row) {
  if (row.problem) return problem(row.problem);
  const lines = [...row.reasons, ...row.refused_by.map((gate) => `Refused by ${gate.gate}: ${gate.why}`)];
  if (!lines.length) return null;
  if (lines.length === 1 && lines[0].length < 90) return element("div", { class: "soft small" }, lines[0]);
  return element("details", { class: "small" }, element("summary", {}, "Why", element("span", { class: "unseen" }, ` for ${row.experience}`)), element("ul", {}, lines.map((line) => element("li", {}, line))));
}

function alarmBlock(project, alarm) {
  const space = element("div", { class: "rows" });
  const text = alarm.on_traffic ? `Show ${count(alarm.examples, "row")} to label first` : `Show ${count(alarm.examples, "row")} behind it`;
  const open = element("button", { type: "button", class: "quiet", "aria-expanded": "false" }, text, element("span", { class: "unseen" }, ` (${alarm.id})`));
  const show = () => load(open, async () => {
    const rows = await call(`api/projects/${project.key}/alarm?id=${encodeURIComponent(alarm.id)}`);
    space.replaceChildren(...alarmRows(alarm, rows));
    open.setAttribute("aria-expanded", "true");
    open.hidden = true;
  });
  open.addEventListener("click", show);
  return element("div", { class: "alarm" },
    element("h3", {}, alarm.on_traffic ? `Served traffic, ${count(alarm.rows, "answer")}` : `Experience ${alarm.id}, ${count(alarm.rows, "row")}`),
    element("p", { class: "soft small" }, alarm.champion ? `Compared with version ${alarm.champion}` : "Without a champion", alarm.until ? element("span", {}, ", until ", when(alarm.until)) : null),
    element("ul", {}, alarm.detectors.map((detector) => element("li", {}, element("strong", {}, detector.detector), `: ${detector.summary}`))),
    alarm.examples ? element("div", { class: "buttons" }, open) : null, space);
}

function alarmRows(alarm, rows) {
  if (!rows.length) return [element("p", { class: "soft" }, "These rows are no longer in the log.")];
  const columns = [["Id", (row) => element("code", {}, row.id), "name"], ["Text", (row) => row.text]];
  if (alarm.on_traffic) columns.push(
    ["Prediction", (row) => row.prediction || "–"], ["Confidence", (row) => percent(row.confidence), "number"], ["Label", (row) => (row.labelled ? "has one" : "none yet")]);
  else columns.push(["Label", (row) => row.label || "–", "name"]);
  const advice = alarm.on_traffic
    ? "A label for these rows helps most: send it to POST /feedback of the server, or write a file with the columns id and label and run cl label FILE."
    : "Are these labels right? If so, the world has changed; if not, correct the source.";
  return [element("p", { class: "soft small" }, advice), table(count(rows.length, "row"), columns, rows)];
}

function quarantine(project) {
  const columns = [
    ["Experience", (row) => row.experience, "name"],
    ["Reason", (row) => row.reason],
    ["Rows", (row) => row.rows.toLocaleString("en"), "number"],
    ["Details", (row) => quarantineButton(project, row)],
  ];
  return [table(`${count(project.quarantined_rows, "row was", "rows were")} set aside.`, columns, project.quarantine)];
}

function quarantineButton(project, line) {
  const open = element("button", { type: "button", class: "quiet", "aria-expanded": "false" }, "Show rows", element("span", { class: "unseen" }, ` of ${line.experience}: ${line.reason}`));
  open.addEventListener("click", () => load(open, async () => {
    const query = new URLSearchParams({ experience: line.experience, reason: line.reason });
    const content = await call(`api/projects/${project.key}/quarantine?${query}`);
    const left = content.total - content.rows.length;
    const rows = element("ul", {}, content.rows.map((row) => element("li", {}, element("code", {}, row.row), row.returned ? ` came back in ${row.returned}` : "")));
    const more = left ? element("p", { class: "soft small" }, `${count(left, "more row")}: cl quarantine show ${line.experience}`) : null;
    open.closest("tr").after(element("tr", {}, element("td", { colspan: 4 }, rows, more || "")));
    open.setAttribute("aria-expanded", "true");
    open.hidden = true;
  }));
  return open;
}

function reportLine(project) {
  if (!project.report) return element("p", {}, "No report yet. ", element("code", {}, "cl report"), " writes it.");
  const open = element("button", { type: "button", class: "quiet" }, "Open the report");
  open.addEventListener("click", () => load(open, async () => {
    const tab = window.open("", "_blank"); // opened at once: a browser blocks what a person did not ask for
    try {
      const content = await call(`api/projects/${project.key}/report`, {});
      if (tab) { tab.opener = null; tab.location.replace(new URL(content.link, location.href)); }
      else showResult("Your browser blocked the new tab. Allow it for this page.");
    } catch (error) { if (tab) tab.close(); throw error; }
  }));
  return element("div", {}, element("p", {}, "Written ", when(project.report), "."), open);
}

async function load(button, run) {
  button.disabled = true;
  try { await run(); showTrouble(null); } catch (error) { showTrouble(error); }
  button.disabled = false;
}
