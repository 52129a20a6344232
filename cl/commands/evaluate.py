"""`cl evaluate`: score the champion again on its test rows, and end to end with the tagger of today."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cl.errors import InputError
from cl.process.progress import stage
from cl.registry.tagger import END_TO_END, TAGGER, open_finder, tagger_tags
from cl.stores.opened import OpenProject, open_project

if TYPE_CHECKING:
    from cl.evaluation.evaluate import EvaluationRows, ModelAnswers


def evaluate_champion(folder: Path) -> dict[str, Any]:
    """Return the champion's scores on the test rows of all that it has learned, and those end to end.

    Where the configuration names a tagger, the champion is scored with its version of today, and on the same rows with
    the version that it was evaluated with before, if that is another one. The version's tags then name the new one.

    Raises:
        InputError: there is no champion yet, or the tagger cannot be used.
    """
    project = open_project(folder)
    project.stores.registry.initialise()
    version = project.champion()
    finder = open_finder(project.config, project.stores)  # before anything is computed
    with stage(f"evaluate version {version}"):
        answers, tests = _answer(project, version)
    result: dict[str, Any] = {
        "version": version,
        "metric": answers.learner.task.metric,
        "rows": len(tests.together),
        "accuracy": _mean(answers),
        "scores": {score.experience: score.value for score in answers.scores},
        "end_to_end": [],
    }
    if finder is None:
        return result
    from cl.evaluation.end_to_end import find_pairs, score_end_to_end

    learner, tags = answers.learner, project.stores.registry.tags(version)

    def measure(chosen: Any) -> dict[str, Any]:
        paired = find_pairs(chosen, tests.together, learner.task.schema)
        return {"tagger": chosen.tagger, **score_end_to_end(learner, tests.together, paired)}

    before = tags.get(TAGGER)
    if before is not None and before != finder.tagger:
        try:
            if before.partition("@")[0] != finder.tagger.partition("@")[0]:
                raise InputError("it is another model")
            earlier = open_finder(project.config, project.stores, version=before.partition("@")[2])
            result["end_to_end"].append(measure(earlier))
        except InputError as error:  # its files are gone; what was measured is on record
            recorded = {"end_to_end_f1": float(tags[END_TO_END])} if tags.get(END_TO_END) else {}
            result["end_to_end"].append({"tagger": before, **recorded, "recorded": str(error)})
    result["end_to_end"].append(now := measure(finder))
    for key, value in tagger_tags(finder.tagger, now).items():
        project.stores.registry.tag_version(version, key, value)
    return result


def _answer(project: OpenProject, version: str) -> tuple[ModelAnswers, EvaluationRows]:
    """Let the champion answer the test rows of everything that it has learned."""
    from cl.evaluation.choose_tests import choose_tests
    from cl.evaluation.evaluate import EvaluationRows, answer_tests
    from cl.records.past_scores import PastScores
    from cl.registry.lineage import local_version

    champion = local_version(project.stores, version)
    assert champion.folder is not None
    rows_of, most = project.stores.experiences.rows_of, project.config.evaluation.max_rows
    chosen = choose_tests(champion.history.learnt, rows_of, PastScores(), most)
    tests = EvaluationRows.of_experiences(chosen.rows)
    return answer_tests(champion.folder, tests), tests


def _mean(answers: ModelAnswers) -> float | None:
    from cl.records.evaluation import mean_score

    return mean_score(answers.scores)
