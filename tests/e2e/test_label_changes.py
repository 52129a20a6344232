"""Labels are renamed, merged, split and retired: data, model, stored rows, reference and gates follow."""

from __future__ import annotations

import json
import pkgutil
import shlex

import httpx
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

from cl.cli.main import cl
from cl.commands.distil import distil_version
from cl.lifecycle import run_waiting
from cl.models.persistence import load_learner
from cl.models.snapshot import load_reference
from cl.promotion.by_hand import promote_by_hand
from cl.records import SPLITS
from cl.stores.data.label_changes import read_label_changes
from cl.stores.ledger import state
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_folder import load_history
from cl.training.strategies import load_states
from tests.support.forgetting import LENIENT, RANPAC, arrives, shop, version
from tests.support.served import Server
from tests.support.servers import until
from tests.support.tiny import made_sentences, tiny_project

STRATEGIES = {
    "replay": ["replay"],
    "ranpac": [RANPAC],
    "der-ewc": [{"name": "der", "rows": 40}, {"name": "ewc"}],
}


def command(project: ProjectFolder, *words: str) -> Result:
    return CliRunner().invoke(cl, [*words, "-p", str(project.root)])


def change(project: ProjectFolder, *words: str) -> dict:
    done = command(project, "labels", *words, "--why", "the catalogue changed", "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def labels_of(project: ProjectFolder) -> dict[str, int]:
    return json.loads(command(project, "labels", "--json").stdout)["labels"]


def learned(folder, tiny_model, strategy, **changes) -> ProjectFolder:
    project = shop(folder / "shop", tiny_model, strategy=strategy, **changes)
    arrives(project, "one", made_sentences(["loan", "fee", "box"], 120, seed=1))
    run_waiting(project)
    return project


def check_everything_says(project: ProjectFolder, champion: str, labels: set[str]) -> None:
    """Check that rows, head, buffers, reference and stored scores know these labels and no other."""
    at = open_project(project.root)
    assert at.stores.ledger.champion("shop") == champion
    assert set(labels_of(project)) == labels
    for experience in at.stores.experiences.all():
        for split in SPLITS:
            assert set(at.stores.experiences.rows(experience.id, split)["label"]) <= labels
    folder = version(project, champion)
    assert set(load_learner(folder).labels) == labels
    reference = load_reference(folder)
    assert set(reference.frame["label"]) <= labels and set(reference.known_labels) == labels
    for kept in load_states(folder).values():
        if kept.rows is not None and "label" in kept.rows:
            assert set(kept.rows["label"]) <= labels and len(kept.rows)
    assert at.stores.data.is_clean()


def goes_on(project: ProjectFolder, labels: list[str], seed: int) -> None:
    """Learn another experience, from which nothing may count as forgotten by the change."""
    arrives(project, f"more-{seed}", made_sentences(labels, 90, seed=seed))
    (cycle,) = run_waiting(project)
    if cycle.training is None:  # nothing has changed that matters, which is right as well
        (cycle,) = run_waiting(project, again=cycle.experience.id)
    assert cycle.training is not None and cycle.training.labels_added == [] and cycle.promotion is not None
    assert cycle.promotion.promoted and cycle.evaluation is not None
    assert not [finding for finding in cycle.drift.findings if finding.kind == "new_labels" and finding.drifted]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_renamed_label_is_the_same_class_under_its_new_name(tmp_path, tiny_model, strategy) -> None:
    project = learned(tmp_path, tiny_model, strategy)
    before, history = load_learner(version(project, "1")), load_history(version(project, "1"))
    done = change(project, "rename", "fee", "charge")
    assert (done["version"], done["withdrawn"]) == ("2", ["1"])
    check_everything_says(project, "2", {"loan", "charge", "box"})
    after = load_learner(version(project, "2"))
    assert after.labels == ["charge" if label == "fee" else label for label in before.labels]
    for name, tensor in before.head.state_dict().items():
        assert torch.equal(tensor, after.head.state_dict()[name])
    assert load_history(version(project, "2")).scores == history.scores
    assert "labels   'fee' renamed to 'charge': the catalogue changed" in command(project, "lineage", "2").output
    refused = command(project, "rollback", "1", "--why", "as it was")
    assert "'fee' renamed to 'charge'" in str(refused.exception)
    goes_on(project, ["loan", "fee", "box"], seed=2)  # rows still come in under the former name
    check_everything_says(project, "3", {"loan", "charge", "box"})


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_merged_labels_are_one_class(tmp_path, tiny_model, strategy) -> None:
    project = learned(tmp_path, tiny_model, strategy)
    rows = labels_of(project)
    done = change(project, "merge", "fee", "box", "--into", "cost")
    assert labels_of(project) == {"cost": rows["fee"] + rows["box"], "loan": rows["loan"]}
    check_everything_says(project, done["version"], {"loan", "cost"})
    assert done["change"]["rows"]["0001-one"].keys() <= set(SPLITS)
    goes_on(project, ["loan", "fee", "cost", "box"], seed=2)
    check_everything_says(project, "3", {"loan", "cost"})


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_split_label_is_several_classes_row_by_row(tmp_path, tiny_model, strategy) -> None:
    project = learned(tmp_path, tiny_model, strategy)
    at = open_project(project.root)
    fees = pd.concat([at.stores.experiences.rows("0001-one", split) for split in SPLITS]).query("label == 'fee'")
    named = fees.assign(label=["small fee" if index % 2 else "large fee" for index in range(len(fees))])
    by = project.root / "by.csv"
    named.iloc[1:][["id", "label"]].to_csv(by, index=False)
    refused = command(project, "labels", "split", "fee", "--by", str(by), "--why", "two kinds")
    assert f"1 of the {len(fees)} rows of 'fee' are not named there" in str(refused.exception)
    assert set(labels_of(project)) == {"loan", "fee", "box"}
    named[["id", "label"]].to_csv(by, index=False)
    done = change(project, "split", "fee", "--by", str(by))
    check_everything_says(project, done["version"], {"loan", "box", "small fee", "large fee"})
    assert labels_of(project)["large fee"] == (len(fees) + 1) // 2
    late = made_sentences(["fee", "loan"], 30, seed=5).to_csv(project.root / "late.csv", index=False)
    late = command(project, "ingest", str(project.root / "late.csv"))
    assert "former label: 'fee' split into 'large fee' and 'small fee'" in late.output, late.exception


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_retired_label_is_answered_no_more_and_its_rows_are_gone(tmp_path, tiny_model, strategy) -> None:
    project = learned(tmp_path, tiny_model, strategy)
    rows = labels_of(project)
    done = change(project, "retire", "box")
    check_everything_says(project, done["version"], {"loan", "fee"})
    assert open_project(project.root).stores.experiences.get("0001-one").retired == rows["box"]
    goes_on(project, ["loan", "fee"], seed=2)
    boxes = made_sentences(["box"], 10, seed=7)
    boxes.to_csv(project.root / "boxes.csv", index=False)
    assert "former label: 'box' retired" in str(command(project, "ingest", str(project.root / "boxes.csv")).exception)
    change(project, "restore", "box")
    assert command(project, "ingest", str(project.root / "boxes.csv")).exit_code == 0
    assert labels_of(project)["box"] == 10


def test_what_cannot_be_changed_is_said_in_a_line_and_changes_nothing(tmp_path, tiny_model) -> None:
    project = learned(tmp_path, tiny_model, [RANPAC])
    before = open_project(project.root).stores.data.commit()
    wrong = {
        ("rename", "fees", "cost"): "no row has the label 'fees'; did you mean 'fee'?",
        ("rename", "fee", "box"): "'box' is a label already: cl labels merge 'fee' 'box' --into 'box'",
        ("rename", "fee", " "): "a label has 1 to 500 printable characters",
        ("rename", "fee", "a\nb"): "a label has 1 to 500 printable characters",
        ("merge", "fee", "--into", "cost"): "a merge takes two labels or more",
        ("retire", "nothing"): "no row has the label 'nothing'; there are: 'box', 'fee', 'loan'",
        ("restore", "fee"): "'fee' is no former label; there are: none",
        ("split", "fee", "--by", "nowhere.csv"): "no such file or folder",
    }
    for words, says in wrong.items():
        done = command(project, "labels", *words, "--why", "a try")
        assert says in str(done.exception), (words, done.exception)
    assert "would say 'fee' retired" in command(project, "labels", "retire", "fee", "--why", "x", "--dry-run").output
    assert open_project(project.root).stores.data.commit() == before
    check_everything_says(project, "1", {"loan", "fee", "box"})


def test_names_can_be_swapped_and_the_settings_that_name_a_former_label_are_listed(tmp_path, tiny_model) -> None:
    project = shop(
        tmp_path / "shop",
        tiny_model,
        strategy=[RANPAC],
        gates=[{"name": "rule", "of": "score", "on": {"query": "target == 'fee'"}, "min": 0.01}],
    )
    arrives(project, "one", made_sentences(["loan", "fee"], 120, seed=1))
    run_waiting(project)
    before = labels_of(project)
    assert any("gates" in key for key in change(project, "rename", "fee", "other")["settings"]["fee"])
    change(project, "rename", "loan", "fee")
    change(project, "rename", "other", "loan")
    assert labels_of(project) == {"fee": before["loan"], "loan": before["fee"]}
    check_everything_says(project, "4", {"loan", "fee"})


def test_types_of_entity_are_renamed_merged_and_retired_tag_by_tag(tmp_path, tiny_model) -> None:
    project = tiny_project(tmp_path / "tags", tiny_model, task="token_classification", gates=LENIENT, strategy=[RANPAC])
    tagged = [
        (["fee", "in", "Ulm"], ["B-FEE", "O", "B-CITY"]),
        (["loan", "by", "Max", "Moor"], ["B-LOAN", "O", "B-NAME", "I-NAME"]),
        (["my", "loan", "fee"], ["O", "B-LOAN", "B-FEE"]),
    ]
    rows = [
        {"id": f"s{index}", "tokens": [*words, str(index)], "tags": [*tags, "O"]}
        for index in range(90)
        for words, tags in [tagged[index % 3]]
    ]
    pd.DataFrame(rows).to_json(project.root / "inbox" / "one.jsonl", orient="records", lines=True)
    run_waiting(project)
    change(project, "rename", "CITY", "PLACE")
    change(project, "merge", "FEE", "LOAN", "--into", "PRODUCT")
    change(project, "retire", "NAME")
    assert set(labels_of(project)) == {"PLACE", "PRODUCT"}
    tags = {"O", "B-PLACE", "I-PLACE", "B-PRODUCT", "I-PRODUCT"}
    at = open_project(project.root)
    stored = pd.concat([at.stores.experiences.rows("0001-one", split) for split in SPLITS])
    assert len(stored) == 90 and {tag for row in stored["tags"] for tag in row} <= tags
    learner = load_learner(version(project, "4"))
    assert set(learner.labels) <= tags and {"B-PLACE", "B-PRODUCT", "O"} <= set(learner.labels)
    late = [
        {**row, "id": f"late-{row['id']}", "tokens": ["also", *row["tokens"]], "tags": ["O", *row["tags"]]}
        for row in rows[:9]
    ]
    pd.DataFrame(late).to_json(project.root / "late.jsonl", orient="records", lines=True)
    assert command(project, "ingest", str(project.root / "late.jsonl")).exit_code == 0
    assert set(labels_of(project)) == {"PLACE", "PRODUCT"}
    refused = command(project, "labels", "split", "PLACE", "--by", "by.csv", "--why", "two kinds")
    assert "cl ingest FILE --corrections" in str(refused.exception)


def test_what_replaces_a_champion_in_int8_is_made_of_the_version_that_learnt(tmp_path, tiny_model) -> None:
    project = learned(tmp_path, tiny_model, ["replay"])
    at = open_project(project.root)
    assert distil_version(project.root, "1", form="int8")["version"] == "2"
    promote_by_hand(at.stores.registry, at.stores.ledger, "2", why="small")
    done = change(project, "rename", "fee", "charge")
    assert (done["version"], done["withdrawn"]) == ("3", ["1", "2"])
    history = load_history(version(project, "3"))
    assert history.parent == "1" and history.form is None
    check_everything_says(project, "3", {"loan", "charge", "box"})


@pytest.mark.nightly
def test_killed_at_any_step_and_run_again_or_followed_by_a_run_it_ends_whole(tmp_path, tiny_model, monkeypatch) -> None:
    class KilledError(Exception):
        pass

    project = learned(tmp_path, tiny_model, ["replay", "ewc"])
    rows = labels_of(project)["fee"]
    steps = [
        "cl.revision.change_labels.rewrite_experience",
        "cl.revision.change_labels.write_label_change",
        "cl.stores.data.dvc.DataVersions.commit",
        "cl.revision.relabel_champion.save_version",
        "cl.promotion.replace_champion.register",
        "cl.promotion.replace_champion.promote",
        "cl.stores.mlflow.registry.Registry.tag_version",
        "cl.revision.change_labels.remove_derived",
    ]
    for count, step in enumerate(steps, 1):
        old, new = "fee" if count == 1 else f"fee-{count - 1}", f"fee-{count}"
        real = pkgutil.resolve_name(step)
        with monkeypatch.context() as patch:

            def deadly(*given, real=real, **named):
                real(*given, **named)
                raise KilledError

            patch.setattr(step, deadly)
            killed = command(project, "labels", "rename", old, new, "--why", "a try")
            assert isinstance(killed.exception, KilledError), step
        if count % 2:
            run_waiting(project)
        else:
            change(project, "rename", old, new)
        check_everything_says(project, str(count + 1), {"loan", "box", new})
        assert labels_of(project)[new] == rows, step
        assert len(read_label_changes(project).changes) == count and not (project.work / "labels").exists()


def test_a_new_label_that_takes_the_rows_of_an_old_one_is_reported_with_the_command_that_says_so(
    tmp_path, tiny_model
) -> None:
    project = shop(
        tmp_path / "shop", tiny_model, strategy=[RANPAC], drift={"report": "off", "detectors": ["new_labels"]}
    )
    arrives(project, "one", made_sentences(["loan", "fee"], 120, seed=1))
    run_waiting(project)
    renamed = made_sentences(["loan", "fee"], 90, seed=2)
    arrives(project, "two", renamed.assign(label=renamed["label"].replace("fee", "service charge")))
    (cycle,) = run_waiting(project)
    (finding,) = [finding for finding in cycle.drift.findings if finding.kind == "new_labels"]
    says, _, proposed = finding.summary.partition("if it is the same: cl ")
    assert "with 'service charge' are answered as 'fee', which no row has any longer" in says
    done = command(project, *shlex.split(proposed), "--why", "it is the same")
    assert done.exit_code == 0, done.exception
    assert set(labels_of(project)) == {"loan", "service charge"}
    report = project.root / "report.html"
    assert command(project, "report", "--out", str(report)).exit_code == 0
    assert "cl labels merge fee" in report.read_text()


def test_a_server_follows_the_change_and_takes_feedback_under_a_former_name(tmp_path, tiny_model) -> None:
    project = learned(tmp_path, tiny_model, [RANPAC], serve={"poll_seconds": 0.1, "new_labels": "refuse"})
    server = Server(project.root, "--workers", "1")
    try:
        before = labels_of(project)["fee"]
        change(project, "rename", "fee", "charge")
        until(lambda: asked(server, "a fee")["version"] == "2", seconds=60, what="the version with the new name")
        texts = made_sentences(["loan", "fee"], 40, seed=8)["text"].tolist()
        answers = server.post("/predict", {"texts": texts})["predictions"]
        assert {answer["label"] for answer in answers} <= {"loan", "charge", "box"}
        server.post("/feedback", {"id": answers[0]["id"], "label": "fee"})
        refused = httpx.post(f"{server.url}/feedback", json={"id": answers[1]["id"], "label": "fees"}, timeout=30)
        assert refused.status_code == 422
        change(project, "retire", "box")
        until(lambda: asked(server, "a box")["version"] == "3", seconds=60, what="the version without the label")
        refused = httpx.post(f"{server.url}/feedback", json={"id": answers[1]["id"], "label": "box"}, timeout=30)
        assert refused.status_code == 422 and "'box' is no longer used" in refused.json()["message"]
    finally:
        server.stop()
    assert command(project, "ingest", "--from-serving").exit_code == 0
    assert labels_of(project)["charge"] == before + 1


def asked(server: Server, text: str) -> dict:
    return server.post("/predict", {"text": text})


@pytest.mark.parametrize("alias", ["canary", "shadow"])
@pytest.mark.parametrize(
    "words",
    [
        ["labels", "rename", "fee", "charge", "--why", "a new name"],
        ["labels", "retire", "box", "--why", "given up"],
        ["forget", "--where", "label == 'fee' and experience == '0001-one'", "--why", "a wish"],
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_a_version_on_trial_that_knows_what_has_ended_is_withdrawn(tmp_path, tiny_model, words, alias) -> None:
    project = learned(tmp_path, tiny_model, [RANPAC])
    at = open_project(project.root)
    arrives(project, "two", made_sentences(["loan", "fee", "box"], 90, seed=2))
    (cycle,) = run_waiting(project)
    if cycle.training is None:
        run_waiting(project, again=cycle.experience.id)
    assert at.stores.ledger.champion("shop") == "2"
    promote_by_hand(
        at.stores.registry, at.stores.ledger, "1", alias=alias, share=0.5, why="a trial", despite_gates=True
    )
    assert command(project, *words).exit_code == 0
    aliases = at.stores.registry.aliases()
    assert alias not in aliases and aliases["champion"] == "3"
    assert state.holder(at.stores.ledger.entries("shop"), alias) is None
    assert command(project, "audit").exit_code == 0
