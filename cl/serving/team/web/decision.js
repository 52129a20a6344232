// The form in which a person says yes or no to a version; what has been written stays when the page is read again.
const reasons = new Map();

function approvalForm(project, decided, view) { // view: list or project; a form of each may be on the page
  const { approval, key, name } = project, about = `${key}-${approval.version}`, id = `${view}-${about}`;
  const reason = element("textarea", { id: `why-${id}`, rows: 2, maxlength: 2000, required: true, "aria-describedby": `hint-${id}` });
  reason.value = reasons.get(about) || "";
  reason.addEventListener("input", () => { reasons.set(about, reason.value); reason.setCustomValidity(""); });
  const buttons = [["yes", true, "Yes, approve", ""], ["no", false, "No, reject", "no"]].map(([value, yes, text, kind]) =>
    element("button", { type: "button", value, class: kind, on: { click: () => decide(yes) } }, text, element("span", { class: "unseen" }, ` version ${approval.version} of ${name}`)));
  const form = element("form", { class: "approval", "aria-labelledby": `title-${id}`, on: { submit: (event) => event.preventDefault() } },
    element("h3", { id: `title-${id}` }, `${name}: version ${approval.version}`),
    facts([
      ["Trained on", approval.experience || "–"],
      ["Score", approval.score || "–"],
      ["Champion", approval.champion ? `version ${approval.champion}${approval.champion_score ? ", " + approval.champion_score : ""}` : "none yet"],
      ["Forgotten", approval.forgotten ? `${approval.forgotten} (positive is a loss)` : "–"],
      ["Why it asks", approval.why],
      ["Waits since", when(approval.since)],
    ]),
    approval.gates.length ? element("details", {}, element("summary", {}, `Gates (${approval.gates.length})`),
      element("ul", {}, approval.gates.map((gate) => element("li", {}, `${gate.gate} ${word(gate.verdict)}: ${gate.why}`)))) : null,
    element("label", { for: `why-${id}` }, "Your reason"),
    reason,
    element("p", { id: `hint-${id}`, class: "soft small" }, "The ledger keeps it with your name and the time."),
    element("div", { class: "buttons" }, buttons));

  async function decide(yes) {
    const why = reason.value.trim();
    if (why === "") {
      reason.setCustomValidity("Write a reason first.");
      reason.reportValidity();
      reason.focus();
      return;
    }
    buttons.forEach((button) => { button.disabled = true; });
    showResult("Recording your decision …");
    try {
      const content = await call(`api/projects/${key}/decision`, { version: approval.version, yes, why });
      reasons.delete(about);
      showTrouble(null);
      showResult(`${name}: ${content.text} Ledger entry ${content.sequence}, by ${content.actor}.`);
      await decided();
      $("content").focus();
    } catch (error) {
      showResult("");
      showTrouble(error);
      buttons.forEach((button) => { button.disabled = false; });
    }
  }
  return form;
}
