"""Tags of every scheme become BIO2; no sentence is lost for its entities, and what is mixed is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cl.config import parse
from cl.errors import SourceError
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder

SENTENCES = [
    ["B-PER", "I-PER", "O", "B-LOC"],
    ["O", "B-PER", "B-PER", "I-PER", "I-PER"],
    ["O", "O"],
    ["B-LOC", "B-PER", "O"],
]
"""In BIO2: entities of one and of several tokens, and next to one another, of one type and of two."""
WRITTEN = {
    "BIO2": SENTENCES,
    "IOB1": [
        ["I-PER", "I-PER", "O", "I-LOC"],
        ["O", "I-PER", "B-PER", "I-PER", "I-PER"],
        ["O", "O"],
        ["I-LOC", "I-PER", "O"],
    ],
    "BIOES": [
        ["B-PER", "E-PER", "O", "S-LOC"],
        ["O", "S-PER", "B-PER", "I-PER", "E-PER"],
        ["O", "O"],
        ["S-LOC", "S-PER", "O"],
    ],
    "BILOU": [
        ["B-PER", "L-PER", "O", "U-LOC"],
        ["O", "U-PER", "B-PER", "I-PER", "L-PER"],
        ["O", "O"],
        ["U-LOC", "U-PER", "O"],
    ],
    "BMES": [
        ["B-PER", "E-PER", "O", "S-LOC"],
        ["O", "S-PER", "B-PER", "M-PER", "E-PER"],
        ["O", "O"],
        ["S-LOC", "S-PER", "O"],
    ],
    "BMEWO": [
        ["B-PER", "E-PER", "O", "W-LOC"],
        ["O", "W-PER", "B-PER", "M-PER", "E-PER"],
        ["O", "O"],
        ["W-LOC", "W-PER", "O"],
    ],
}

NAMES = {"BMES": "BIOES", "BMEWO": "BIOES"}


def write(path: Path, sentences: list[list[str]]) -> None:
    rows = [
        {"id": str(number), "tokens": [f"word{number}x{index}" for index in range(len(tags))], "tags": tags}
        for number, tags in enumerate(sentences)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))


def ingested(root: Path, sentences: list[list[str]], **data) -> tuple[dict[str, int], list[list[str]]]:
    """Return what was quarantined, and the tags of the others in their order."""
    write(root / "x.jsonl", sentences)
    config = parse({"task": "token_classification", "data": data}, where="test")
    (made,) = ingest(config, ProjectFolder(root), Files(path="x.jsonl"))
    splits = [Experiences(ProjectFolder(root)).rows(made.id, split) for split in ("train", "validation", "test")]
    rows = {int(id_): list(tags) for frame in splits for id_, tags in zip(frame["id"], frame["tags"], strict=True)}
    return made.quarantined, [rows[number] for number in sorted(rows)]


@pytest.mark.parametrize("scheme", WRITTEN)
@pytest.mark.parametrize("chunk_rows", [1, 3, 1_000])
def test_tags_of_every_scheme_become_bio2_whole(tmp_path, scheme, chunk_rows, caplog) -> None:
    quarantined, tags = ingested(tmp_path, WRITTEN[scheme] * 5, chunk_rows=chunk_rows)
    assert quarantined == {} and tags == SENTENCES * 5
    converted = f"x.jsonl: tags are in {NAMES.get(scheme, scheme)}, converted to BIO2"
    assert caplog.messages == ([] if scheme == "BIO2" else [converted])


@pytest.mark.parametrize(
    ("first", "second"), [("BIO2", "IOB1"), ("IOB1", "BIOES"), ("BILOU", "BIOES"), ("BIO2", "BMEWO")]
)
@pytest.mark.parametrize("chunk_rows", [2, 1_000])
def test_mixed_schemes_are_refused_by_name_and_nothing_is_learnt(tmp_path, first, second, chunk_rows) -> None:
    with pytest.raises(SourceError, match=r"x\.jsonl: mixes tag schemes: .*convert column 'tags' to BIO2") as error:
        ingested(tmp_path, WRITTEN[first] * 6 + WRITTEN[second] * 6, chunk_rows=chunk_rows)
    assert all(NAMES.get(scheme, scheme) in str(error.value) for scheme in (first, second))
    assert not Experiences(ProjectFolder(tmp_path)).all()


@pytest.mark.parametrize("scheme", ["BIO2", "BIOES"])
def test_a_few_slips_are_set_aside_as_ever(tmp_path, scheme) -> None:
    quarantined, tags = ingested(tmp_path, [*WRITTEN[scheme] * 10, ["O", "I-PER", "B-LOC", "I-PER"]])
    assert sum(quarantined.values()) == 1 and len(tags) == 40


@pytest.mark.parametrize("tags", [["PER", "O"], ["1", "0"], ["PER-B", "O"], ["b_per", "o"]])
def test_tags_of_no_known_scheme_are_refused_and_not_only_the_sentences_with_entities_lost(tmp_path, tags) -> None:
    with pytest.raises(SourceError, match=r"the tags of 3 of 3 sentences .* such as '.+'; write them as B-PER"):
        ingested(tmp_path, [*[tags] * 3, *[["O", "O"]] * 30])
