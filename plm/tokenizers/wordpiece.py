"""The WordPiece pipeline of BERT, NEZHA and TinyBERT, put together from the parts of the `tokenizers` package."""

from __future__ import annotations

from collections.abc import Mapping

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

# Google's cleaning drops control and format characters, NUL and U+FFFD. The `clean_text` of the Rust normaliser drops
# private-use and unassigned characters too, which Google keeps, so cleaning is done by this pattern instead.
_DROPPED = Regex(r"[\x{0}-\x{8}\x{b}\x{c}\x{e}-\x{1f}\x{7f}-\x{9f}\x{fffd}\p{Cf}]")
_LONGEST_WORD = 200  # Google's; transformers takes 100. A longer word is [UNK] as a whole.


def build_wordpiece(
    ids: Mapping[str, int],
    *,
    unk_token: str = "[UNK]",
    lower_case: bool,
    strip_accents: bool | None = None,
    split_ideographs: bool = True,
) -> Tokenizer:
    """A Rust tokenizer that gives the tokens of Google's `FullTokenizer`; it adds no special tokens yet.

    ids: ids by token, without gaps.
    lower_case: True for an uncased model.
    strip_accents: None means as `lower_case`.
    split_ideographs: True makes every Chinese character a word.
    Source: https://github.com/google-research/bert, `tokenization.py`, Apache-2.0.
    """
    backend = Tokenizer(models.WordPiece(dict(ids), unk_token=unk_token, max_input_chars_per_word=_LONGEST_WORD))
    backend.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(_DROPPED, ""),
            normalizers.BertNormalizer(
                clean_text=False,
                handle_chinese_chars=split_ideographs,
                strip_accents=strip_accents,
                lowercase=lower_case,
            ),
        ]
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return backend


def frame_with(backend: Tokenizer, cls_token: str, sep_token: str) -> None:
    """Make the tokenizer write [CLS] A [SEP] and [CLS] A [SEP] B [SEP], with token type 1 from B on."""
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (cls_token, sep_token)])
    backend.post_processor = processors.TemplateProcessing(
        single=[f"{cls_token}:0", "$A:0", f"{sep_token}:0"],
        pair=[f"{cls_token}:0", "$A:0", f"{sep_token}:0", "$B:1", f"{sep_token}:1"],
        special_tokens=[(token, backend.token_to_id(token)) for token in (cls_token, sep_token)],
    )
