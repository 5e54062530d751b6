"""Decoded text without the spaces of tokenisation."""

from __future__ import annotations

import pytest

from plm.tokenizers.cleanup import tidy


@pytest.mark.parametrize(
    ("decoded", "text"),
    [
        ("he said , no . why ? oh !", "he said, no. why? oh!"),
        ("they ' re here , is n't it 's", "they're here, isn't it's"),
        ("( a )", "( a )"),
        ("春 眠 不 觉 晓 ， 处 处 闻 啼 鸟 。", "春眠不觉晓，处处闻啼鸟。"),
        ("他 说 ： “ 你 好 ！ ”", "他说：“你好！”"),
        ("我 love 你 2023 年", "我 love 你 2023 年"),  # what stood between scripts is not known
        ("𠀀 𠀁", "𠀀𠀁"),
        ("", ""),
    ],
)
def test_spaces_go_from_english_punctuation_and_between_ideographs(decoded: str, text: str) -> None:
    assert tidy(decoded) == text
