"""Test whether the texts changed in length, non-letters or vocabulary."""

from __future__ import annotations

import warnings

from pydantic import Field

from cl.drift.detectors import EXAMPLES, Detector
from cl.drift.detectors._base import too_few_rows
from cl.drift.text_statistics import changed_words, describe, vocabulary, words_in
from cl.heavy import pd
from cl.models.snapshot import Snapshot
from cl.records import Finding
from cl.statistics import format_p_value

SHOWN = 3


class Descriptors(Detector):
    """The two-sample Kolmogorov-Smirnov test on each text descriptor, with a Bonferroni correction.

    The descriptors are length, the share of non-letters, and the share of words that the reference does not have: what
    typing errors, another language or another kind of author change first. It needs neither labels nor a model.

    >>> from dataclasses import replace
    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1)
    >>> longer = replace(new, frame=new.frame.assign(text=new.frame['text'] * 3))
    >>> Descriptors().detect(reference, longer, alpha=0.01, seed=0).drifted
    True
    """

    max_rows: int = Field(20_000, ge=20, description="Rows compared per side, at most; drawn at random")
    min_rows: int = Field(20, ge=2, description="Rows required on each side")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding, with the words that became more frequent or rarer."""
        has = min(len(reference.frame), len(new.frame))
        if has < self.min_rows:
            return too_few_rows(self.name, "inputs", needs=self.min_rows, has=has)
        before, after = (_sample_texts(side, self.max_rows, seed) for side in (reference, new))
        known = vocabulary(before)
        described = describe(before, known, among=True), describe(after, known, among=False)
        if not any(pd.concat(described)[column].nunique() > 1 for column in described[0]):
            return too_few_rows(self.name, "inputs", needs=2, has=1, what="different texts")
        distances = {column: _ks_test(described[0][column], described[1][column]) for column in described[0]}
        most = min(distances, key=lambda column: distances[column][1])
        p_value = min(1.0, len(distances) * distances[most][1])
        changed = changed_words(before, after)
        return Finding(
            detector=self.name,
            kind="inputs",
            drifted=p_value <= alpha,
            p_value=p_value,
            statistic=distances[most][0],
            moved=changed,
            examples=_find_examples(new, after, described[1]["unknown_word_share"]),
            summary=f"{most.replace('_', ' ')}: mean {described[0][most].mean():.3g} to "
            f"{described[1][most].mean():.3g}; most changed words: "
            f"{', '.join(word.name for word in changed[:SHOWN])} ({format_p_value(p_value)})",
        )


def _sample_texts(side: Snapshot, max_rows: int, seed: int) -> pd.Series:
    texts = side.frame["text"].astype(str)
    return texts if len(texts) <= max_rows else texts.sample(max_rows, random_state=seed).sort_index()


def _ks_test(before: pd.Series, after: pd.Series) -> tuple[float, float]:
    """Return the Kolmogorov-Smirnov statistic and its p-value."""
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # scipy warns when it uses the asymptotic p-value
        result = ks_2samp(before, after)
    return float(result.statistic), float(result.pvalue)


def _find_examples(new: Snapshot, after: pd.Series, unknown: pd.Series) -> list[str]:
    """Return the ids of the rows with the largest shares of unknown words; among ties, those with more words."""
    lengths = after.map(lambda text: len(words_in(text)))
    order = pd.DataFrame({"unknown": unknown, "length": lengths}).sort_values(["unknown", "length"], ascending=False)
    return [str(new.frame["id"][index]) for index in order.index[:EXAMPLES] if unknown[index] > 0]
