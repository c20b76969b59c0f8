"""SentencePiece's byte pairs in a folder of Llama's kin: ids and texts are SentencePiece's own."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from weft.errors import UserError
from weft.families.decoder_tokenizer import read_tokenizer
from weft.families.sentencepiece_pairs import read_pairs

sentencepiece = pytest.importorskip("sentencepiece")

LINES = [f"The {one} dog {verb} a cat, and 20{n}1 birds  sing." for n in range(9) for one in ("old", "young") for verb in
         ("sees", "follows", "loves")]  # fmt: skip
TEXTS = [
    "The old dog",
    " a dog  follows ",
    "žluť 日本 ½ ﬁ 😀",
    "line\n\tline",
    "cats and dogs and birds singing",
    "",
    "x = {'a': 1}",
]


def trained(folder: Path, **options: Any) -> Path:
    out = io.BytesIO()
    usual = {
        "model_type": "bpe",
        "byte_fallback": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "split_digits": True,
        "vocab_size": 340,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES),
        model_writer=out,
        minloglevel=2,
        hard_vocab_limit=False,
        **{**usual, **options},
    )
    path = folder / "tokenizer.model"
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize("begins", [True, False])
def test_it_reads_and_writes_as_sentencepiece_does(begins: bool, tmp_path: Path) -> None:
    path = trained(tmp_path, add_dummy_prefix=begins)
    own = sentencepiece.SentencePieceProcessor(model_file=str(path))
    made = read_pairs(path)
    for text in TEXTS:
        ids = own.encode(text)
        assert made.encode(text).ids == ids, text
        assert made.decode(ids) == own.decode(ids), text
    assert made.get_vocab_size() == own.vocab_size()


def test_a_folder_without_settings_puts_the_start_before_a_text(tmp_path: Path) -> None:
    own = sentencepiece.SentencePieceProcessor(model_file=str(trained(tmp_path)))
    read = read_tokenizer(tmp_path, byte_pairs=False)
    assert read is not None
    assert (read.prefix, read.special) == ((1,), {"bos_token": 1, "eos_token": 2})
    made = Tokenizer.from_str(read.files["tokenizer.json"].decode())
    assert made.encode("The old dog").ids == [1, *own.encode("The old dog")]
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": own.vocab_size()}))
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"add_bos_token": False, "pad_token": "<pad>"})
    )
    read = read_tokenizer(tmp_path, byte_pairs=False)
    assert read is not None
    assert (read.prefix, read.special["pad_token"]) == ((), own.vocab_size())


def test_what_the_folder_says_comes_first(tmp_path: Path) -> None:
    trained(tmp_path, unk_piece="[UNK]", bos_piece="[B]", eos_piece="[E]")
    read = read_tokenizer(tmp_path, byte_pairs=False)
    assert read is not None
    assert (read.prefix, read.special) == ((), {})  # neither <s> nor </s> is there
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"bos_token": "[B]", "eos_token": "[E]"}))
    read = read_tokenizer(tmp_path, byte_pairs=False)
    assert read is not None
    assert (read.prefix, read.special) == ((1,), {"bos_token": 1, "eos_token": 2})


def test_what_is_not_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.model: a SentencePiece model, but none of byte pairs"):
        read_pairs(trained(tmp_path, model_type="unigram"))
    with pytest.raises(UserError, match="changes a text before it cuts it"):
        read_pairs(trained(tmp_path, normalization_rule_name="nmt_nfkc"))
    with pytest.raises(UserError, match=r"has pieces of its user's own, '<sep>' for one"):
        read_pairs(trained(tmp_path, user_defined_symbols=["<sep>", "two let"]))
    (tmp_path / "tokenizer.model").write_bytes(b"x")
    with pytest.raises(UserError, match=r"tokenizer\.model: damaged, or no SentencePiece model"):
        read_pairs(tmp_path / "tokenizer.model")
    trained(tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": 7000}))
    with pytest.raises(UserError, match=r"added_tokens\.json: <pad> cannot be 7000"):
        read_tokenizer(tmp_path, byte_pairs=False)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<pad>": "x", "<b>": 420}))
    with pytest.raises(UserError, match=r"added_tokens\.json: <pad> is 'x', which is no id"):
        read_tokenizer(tmp_path, byte_pairs=False)
