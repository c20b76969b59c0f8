"""Tokenizers: Marian's give Hugging Face's ids, and Hugging Face reads those that weft exports."""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from transformers import AutoTokenizer, MarianMTModel, MarianTokenizer

from weft.config import ModelConfig, TranslatorConfig
from weft.errors import UserError
from weft.families import export_folder, import_folder
from weft.families import marian_tokenizer as ours
from weft.models.seq2seq import Seq2Seq
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")

NOUNS = {"dog": "Hund", "cat": "Kater", "bird": "Vogel", "fish": "Fisch", "child": "Bub", "horse": "Gaul"}
VERBS = {"sees": "sieht", "follows": "verfolgt", "loves": "liebt", "can't find": "findet (nicht)"}
ENGLISH = [f"The {one} {verb} a {two}, doesn't it?" for one in NOUNS for verb in VERBS for two in NOUNS]
GERMAN = [
    f"Der {one} {verb} einen {two}, nicht wahr – möglich!"
    for one in NOUNS.values()
    for verb in VERBS.values()
    for two in NOUNS.values()
]
ODD = [
    "",
    " ",
    "  two  spaces ",
    "tab\there",
    "Unseen: žluť 日本 ½ ﬁ",
    "e\u0301",
    "a\u00a0b",
    "1,234.5",
    ">>deu<< The dog",
    ">>x<<",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Marian tokenizer as published: two models, and one vocabulary in an order of its own."""
    folder = tmp_path_factory.mktemp("tokenizer")
    pieces: set[str] = set()
    for name, texts in (("source", ENGLISH), ("target", GERMAN)):
        out = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=out,
            vocab_size=70,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (folder / f"{name}.spm").write_bytes(out.getvalue())
        model = sentencepiece.SentencePieceProcessor(model_proto=out.getvalue())
        pieces |= {model.id_to_piece(number) for number in range(3, model.get_piece_size())}
    shuffled = sorted(pieces)
    random.Random(0).shuffle(shuffled)
    vocabulary = ["</s>", "<unk>", *shuffled[5:], ">>deu<<", "<pad>"]  # some pieces are not in the vocabulary
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(vocabulary)}))
    settings = {"source_lang": "eng", "target_lang": "deu", "separate_vocabs": False, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def test_the_same_ids(folder: Path) -> None:
    theirs, mine = MarianTokenizer.from_pretrained(folder), ours.MarianTokenizer.load(folder)
    assert [[*ids, mine.eos_id] for ids in mine.encode(ENGLISH + ODD)] == theirs(ENGLISH + ODD).input_ids
    targets = GERMAN + [text for text in ODD if ">>" not in text]
    assert [[*ids, mine.eos_id] for ids in mine.encode_targets(targets)] == theirs(
        text_target=targets
    ).input_ids
    assert mine.encode(GERMAN) != mine.encode_targets(GERMAN)


def test_the_same_text(folder: Path) -> None:
    theirs, mine = MarianTokenizer.from_pretrained(folder), ours.MarianTokenizer.load(folder)
    draw = random.Random(1)
    rows = [[draw.randrange(mine.vocab_size) for _ in range(12)] for _ in range(100)]
    rows += mine.encode_targets(GERMAN)
    assert mine.decode(rows) == theirs.batch_decode(rows, skip_special_tokens=True)
    assert mine.tokens(rows[0]) == theirs.convert_ids_to_tokens(rows[0])


def config_of(vocabulary: int, **changes: Any) -> ModelConfig:
    return ModelConfig(
        vocabulary=vocabulary,
        width=8,
        encoder_layers=1,
        decoder_layers=1,
        heads=2,
        feed_forward=8,
        norm_place="after",
        position="sinusoidal_halves",
        max_length=64,
        **changes,
    )


def export(
    folder: Path, config: ModelConfig, tokenizer: dict[str, bytes], languages: tuple[str, str]
) -> None:
    weights = {name: value.numpy() for name, value in Seq2Seq(config).state_dict().items()}
    export_folder(
        folder,
        config=TranslatorConfig(directions=(languages,), tags=False, model=config),
        weights=weights,
        tokenizer=tokenizer,
    )


def test_its_files_go_there_and_back(folder: Path, tmp_path: Path) -> None:
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    size = len(json.loads(files["vocab.json"]))
    special = {"pad": size - 1, "start": size - 1, "end": 0}
    export(tmp_path / "out", config_of(size, special=special), files, ("eng", "deu"))
    imported = import_folder(tmp_path / "out")
    assert imported.config.directions == (("eng", "deu"),)
    assert {name: imported.tokenizer[name] for name in ("source.spm", "target.spm", "vocab.json")} == {
        name: files[name] for name in ("source.spm", "target.spm", "vocab.json")
    }
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert isinstance(theirs, MarianTokenizer)
    assert theirs(ENGLISH).input_ids == MarianTokenizer.from_pretrained(folder)(ENGLISH).input_ids


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab.json": {"</s>": 0, "<pad>": 500}}, r"vocab\.json: not a map of pieces to ids below"),
        ({"vocab.json": {"</s>": 1, "<pad>": 2}}, "</s> is 1, but the model's eos_token_id is 0"),
        ({"tokenizer_config.json": {"separate_vocabs": True}}, "one vocabulary for both sides"),
    ],
)
def test_a_tokenizer_of_another_model(
    changes: dict[str, Any], message: str, folder: Path, tmp_path: Path
) -> None:
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    export(tmp_path / "out", config_of(150, special={"pad": 149, "start": 149, "end": 0}), files, ("a", "b"))
    for name, content in changes.items():
        (tmp_path / "out" / name).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        import_folder(tmp_path / "out")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, dict[str, bytes]]:
    tokenizer = train_tokenizer(ENGLISH + GERMAN, kind="bpe", size=200, special=["<2de>"])
    folder = tmp_path_factory.mktemp("trained")
    tokenizer.save(folder)
    return tokenizer, {file.name: file.read_bytes() for file in folder.iterdir()}


def test_hugging_face_reads_a_tokenizer_that_weft_trained(
    trained: tuple[Tokenizer, dict[str, bytes]], tmp_path: Path
) -> None:
    tokenizer, files = trained
    export(tmp_path / "out", config_of(tokenizer.vocab_size), files, ("en", "de"))
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    texts = [*ENGLISH[:20], *GERMAN[:20], "  odd   spaces ", "žluť"]
    assert theirs(texts).input_ids == [[*ids, tokenizer.eos_id] for ids in tokenizer.encode(texts)]
    tagged = theirs("<2de> " + ENGLISH[0]).input_ids
    assert tagged == [tokenizer.token_id("<2de>"), *tokenizer.encode(ENGLISH[:1])[0], tokenizer.eos_id]
    rows = tokenizer.encode(GERMAN[:20])
    assert theirs.batch_decode(rows, skip_special_tokens=True) == tokenizer.decode(rows)
    assert (theirs.pad_token_id, theirs.eos_token_id) == (tokenizer.pad_id, tokenizer.eos_id)
    assert MarianMTModel.from_pretrained(tmp_path / "out").config.decoder_start_token_id == tokenizer.bos_id


def test_weft_reads_it_back(trained: tuple[Tokenizer, dict[str, bytes]], tmp_path: Path) -> None:
    tokenizer, files = trained
    export(tmp_path / "out", config_of(tokenizer.vocab_size), files, ("en", "de"))
    imported = import_folder(tmp_path / "out")
    for name, content in imported.tokenizer.items():
        (tmp_path / name).write_bytes(content)
    assert Tokenizer.load(tmp_path).encode(ENGLISH + ODD) == tokenizer.encode(ENGLISH + ODD)


def test_a_tokenizer_that_adds_other_tokens_is_refused(
    trained: tuple[Tokenizer, dict[str, bytes]], tmp_path: Path
) -> None:
    tokenizer, files = trained
    export(tmp_path / "out", config_of(tokenizer.vocab_size), files, ("en", "de"))
    content = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    content["post_processor"]["single"].insert(0, {"SpecialToken": {"id": "</s>", "type_id": 0}})
    (tmp_path / "out" / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="where weft can only end a text with 2"):
        import_folder(tmp_path / "out")
