"""What a tagger must be; what its registry says of it is tested in `tests/e2e/test_pipeline_of_two_versions.py`."""

from __future__ import annotations

import json

import pytest

from cl.config.pipeline import PipelineSettings
from cl.errors import InputError
from cl.registry.tagger import TaggerVersion, _check_fit


@pytest.mark.parametrize(
    ("task", "labels", "types", "problem"),
    [
        ("token_classification", ["O", "B-PER", "I-PER"], [("PER", "PER")], None),
        ("token_classification", ["O"], [], "people@3 knows no type of entity, only O"),
        ("token_classification", ["O", "B-PER", "I-PER"], [("PER", "ORG")], "knows no entities of type 'ORG'"),
        ("text_classification", ["a"], [], "is of task 'text_classification'; a tagger is of task"),
    ],
)
def test_a_tagger_tags_entities_of_the_types_that_are_asked_about(tmp_path, task, labels, types, problem) -> None:
    (tmp_path / "learner.json").write_text(json.dumps({"task": task, "labels": labels}))
    tagger, settings = TaggerVersion("people", "3", tmp_path), PipelineSettings(tagger="people@3", types=types)
    if problem is None:
        _check_fit(tagger, settings)
        return
    with pytest.raises(InputError, match=problem):
        _check_fit(tagger, settings)
