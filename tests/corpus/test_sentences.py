"""Sentences end where readers say they do, and nothing of the text is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.corpus.sentences import split_sentences
from tests.shared_data import shared_data

# "|" = here a sentence ends.
ENGLISH = [
    "The boat was late.| Nobody minded.",
    "Is it far?| Not at all!| Come in.",
    "Mr. Hale met Dr. Ames and Mrs. Orr on Mt. Hood.| They talked.",
    "Write to J. K. Lund, or to A. Berg.| He answers.",
    "She was taller than I.| John was not.",
    "He lives in the U.S. The taxes are low.".replace("U.S. ", "U.S.| "),
    "The U.S. Army, the U.K. Parliament and Acme Inc. Europe were there.",
    "It opened at 5 p.m. and closed at 9 p.m.| The guests left.",
    "Use fruit, e.g. Apples or pears, i.e. Pome fruit, etc. in a pie.",
    "It costs 3.50 a kilo, or 1.200 at most.| That is v2.1 of the list.",
    "See www.example.org/a.b?c=d!e or mail a.b@example.org.| Then wait.",
    "See Fig. 3 and No. 12 on pp. 4 and 5.| He said no.| Then he left.",
    "1. Introduction to boats.| 2. Sails and oars.",
    "IV. The harbour at night.| It was dark.",
    'He said: "Go home."| "Why?"| She left.',
    '"Wait!" cried the boy, "wait for me!"',
    "“Stop.”| “Never (not now).”| (He stopped.)| Then he ran.",
    "Well... maybe so...| And then ... nothing happened.",
    "What?!| You here?...| Yes.",
    "He paused.| — Then he went on.| - And on.",
    "One.\tTwo.\n Three.\u2028Four.".replace("\t", "|\t").replace("\n", "|\n").replace("\u2028", "|\u2028"),
    "She came.| $5 were paid.| 12 men saw it.| Élan was there.",
    "Never without a space.Not here.",
    "no capital. so no end. right",
]
TOKENIZED = [
    "The lobster , H. gammarus , is blue .| It weighs 3 @.@ 5 kg ( 8 lb ) .| <unk> is red .",
    'He said " stop . "| Then he said " go . "| They went .',
    "( It was late . )| The lamp , etc. , was out .",
]
CHINESE = [
    "天亮了。|他走了！|真的吗？|也许……|谁知道",
    "“你好。”|他没有回头。|「早安！」|『再见？』|（完。）|好。",
    "他问：“去哪里？”，没有人回答。|“不知道！”、“不去！”",
    "先吃饭；|再睡觉；|最后读书。",
    "他跑了!|我问为什么?|没有人说;|大家都走了.|只有我在",
    "圆周率是3.14，网址是http://a.cn/?b=c!的，版本1.2.3。|完了",
    "《谁动了奶酪？》很好看。|《走！回家》也是。|好",
    '"走吧。"|他说。|"去哪?"|"回家!"',
    "什么？！|真的！！！|是……。|好",
    "第一句。 |第二句。\u3000|Third one. |第四句。 |iPhone",
    "……他没有说话。|好",
]


@pytest.mark.parametrize("marked", ENGLISH + TOKENIZED + CHINESE)
def test_sentences_end_where_readers_say(marked: str) -> None:
    expected = [part.strip() for part in marked.split("|")]
    assert split_sentences(marked.replace("|", "")) == expected


TEXT = st.text(st.sampled_from("aAbIé1 .!?…;\"'”“()。！？；”」《》〈,，中好\n\t\u2028U") | st.characters(codec="utf-8"))


@settings(deadline=None, max_examples=400)
@given(TEXT)
def test_nothing_but_white_space_is_lost(text: str) -> None:
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


@pytest.mark.parametrize(
    "unit", ["a. ", "V. Yy ", "。", "《。", '. "', '!" ', "(.) ", ". (((( ", "好。“", '"好。', ". . "]
)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    def seconds(repeats: int) -> float:
        begin = time.process_time()
        split_sentences(unit * repeats)
        return time.process_time() - begin

    seconds(1000)
    assert seconds(80_000) < 2.0  # a second pass over what lies before each stop would take minutes


@pytest.mark.parametrize("parts", [("text_en", "books.txt"), ("text_zh", "essays.txt")])
def test_real_texts_become_sentences_of_a_sensible_length(parts: tuple[str, ...]) -> None:
    lines = shared_data(*parts).read_text("utf-8").split("\n")[:3000]
    sentences = [sentence for line in lines for sentence in split_sentences(line)]
    assert "".join("".join(sentences).split()) == "".join("".join(lines).split())
    mean = sum(map(len, sentences)) / len(sentences)
    assert 25 < mean < 130
    assert sum(len(sentence) < 4 for sentence in sentences) < 0.01 * len(sentences)
