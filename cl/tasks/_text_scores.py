"""How like a true text an answer is, 0 to 1: exact match and F1 of words, ROUGE-L, chrF. All of them read Unicode."""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import exp
from typing import Any

from cl.extras import require

ARTICLES = re.compile(r"\b(a|an|the)\b")
WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""How the names of letters begin in writing that has no spaces between words."""


def words_of_answer(text: str) -> list[str]:
    """Return the words of an answer in lower case, without punctuation and English articles, as SQuAD's script does.

    >>> words_of_answer("The red house!")
    ['red', 'house']
    """
    kept = "".join(letter for letter in text.lower() if not _is_punctuation(letter))
    return ARTICLES.sub(" ", kept).split()


def _is_punctuation(letter: str) -> bool:
    return letter in string.punctuation or unicodedata.category(letter)[0] == "P"


def words_f1(truth: list[str], answer: list[str]) -> float:
    """Return the harmonic mean of precision and recall of an answer's words (Rajpurkar et al., 2016, section 6.1)."""
    if not truth or not answer:
        return float(truth == answer)
    common = sum((Counter(truth) & Counter(answer)).values())
    return 2 * common / (len(truth) + len(answer))


def exact_match(truth: str, answer: str) -> float:
    """Return 1 if both have the same words in the same order, as `words_of_answer` reads them."""
    return float(words_of_answer(truth) == words_of_answer(answer))


def f1(truth: str, answer: str) -> float:
    """Return `words_f1` of two texts.

    >>> f1("the red house", "a house")
    0.6666666666666666
    """
    return words_f1(words_of_answer(truth), words_of_answer(answer))


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case: letters with their marks and digits, without punctuation.

    In writing that has no spaces between words, each letter is one.

    >>> split_words("Don't! 我爱猫 हिन्दी")
    ['don', 't', '我', '爱', '猫', 'हिन्दी']
    """
    words, current = list[str](), ""
    for letter in text.lower():
        alone, inside = _kind_of(letter)
        if alone or not inside:
            words += [current] if current else []
            current = ""
        if alone:
            words.append(letter)
        elif inside:
            current += letter
    return [*words, current] if current else words


@functools.lru_cache(maxsize=10_000)
def _kind_of(letter: str) -> tuple[bool, bool]:
    """Return whether a letter is a word of its own, and whether it is part of a word at all."""
    inside = unicodedata.category(letter)[0] in "LMN"
    return inside and unicodedata.name(letter, "").startswith(WITHOUT_SPACES), inside


def rouge_l(truth: str, answer: str) -> float:
    """Return ROUGE-L: the F1 of the longest common subsequence of words (Lin, 2004, section 3.1, with beta 1).

    >>> rouge_l("police killed the gunman", "police kill the gunman")
    0.75
    >>> rouge_l("我爱猫", "我爱狗") == 2 / 3
    True
    """
    first, second = split_words(truth), split_words(answer)
    if not first or not second:
        return float(first == second)
    return 2 * _longest_common(first, second) / (len(first) + len(second))


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        before = 0
        for column, other in enumerate(second, 1):
            above = row[column]
            row[column] = before + 1 if word == other else max(above, row[column - 1])
            before = above
    return row[-1]


def chrf(truth: str, answer: str) -> float:
    """Return chrF: the F2 of n-grams of up to 6 characters (Popović, 2015), by sacrebleu; two blank texts are equal."""
    if not truth.strip() or not answer.strip():
        return float(not truth.strip() and not answer.strip())
    score: float = _chrf().sentence_score(answer, [truth]).score / 100
    return score


def corpus_chrf(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Return chrF of all texts together: their counts of n-grams are added up first."""
    score: float = _chrf().corpus_score(list(answers), [list(truths)]).score / 100
    return score


def sentence_chrf_counts(truths: Sequence[str], answers: Sequence[str]) -> list[list[int]]:
    """Return what chrF adds up of each row, by sacrebleu: for 1 to 6-grams, those of answer, truth and both."""
    counts: list[list[int]] = _chrf()._extract_corpus_statistics(list(answers), [list(truths)])
    return counts


def bleu(truth: str, answer: str) -> float:
    """Return BLEU of a sentence, smoothed exponentially (Chen and Cherry, 2014, method 3), by sacrebleu.

    Its words are those of sacrebleu's tokenizer 13a; in writing that has no spaces between words, each letter is one.
    Two blank texts are equal.
    """
    if not truth.strip() or not answer.strip():
        return float(not truth.strip() and not answer.strip())
    score: float = _bleu(sentences=True).sentence_score(_spaced(answer), [_spaced(truth)]).score / 100
    return min(1.0, score)


def corpus_bleu(truths: Sequence[str], answers: Sequence[str]) -> float:
    """Return BLEU of all texts together (Papineni et al., 2002): their counts of n-grams are added up first."""
    spaced = [[_spaced(text) for text in texts] for texts in (answers, truths)]
    score: float = _bleu(sentences=False).corpus_score(spaced[0], [spaced[1]]).score / 100
    return min(1.0, score)


def sentence_bleu_counts(truths: Sequence[str], answers: Sequence[str]) -> list[list[int]]:
    """Return for each row what BLEU adds up, by sacrebleu.

    They are the words of answer and truth, then for 1 to 4-grams the common ones, then for each the answer's.
    """
    spaced = [[_spaced(text) for text in texts] for texts in (answers, truths)]
    counts: list[list[int]] = _bleu(sentences=False)._extract_corpus_statistics(spaced[0], [spaced[1]])
    return [[int(count) for count in row] for row in counts]


def _spaced(text: str) -> str:
    """Return a text with spaces around each letter of writing that has none between words."""
    return "".join(f" {letter} " if _kind_of(letter)[0] else letter for letter in text)


@functools.cache
def _bleu(*, sentences: bool) -> Any:
    require("task metric 'bleu'", "sacrebleu", instead="choose metric rouge_l, f1 or exact_match")
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=sentences)


class RatedText(str):
    """An answer with ``nll``: the mean negative log-likelihood of a token of the true answer, in nats.

    The answer is blank where the model was not asked to write.
    """

    nll: float

    def __new__(cls, text: str, nll: float) -> RatedText:
        """Return the text with the likelihood of the true answer."""
        made = super().__new__(cls, text)
        made.nll = nll
        return made

    def __getnewargs__(self) -> tuple[str, float]:  # type: ignore[override]
        return str(self), self.nll


def likelihood(truth: str, answer: str) -> float:
    """Return exp(-NLL): how probable the model held a token of the true answer, the geometric mean, 0 to 1.

    >>> likelihood("my card", RatedText("", 0.0))
    1.0

    Raises:
        TypeError: the answer is a bare text, of which that is not known.
    """
    if not isinstance(answer, RatedText):
        raise TypeError(f"{answer[:40]!r} is a bare text: how probable the model held the true answer is not known")
    return exp(-answer.nll)


@functools.cache
def _chrf() -> Any:
    require("task metric 'chrf'", "sacrebleu", instead="choose metric rouge_l, f1 or exact_match")
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


TEXT_SCORES: Mapping[str, Callable[[str, str], float]] = {
    "chrf": chrf,
    "rouge_l": rouge_l,
    "exact_match": exact_match,
    "f1": f1,
    "bleu": bleu,
}
"""By name: the score of an answer, given the true text and the answer."""
CORPUS_SCORES: Mapping[str, Callable[[Sequence[str], Sequence[str]], float]] = {
    "chrf": corpus_chrf,
    "bleu": corpus_bleu,
}
"""By name: the score of all answers together, given the true texts and the answers."""
