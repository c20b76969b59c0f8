"""Encoders' tokenizer files: what they are made from, and clear words for those that do not fit."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, processors

from weft.config import ModelConfig
from weft.errors import UserError
from weft.families import PRESETS
from weft.families.reader_tokenizer import read_tokenizer, write_tokenizer

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "dog",
    "##s",
    "Über",
    "uber",
    "über",
    "中",
    "中国",
    "a\u2028b",
]
PIECES = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "d": 4, "o": 5, "do": 6, "Ġ": 7, "Ġdo": 8, "<mask>": 9}
MERGES = "#version: 0.2\nd o\nĠ do\n"


def model(preset: str = "bert-mini", *, vocabulary: int = 20, pad: int = 0) -> ModelConfig:
    small = {"width": 8, "heads": 2, "feed_forward": 8, "vocabulary": vocabulary, "special": {"pad": pad}}
    return ModelConfig(**{**PRESETS[preset].fields, **small})


def word_pieces(folder: Path, end: str = "\n", **settings: object) -> Path:
    (folder / "vocab.txt").write_bytes("".join(word + end for word in WORDS).encode())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def byte_pairs(folder: Path) -> Path:
    (folder / "vocab.json").write_text(json.dumps(PIECES))
    (folder / "merges.txt").write_text(MERGES, encoding="utf-8")
    return folder


def backend(folder: Path, config: ModelConfig) -> Tokenizer:
    files, _ = read_tokenizer(folder, config)
    return Tokenizer.from_str(files["tokenizer.json"].decode())


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path, model(pad=7)) == ({}, model(pad=7).special)
    assert write_tokenizer({}, model(), length=64) == {}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_for_each_word(end: str, tmp_path: Path) -> None:
    files, special = read_tokenizer(word_pieces(tmp_path, end), model())
    assert (special.pad, special.start, special.end, special.mask) == (0, 2, 3, 4)
    made = Tokenizer.from_str(files["tokenizer.json"].decode())
    assert [made.token_to_id(word) for word in WORDS] == list(range(len(WORDS)))
    assert made.encode("Dogs", "dog").tokens == ["[CLS]", "dog", "##s", "[SEP]", "dog", "[SEP]"]
    assert made.encode("Dogs", "dog").type_ids == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({}, ["uber", "中", "[UNK]"]),
        ({"do_lower_case": False}, ["Über", "中", "[UNK]"]),
        ({"strip_accents": False}, ["über", "中", "[UNK]"]),
        ({"tokenize_chinese_chars": False, "strip_accents": None}, ["uber", "中国"]),
    ],
)
def test_settings_of_berts_normaliser(settings: dict[str, object], tokens: list[str], tmp_path: Path) -> None:
    made = backend(word_pieces(tmp_path, **settings), model())
    assert made.encode("Über 中国", add_special_tokens=False).tokens == tokens
    # The same words over a file that says otherwise.
    (tmp_path / "vocab.txt").unlink()
    (tmp_path / "tokenizer.json").write_text(made.to_str())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "strip_accents": True})
    )
    again = backend(tmp_path, model())
    assert again.encode("Über", add_special_tokens=False).tokens == ["uber"]


def test_pairs_of_bytes(tmp_path: Path) -> None:
    files, special = read_tokenizer(byte_pairs(tmp_path), model("roberta-base", pad=1))
    assert (special.pad, special.start, special.end, special.mask) == (1, 0, 2, 9)
    made = Tokenizer.from_str(files["tokenizer.json"].decode())
    assert made.encode("do do", "do").tokens == ["<s>", "do", "Ġdo", "</s>", "</s>", "do", "</s>"]
    assert made.encode("do <mask>", add_special_tokens=False).ids == [6, 9]


def test_a_whole_tokenizer_keeps_what_it_puts_around_a_text(tmp_path: Path) -> None:
    made = backend(word_pieces(tmp_path), model())
    made.enable_truncation(2)
    made.enable_padding(length=9)
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 2)]
    )  # not BERT's
    (tmp_path / "tokenizer.json").write_text(made.to_str())
    assert backend(tmp_path, model()).encode("dogs dog").tokens == ["[CLS]", "dog", "##s", "dog"]


def test_what_goes_out(tmp_path: Path) -> None:
    files, special = read_tokenizer(byte_pairs(tmp_path), model("roberta-base", pad=1))
    config = model("roberta-base", pad=1).model_copy(update={"special": special})
    out = write_tokenizer({**files, "tokenizer_vectors.json": b"[]"}, config, length=40)
    told = json.loads(out["tokenizer_config.json"])
    names = ("pad_token", "cls_token", "sep_token", "bos_token", "eos_token", "unk_token", "mask_token")
    assert [told[name] for name in names] == ["<pad>", "<s>", "</s>", "<s>", "</s>", "<unk>", "<mask>"]
    assert told["model_max_length"] == 40
    assert told["model_input_names"] == ["input_ids", "attention_mask"]  # a second segment has no vector
    assert json.loads(out["tokenizer.json"]) == json.loads(files["tokenizer.json"])
    assert out.keys() == {"tokenizer.json", "tokenizer_config.json"}


def test_a_tokenizer_that_says_nothing_gets_what_stands_around_a_text(tmp_path: Path) -> None:
    plain = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 4}))
    out = write_tokenizer({"tokenizer.json": plain.to_str().encode()}, model(), length=64)
    made = Tokenizer.from_str(out["tokenizer.json"].decode())
    assert made.encode("a", "a").ids == [1, 4, 2, 4, 2]
    assert made.encode("a", "a").type_ids == [0, 0, 0, 1, 1]
    assert "mask_token" not in json.loads(out["tokenizer_config.json"])


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its tokenizer has 13 ids, but the model's vocab_size is 12"):
        read_tokenizer(word_pieces(tmp_path), model(vocabulary=12))
    with pytest.raises(UserError, match="fills up with 0, but the model's pad_token_id is 3"):
        read_tokenizer(tmp_path, model(pad=3))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"vocab.txt": "a\nb\n"}, r"vocab\.txt: lacks the special tokens \[PAD\], \[CLS\], \[SEP\], \[UNK\]"),
        ({"vocab.txt": b"\xff"}, r"vocab\.txt: not readable as UTF-8"),
        ({"vocab.json": "{}", "merges.txt": ""}, r"vocab\.json: lacks the special tokens <pad>"),
        ({"vocab.json": json.dumps(PIECES), "merges.txt": "d x\n"}, r"merges\.txt: not pairs of pieces"),
        (
            {"vocab.json": json.dumps(PIECES | {"x": "y"}), "merges.txt": ""},
            r"merges\.txt: not pairs of pieces",
        ),
        ({"vocab.txt": "a", "added_tokens.json": '{"<x>": 1}'}, r"added_tokens\.json: adds to a vocabulary"),
        ({"tokenizer.json": "{}"}, r"tokenizer\.json: not a tokenizer that the tokenizers library can read"),
        ({"tokenizer.json": "["}, r"tokenizer\.json: not readable as JSON"),
    ],
)
def test_files_that_do_not_fit(files: dict[str, str | bytes], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=message):
        read_tokenizer(tmp_path, model())


def test_a_tokenizer_without_the_special_tokens(tmp_path: Path) -> None:
    plain = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}))
    (tmp_path / "tokenizer.json").write_text(plain.to_str())
    with pytest.raises(UserError, match="lacks the special tokens <pad>, <s>, </s>"):
        read_tokenizer(tmp_path, model())
