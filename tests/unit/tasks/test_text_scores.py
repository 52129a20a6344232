from __future__ import annotations

import pickle

import pytest

from cl.tasks import RatedText
from cl.tasks._text_scores import (
    TEXT_SCORES,
    bleu,
    chrf,
    corpus_bleu,
    corpus_chrf,
    exact_match,
    f1,
    likelihood,
    rouge_l,
    split_words,
)


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # common: the cat on mat (4 words of 6 and of 5): precision 4/5, recall 4/6, F1 8/11
    assert rouge_l("the cat sat on the mat", "the cat is on mat") == pytest.approx(8 / 11)
    # the order counts: of "a b c" and "c b a" one word is common
    assert rouge_l("a b c", "c b a") == pytest.approx(1 / 3)
    assert rouge_l("a b c d", "a x c y d") == pytest.approx(2 * 3 / 9)


@pytest.mark.parametrize("text", ["我爱北京", "मेरा कार्ड खो गया", "카드를 잃어버렸어요", "บัตรหาย", "Моя карта"])
def test_rouge_l_reads_every_writing(text) -> None:
    assert rouge_l(text, text) == 1.0
    assert rouge_l(text, "lost card") == 0.0


def test_words_without_spaces_between_them_are_compared_by_letter() -> None:
    assert split_words("我爱 GPUs2!") == ["我", "爱", "gpus2"]
    assert rouge_l("我爱北京", "我爱上海") == pytest.approx(0.5)


def test_exact_match_and_f1_leave_out_case_articles_and_punctuation() -> None:
    assert exact_match("The red house.", "red house") == 1.0
    assert exact_match("the red house", "house red") == 0.0
    assert f1("the red house", "blue house") == pytest.approx(0.5)


def test_chrf_is_1_for_the_same_text_and_0_without_a_common_letter() -> None:
    assert chrf("guten tag", "guten tag") == 1.0 == chrf("ja", "ja")
    assert chrf("abc", "xyz") == 0.0
    assert 0 < chrf("guten tag", "guten abend") < 1


def test_chrf_of_short_texts_is_that_computed_by_hand() -> None:
    # n-grams of "ab" and "ac": of 1 letter, 1 of 2 is common; of 2 letters, 0 of 1: the mean of both precisions and of
    # both recalls is 1/4, and so is their F2
    assert chrf("ab", "ac") == pytest.approx(0.25)
    assert corpus_chrf(["ab", "cd"], ["ab", "cd"]) == 1.0


@pytest.mark.parametrize("name", sorted(TEXT_SCORES))
def test_a_blank_text_is_like_a_blank_text_alone(name) -> None:
    score = TEXT_SCORES[name]
    assert score("", "") == 1.0
    assert score("something", "") == score("", "something") == 0.0


def test_bleu_is_the_geometric_mean_of_the_precisions_of_n_grams() -> None:
    # 1 to 4-grams of "a b c d x" in "a b c d e": 4/5, 3/4, 2/3, 1/2; equally long, so no penalty
    assert bleu("a b c d e", "a b c d x") == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** (1 / 4))
    # no 3-gram and no 4-gram is common: each such precision is halved once more (1/2 and 1/4 of one match)
    assert bleu("a b x c d", "a b y c d") == pytest.approx((4 / 5 * 2 / 4 * (1 / 2) / 3 * (1 / 4) / 2) ** (1 / 4))
    assert bleu("", " ") == 1.0 and bleu("a", "") == 0.0
    assert bleu("我爱北京", "我爱北京") == 1.0 and 0 < bleu("我爱北京天气", "我爱北京大学") < 1


def test_bleu_of_all_texts_adds_up_their_n_grams() -> None:
    truths, answers = ["a b c d e", "f g h i j"], ["a b c d e", "f g h i x"]
    precisions = [9 / 10, 7 / 8, 5 / 6, 3 / 4]
    expected = (precisions[0] * precisions[1] * precisions[2] * precisions[3]) ** (1 / 4)
    assert corpus_bleu(truths, answers) == pytest.approx(expected)


def test_the_likelihood_of_the_true_answer_is_what_the_model_held() -> None:
    assert likelihood("my card", RatedText("", 0.6931471805599453)) == pytest.approx(0.5)
    assert pickle.loads(pickle.dumps(RatedText("a", 2.0))).nll == 2.0
    with pytest.raises(TypeError, match="'my card' is a bare text"):
        likelihood("my card", "my card")
