"""Marian's tokenizer: what it refuses, and what it needs installed."""

import io
import json
import sys
from pathlib import Path

import pytest
import sentencepiece

from weft.errors import UserError
from weft.families.marian_tokenizer import MarianTokenizer

TEXTS = ["the dog sees the cat", "a cat sees a dog", "dogs and cats see the sea", "the sea is deep and blue"]


@pytest.fixture(scope="module")
def model() -> bytes:
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=out, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    return out.getvalue()


@pytest.fixture
def folder(model: bytes, tmp_path: Path) -> Path:
    for name in ("source.spm", "target.spm"):
        (tmp_path / name).write_bytes(model)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    pieces = [processor.id_to_piece(number) for number in range(3, processor.get_piece_size())]
    vocabulary = ["</s>", "<unk>", *pieces, ">>fra<<", "<pad>"]
    (tmp_path / "vocab.json").write_text(
        json.dumps({piece: number for number, piece in enumerate(vocabulary)})
    )
    return tmp_path


def test_text_there_and_back(folder: Path) -> None:
    tokenizer = MarianTokenizer.load(folder)
    ids = tokenizer.encode(TEXTS)
    assert tokenizer.decode(ids) == TEXTS
    assert tokenizer.decode([[*ids[0], tokenizer.eos_id, tokenizer.pad_id]]) == TEXTS[:1]
    assert tokenizer.encode_targets(TEXTS) == ids  # both sides have the same model here
    assert "".join(tokenizer.tokens(ids[0])).replace("▁", " ").strip() == TEXTS[0]


def test_special_tokens(folder: Path) -> None:
    tokenizer = MarianTokenizer.load(folder)
    last = tokenizer.vocab_size - 1
    assert tokenizer.vocab_size == len(json.loads((folder / "vocab.json").read_text()))
    assert (tokenizer.eos_id, tokenizer.unk_id, tokenizer.pad_id, tokenizer.bos_id) == (0, 1, last, last)
    assert tokenizer.token_id(">>fra<<") == last - 1
    assert tokenizer.token_id(">>deu<<") is None
    assert tokenizer.tokens([0, 99]) == ["</s>", "<unk>"]
    assert tokenizer.decode([[99]]) == [""]


def test_a_language_code_is_one_token(folder: Path) -> None:
    tokenizer = MarianTokenizer.load(folder)
    plain, coded, unknown = tokenizer.encode(["the dog", ">>fra<< the dog", ">>deu<< the dog"])
    assert coded == [tokenizer.token_id(">>fra<<"), *plain]
    assert unknown == [tokenizer.unk_id, *plain]


def test_special_tokens_are_never_read_from_text(folder: Path) -> None:
    tokenizer = MarianTokenizer.load(folder)
    for ids in tokenizer.encode(["the </s> dog", "<pad> the dog"]):
        assert not {tokenizer.eos_id, tokenizer.pad_id} & set(ids)


def test_half_a_character_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="not valid Unicode at character 2"):
        MarianTokenizer.load(folder).encode(["ab\ud800"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("source.spm", b"", r"source\.spm: damaged, or no SentencePiece model"),
        ("target.spm", b"\x00garbage", r"target\.spm: damaged"),
        ("vocab.json", b"{", r"vocab\.json: not readable as JSON"),
        ("vocab.json", b'{"a": "b"}', r"vocab\.json: not a map of pieces to ids"),
        ("vocab.json", b'{"</s>": 0}', r"vocab\.json: no <pad>, <unk> in it"),
    ],
)
def test_damaged_files(name: str, content: bytes, message: str, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        MarianTokenizer.load(folder)
    assert str(folder) in str(error.value)


def test_missing_files(folder: Path) -> None:
    (folder / "target.spm").unlink()
    with pytest.raises(UserError, match=r"no target\.spm in it"):
        MarianTokenizer.load(folder)


def test_without_sentencepiece(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UserError, match="pip install sentencepiece"):
        MarianTokenizer.load(folder)
