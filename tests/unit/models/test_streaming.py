"""An answer that comes piece by piece is the answer that is written at once."""

import itertools

import pytest

from cl.config import parse
from cl.errors import InputError
from cl.models.build import grow_labels, new_learner
from cl.registry.versions import LoadedVersion
from tests.support.tiny import made_tiny_writer

PROMPTS = ["please help the old card", "where is my parcel", "money", " "]


@pytest.mark.parametrize("kind", ["llama", "t5", "bart"])
def test_the_pieces_of_a_stream_are_what_predict_returns(kind, tiny_model, tmp_path) -> None:
    model = {"name": str(made_tiny_writer(tmp_path / "writer", tiny_model, kind=kind)), "max_length": 32}
    raw = {"task": {"name": "text_generation", "max_new_tokens": 9}, "model": model}
    version = LoadedVersion(grow_labels(new_learner(parse(raw, where="test")), ["text"], seed=0))
    for prompt in PROMPTS:
        pieces = list(version.stream(prompt))
        assert "".join(pieces) == version.predict([prompt])["completion"][0]
        assert all(pieces) and list(itertools.islice(version.stream(prompt), 2)) == pieces[:2]


def test_what_is_not_written_or_no_prompt_is_refused(tiny_model, tmp_path) -> None:
    model = {"name": str(made_tiny_writer(tmp_path / "writer", tiny_model))}
    writing = parse({"task": "text_generation", "model": model}, where="test")
    labelling = parse({"task": "text_classification", "model": {"name": str(tiny_model)}}, where="test")
    with pytest.raises(InputError, match="prompt is missing"):
        list(LoadedVersion(grow_labels(new_learner(writing), ["text"], seed=0)).stream(None))
    with pytest.raises(InputError, match="'text_classification' writes no answer"):
        list(LoadedVersion(grow_labels(new_learner(labelling), ["a", "b"], seed=0)).stream("hi"))
