"""Famous poems and machine-made ones get the verdicts that are known for them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plm.errors import PoemError, UnknownNameError
from plm.poetry import Form, check, find_form

WANG_ZHIHUAN = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"
LI_BAI = "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。"
LI_BAI_TRADITIONAL = "朝辭白帝彩雲間，千里江陵一日還。兩岸猿聲啼不住，輕舟已過萬重山。"
QUIET_NIGHT = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
DU_FU = "国破山河在，城春草木深。感时花溅泪，恨别鸟惊心。烽火连三月，家书抵万金。白头搔更短，浑欲不胜簪。"
CUI_HAO = (
    "昔人已乘黄鹤去，此地空余黄鹤楼。黄鹤一去不复返，白云千载空悠悠。"
    "晴川历历汉阳树，芳草萋萋鹦鹉洲。日暮乡关何处是，烟波江上使人愁。"
)
MENG_HAORAN = "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。"
WANG_WEI = "独在异乡为异客，每逢佳节倍思亲。遥知兄弟登高处，遍插茱萸少一人。"

# Written by the poem generator of MindSpore's BERT tutorial (mindspore-ai/docs, r1.1 and r1.2, CC BY 4.0).
MACHINE_RANDOM = "大堤柳暗，春深树根。东望一望，断回还家。山色渐风雨，东风多雨禾。无情与去，万里所思。"
MACHINE_CONTINUED = "天下为公少，唯君北向西。远山无路见，长水见人偏。一路巴猿啸，千峰楚客啼。幽深有诗策，无以话年华。"
MACHINE_ACROSTIC = "人君离别难堪望，工部张机自少年。智士不知身没处，能令圣德属何年。"
MACHINE_RANDOM_2 = "一朵黄花叶，千竿绿树枝。含香待夏晚，澹浩长风时。"
MACHINE_CONTINUED_2 = "明月照三峡，长空一片云。秋风与雨过，唯有客舟分。寒影出何处，远林含不闻。不知前后事，何道逐风君。"
MACHINE_ACROSTIC_2 = "人生事太远，工部与神期。智者岂无识，能文争有疑。"


@pytest.mark.parametrize(
    ("poem", "form", "order", "rhyme", "words"),
    [
        (WANG_ZHIHUAN, "五绝", "D", "十一尤", ("流", "楼")),
        (LI_BAI, "七绝", "B", "十五删", ("间", "还", "山")),
        (DU_FU, "五律", "D", "十二侵", ("深", "心", "金", "簪")),
        (WANG_WEI, "七绝", "A", "十一真", ("亲", "人")),
    ],
)
def test_regulated_poems_are_right(poem: str, form: str, order: str, rhyme: str, words: tuple[str, ...]) -> None:
    report = check(poem, licences=["小拗不救"] if poem == DU_FU else ())
    assert report.ok, report
    assert (report.form, report.order, report.rhyme_class, report.rhyme_words) == (form, order, rhyme, words)


@pytest.mark.parametrize(
    ("poem", "form", "errors", "rhyme", "repeated"),
    [
        (QUIET_NIGHT, "五绝", 3, "七阳", "明月头"),  # a poem in the old free style
        (CUI_HAO, "七律", 4, "十一尤", "人黄鹤去空悠历萋"),  # begins freely
        (MACHINE_CONTINUED, "五律", 2, None, "无路见"),
        (MACHINE_ACROSTIC, "七绝", 0, "一先", "年"),
        (MACHINE_RANDOM_2, "五绝", 1, "四支", ""),
        (MACHINE_CONTINUED_2, "五律", 4, "十二文", "风何不"),
        (MACHINE_ACROSTIC_2, "五绝", 3, "四支", ""),
    ],
)
def test_other_poems_get_their_known_verdicts(
    poem: str, form: str, errors: int, rhyme: str | None, repeated: str
) -> None:
    report = check(poem)
    assert (report.form, report.form_ok, len(report.tone_errors), report.rhyme_class) == (form, True, errors, rhyme)
    assert set(report.repeated) == set(repeated)
    assert not report.ok


def test_a_tone_error_says_where_what_and_what_instead() -> None:
    (error,) = check(MACHINE_RANDOM_2).tone_errors
    assert (error.line, error.position, error.character) == (3, 3, "待")
    assert (error.expected, error.found) == ("level", "oblique")


def test_a_rhyme_word_used_twice_is_wrong() -> None:
    report = check(MACHINE_ACROSTIC)
    assert report.rhyme_ok
    assert report.repeated_rhyme_words == ("年",)
    assert not report.ok


def test_oblique_rhymes_are_no_rhyme_of_regulated_verse() -> None:
    report = check(MENG_HAORAN)
    assert (report.form, report.rhyme_ok) == ("五绝", False)


def test_a_shape_of_no_form_is_reported_not_raised() -> None:
    report = check(MACHINE_RANDOM)
    assert (report.form, report.form_ok, report.order, report.ok) == (None, False, None, False)
    assert report.problem.endswith("has lines of these lengths: 4, 4, 4, 4, 5, 5, 4, 4")
    assert set(report.repeated) == set("东望风雨")
    assert [error.character for error in report.rhyme_errors]


def test_lines_that_do_not_fill_the_form_asked_for_are_told_what_it_wants() -> None:
    report = check(WANG_ZHIHUAN, "七绝")
    assert (report.form, report.form_ok) == ("七绝", False)
    assert report.problem == "七绝 has lines of 7, 7, 7, 7 characters; these have 5, 5, 5, 5"
    assert report.rhyme_class == "十一尤"


@pytest.mark.parametrize("poem", ["", "。", [], "A"])
def test_next_to_nothing_is_no_poem_and_no_crash(poem: str | list[str]) -> None:
    report = check(poem)
    assert not report.ok
    assert str(report)


def test_script_punctuation_and_lines_make_no_difference() -> None:
    plain = check(LI_BAI).to_dict()
    for poem in (LI_BAI_TRADITIONAL, LI_BAI.replace("，", ",").split("。"), list(check(LI_BAI).lines)):
        other = check(poem).to_dict()
        assert {name: other[name] for name in other if name not in ("lines", "rhyme_words")} == {
            name: plain[name] for name in plain if name not in ("lines", "rhyme_words")
        }


def test_an_order_may_be_prescribed() -> None:
    assert check(WANG_ZHIHUAN, order="D").ok
    report = check(WANG_ZHIHUAN, order="A")
    assert report.order == "A"
    assert report.tone_errors


def test_unknown_characters_are_errors_when_strict_and_wildcards_when_not() -> None:
    poem = WANG_ZHIHUAN.replace("河", "\u4dff")
    strict = check(poem)
    assert [(error.line, error.position, error.found) for error in strict.tone_errors] == [(2, 2, "unknown")]
    assert strict.tones[1] == "平？仄仄平"
    loose = check(poem, strict=False)
    assert loose.ok
    assert loose.unknown == strict.unknown == ("\u4dff",)


def test_an_unknown_character_does_not_rhyme() -> None:
    report = check(WANG_ZHIHUAN.replace("楼", "\u4dff"), strict=False)
    assert not report.rhyme_ok


def test_faults_count_in_strict_checks_only() -> None:
    poem = WANG_ZHIHUAN.replace("黄河入海流", "白河入海流")  # 仄平仄仄平
    strict, loose = (check(poem, judged="pivots", strict=strict) for strict in (True, False))
    assert [note.name for note in strict.faults] == [note.name for note in loose.faults] == ["孤平"]
    assert (strict.ok, loose.ok) == (False, True)


def test_a_first_line_may_borrow_a_neighbouring_rhyme_if_allowed() -> None:
    poem = LI_BAI.replace("彩云间", "彩云端")  # 端 is 十四寒, a neighbour of 十五删
    assert [note.name for note in check(poem).faults] == ["首句不入韵"]
    allowed = check(poem, licences=["首句邻韵"])
    assert allowed.ok
    assert [note.name for note in allowed.licences] == ["首句邻韵"]
    far = check(LI_BAI.replace("彩云间", "彩云流"), licences=["首句邻韵"])
    assert [note.name for note in far.faults] == ["首句不入韵"]


def test_all_licences_of_a_form_can_be_allowed_at_once() -> None:
    bai_juyi = "离离原上草，一岁一枯荣。野火烧不尽，春风吹又生。远芳侵古道，晴翠接荒城。又送王孙去，萋萋满别情。"
    names = [licence.name for licence in find_form("五律").licences]
    assert check(bai_juyi, licences=names).ok
    assert check(bai_juyi.replace("别情", "别离"), licences=names).rhyme_class is None


def test_the_modern_book_judges_by_mandarin() -> None:
    report = check(LI_BAI, book="xinyun")
    assert (report.book, report.rhyme_class) == ("xinyun", "八寒")
    # 白 and 一 were oblique once; the places where they stand want what they were.
    assert {"白", "一"} & {error.character for error in report.tone_errors}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"form": "八绝"}, UnknownNameError, "unknown verse form '八绝'"),
        ({"book": "唐韵"}, UnknownNameError, "unknown rhyme book '唐韵'"),
        ({"order": "E"}, PoemError, "五绝 has no order 'E'"),
        ({"licences": ["三五互换"]}, UnknownNameError, "unknown licence '三五互换'; did you mean '三四互换'?"),
    ],
)
def test_unknown_names_are_refused(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        check(WANG_ZHIHUAN, **arguments)  # type: ignore[arg-type]
    assert message in str(caught.value)


@given(st.text(st.sampled_from("山水风月春秋长重人天不有。，\n Aあ\u4dff"), max_size=60))
@settings(deadline=None, max_examples=80)
def test_any_text_gets_a_report_that_json_can_hold(text: str) -> None:
    report = check(text)
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()
    assert str(report)
    assert report.ok <= (report.form_ok and report.rhyme_ok and not report.tone_errors)


@given(
    st.lists(st.text(st.sampled_from("山水风月春秋长重人天不有白日"), min_size=5, max_size=5), min_size=4, max_size=4)
)
@settings(deadline=None, max_examples=80)
def test_errors_are_exactly_the_places_where_tones_and_template_disagree(lines: list[str]) -> None:
    report = check(lines)
    wrong = {
        (number, place)
        for number, (tones, template) in enumerate(zip(report.tones, report.template, strict=True), start=1)
        for place, (tone, want) in enumerate(zip(tones, template, strict=True), start=1)
        if "中" not in (tone, want) and tone != want
    }
    assert {(error.line, error.position) for error in report.tone_errors} == wrong
    form: Form = find_form("五绝")
    best = min(len(check(lines, order=order.name).tone_errors) for order in form.orders)
    assert len(report.tone_errors) == best
