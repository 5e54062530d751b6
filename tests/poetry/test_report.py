"""A report reads well and goes into JSON whole."""

from __future__ import annotations

from plm.poetry import check

GOOD = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"


def test_a_right_poem_is_shown_with_its_tones() -> None:
    assert str(check(GOOD)) == "\n".join(
        [
            "✓ 五绝 · order D · rhyme 十一尤 (流, 楼)",
            *("  白日依山尽", "  仄仄平平仄", "  黄河入海流", "  平平仄仄平"),
            *("  欲穷千里目", "  仄平平仄仄", "  更上一层楼", "  中仄仄平平"),
        ]
    )


def test_a_wrong_poem_is_marked_where_it_is_wrong_and_told_why() -> None:
    text = str(check(GOOD.replace("黄河入海流", "白河入海山")))
    assert text.startswith("✗ 五绝 · order D\n")
    assert "  白河入海山\n  仄平仄仄平\n  ＾\n" in text
    assert "line 2, character 1, 白: expected 平 level, found 仄 oblique" in text
    assert "line 2, 山 does not rhyme (it is 十五删)" in text
    assert "line 2, fault 孤平: one lone level character besides the rhyme" in text
    assert "repeated: 白×2 山×2" in text


def test_unknown_and_repeated_rhymes_are_told() -> None:
    text = str(check(GOOD.replace("层楼", "层流").replace("河", "\u4dff")))
    assert "rhyme words used twice: 流" in text
    assert "unknown to the rhyme book: \u4dff" in text
    assert "found ？ unknown" in text


def test_licences_are_told() -> None:
    text = str(check(GOOD.replace("黄河入海流", "白河流海流"), licences=["孤平自救"]))
    assert "line 2, licence 孤平自救: an oblique fifth from the end" in text


def test_the_dictionary_holds_fields_and_verdicts() -> None:
    values = check(GOOD.replace("黄", "白")).to_dict()
    assert values["tone_errors"] == [
        {"line": 2, "position": 1, "character": "白", "expected": "level", "found": "oblique"}
    ]
    assert values["lines"] == ["白日依山尽", "白河入海流", "欲穷千里目", "更上一层楼"]
    assert values["template"][1] == "平平仄仄平"
    assert values["repeated"] == {"白": 2}
    assert (values["ok"], values["form_ok"], values["rhyme_ok"]) == (False, True, True)
    assert (values["rhyme_lines"], values["rhyme_words"]) == ([2, 4], ["流", "楼"])
