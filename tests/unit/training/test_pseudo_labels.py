"""An experience that annotates new entity types only must not teach that the old ones are none."""

from __future__ import annotations

import pandas as pd
import pytest

from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.tasks.token_classification import UNKNOWN, TokenClassification
from cl.training.pseudo_labels import complete_tags, completing
from cl.training.train import train
from tests.support.entities import annotated_sentences


@pytest.fixture
def learn(tiny_config, tmp_path):
    def run(name, rows, *, champion=None, strategy="naive", past=None):
        config = tiny_config(
            task="token_classification",
            strategy=strategy,
            training={"epochs": 12, "batch_size": 8, "learning_rate": 2e-3, "head_learning_rate": 1e-2,
                      "precision": "float32", "patience": 12},
        )  # fmt: skip
        stream = {"new": rows, **({"old": past} if past is not None else {})}

        def rows_of(ids, split):
            return pd.concat([rows.iloc[:0], *(stream[id] for id in ids if split == "train")], ignore_index=True)

        folder = tmp_path / name
        train(
            config,
            champion=champion,
            new=["new"],
            past=["old"] if past is not None else [],
            rows_of=rows_of,
            folder=folder,
        )
        return folder

    return run


@pytest.fixture
def champion(learn):
    """A version that knows people."""
    return learn("first", annotated_sentences(40, {"PER"}, seed=1))


def recall(folder, kind):
    rows = annotated_sentences(30, {"PER", "ORG"}, seed=9)
    return TokenClassification().class_scores(rows, answer(load_learner(folder), rows).values).get(kind, 0.0)


@pytest.mark.parametrize("strategy", ["naive", "replay", {"name": "joint", "restart": True}, "lwf"])
def test_after_an_experience_with_firms_alone_people_are_still_found(strategy, learn, champion) -> None:
    assert recall(champion, "PER") > 0.9
    firms, past = annotated_sentences(40, {"ORG"}, seed=2, annotated=["ORG"]), annotated_sentences(40, {"PER"}, seed=1)
    after = learn("after", firms, champion=champion, strategy=strategy, past=past)
    assert recall(after, "ORG") > 0.8 and recall(after, "PER") > 0.8


def test_without_saying_what_is_annotated_people_are_forgotten(learn, champion) -> None:
    after = learn(
        "after",
        annotated_sentences(40, {"ORG"}, seed=2),
        champion=champion,
        past=annotated_sentences(40, {"PER"}, seed=1),
    )
    assert recall(after, "ORG") > 0.7 and recall(after, "PER") < 0.5


def test_a_closed_form_leaves_out_what_nobody_annotated(learn) -> None:
    known = annotated_sentences(40, {"PER"}, seed=1)
    form = {"name": "ranpac", "features": 0}
    first = learn("first", known, strategy=form)
    after = learn(
        "after", annotated_sentences(40, {"ORG"}, seed=2, annotated=["ORG"]), champion=first, strategy=form, past=known
    )
    naive = learn("naive", annotated_sentences(40, {"ORG"}, seed=2), champion=first, strategy=form, past=known)
    assert recall(after, "PER") > recall(naive, "PER") + 0.1


def test_a_certain_tag_stands_in_and_another_word_stays_unknown(champion) -> None:
    rows = pd.DataFrame({"id": ["1"], "tokens": [["anna", "visited", "the", "bank"]],
                         "tags": [["O", "O", "O", "B-ORG"]], "annotated": [["ORG"]]})  # fmt: skip
    (tags,) = complete_tags(load_learner(champion), rows)
    assert tags[0] == "B-PER" and tags[3] == "B-ORG" and set(tags[1:3]) <= {"O", UNKNOWN}
    both = rows.assign(tags=[["O", "O", "O", "B-ORG"]], annotated=[["ORG", "PER"]])
    (tags,) = complete_tags(load_learner(champion), both)
    assert tags[0] in ("O", UNKNOWN), "the row says that anna is no person"


def test_only_rows_that_are_annotated_in_part_are_completed_and_the_others_stay(champion) -> None:
    whole, part = annotated_sentences(4, {"PER"}, seed=3), annotated_sentences(4, {"ORG"}, seed=4, annotated=["ORG"])
    rows = pd.concat([whole, part], ignore_index=True)
    completed = completing(champion, solves_head=False)(rows)
    assert completed["tags"].tolist()[:4] == whole["tags"].tolist()
    assert all(types is None or isinstance(types, float) for types in completed["annotated"])
    assert "B-PER" in {tag for tags in completed["tags"].tolist()[4:] for tag in tags}
    assert completing(champion, solves_head=False)(whole) is whole


def test_a_first_model_takes_an_o_at_its_word(learn) -> None:
    first = learn("alone", annotated_sentences(40, {"ORG"}, seed=2, annotated=["ORG"]))
    assert recall(first, "ORG") > 0.8
    rows = pd.concat(
        [
            annotated_sentences(40, {"ORG"}, seed=2, annotated=["ORG"]),
            annotated_sentences(40, {"PER"}, seed=3, annotated=["PER"]),
        ]
    )
    together = learn("together", rows.reset_index(drop=True))
    tags = {tag for prediction in answer(load_learner(together), rows).predictions for tag in prediction.value}
    assert "O" in tags
