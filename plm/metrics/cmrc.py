"""CMRC 2018's official scores: exact match, and F1 of the longest common run of Chinese characters and other words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from plm.errors import DataError
from plm.metrics.punkt import sentences
from plm.metrics.treebank import treebank_words

# The signs that count for nothing. Its list also holds the pair "……", which no single character equals; ASCII , . ( ) "
# and ‘ are not in it.
_SIGNS = "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』"
_NO_SIGNS = str.maketrans("", "", _SIGNS)
_PARTS = re.compile("[\u4e00-\u9fa5]|[^\u4e00-\u9fa5]+")


def cmrc2018(references: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> dict[str, float]:
    """What cmrc2018_evaluate.py (v6) prints: F1, EM and their AVERAGE, in percent, TOTAL and SKIP, in questions.

    references: texts of the expected answers by id of the question. A question without prediction counts 0 and is in
        SKIP; predictions of other questions are passed over.
    Raises DataError for a question without expected answers.
    Source: https://github.com/ymcui/cmrc2018, CC BY-SA 4.0.
    """
    if not references:
        raise DataError("there are no questions to score")
    f1 = exact = 0.0
    for id_, answers in references.items():
        if not answers:
            raise DataError(f"question {id_!r}: has no expected answer, and CMRC has no questions without")
        if id_ in predictions:
            f1 += max(cmrc_f1(answer, predictions[id_]) for answer in answers)
            exact += without_signs(predictions[id_]) in map(without_signs, answers)
    f1, exact = 100.0 * f1 / len(references), 100.0 * exact / len(references)
    skipped = sum(id_ not in predictions for id_ in references)
    return {"AVERAGE": (exact + f1) / 2, "F1": f1, "EM": exact, "TOTAL": len(references), "SKIP": skipped}


def without_signs(text: str) -> str:
    """In lower case, without the signs that count for nothing; spaces inside stay."""
    return text.lower().strip().translate(_NO_SIGNS)


def segments(text: str) -> list[str]:
    """Each Chinese character, and the words of what stands between them; signs are gone."""
    found: list[str] = []
    for part in _PARTS.findall(without_signs(text)):
        if "\u4e00" <= part <= "\u9fa5":
            found.append(part)
        else:
            found += [word for sentence in sentences(part) for word in treebank_words(sentence)]
    return found


def cmrc_f1(expected: str, predicted: str) -> float:
    """F1 of the longest run of segments, without gaps, that both texts have; 0 when there is none, in [0, 1]."""
    left, right = segments(expected), segments(predicted)
    common = SequenceMatcher(None, left, right, autojunk=False).find_longest_match().size
    if common == 0:
        return 0.0
    precision, recall = common / len(right), common / len(left)
    return 2 * precision * recall / (precision + recall)
