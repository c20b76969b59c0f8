"""Encoders' tokenizers give Hugging Face's ids and places, and Hugging Face reads those that weft exports."""

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertTokenizerFast,
    PreTrainedModel,
    RobertaTokenizerFast,
)

from weft.config import FillerConfig, ModelConfig, SpecialTokens
from weft.description import CONFIG
from weft.exchange import export_model, import_model
from weft.families import PRESETS
from weft.families.reader_tokenizer import read_tokenizer
from weft.models.encoder import Encoder
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import load_saved, make_model
from weft.text.encode import read_texts
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

TOKENIZERS = (
    Path(os.environ.get("WEFT_DATA", Path(__file__).parents[3] / "shared" / "data")).parent / "tokenizers"
)

# Many scripts, accents whole and apart, signs, all kinds of white space, what is no character, what looks special.
MIXED = [
    "The quick brown fox can't jump over 13 lazy dogs' 3.14159-metre fence!",
    "Der Straßenbahnführer übt Größe – “Zitat” und «Anführung» … ﬁn",
    "Ça va? L'œuvre naïve coûte 1 234,56 €, cafe\u0301 e\u0301te\u0301",
    "Příliš žluťoučký kůň; ĐÀ NẴNG; İSTANBUL ıslak; ǅ",
    "Съешь же ещё этих мягких французских булок. Ἐν ἀρχῇ ἦν ὁ λόγος",
    "我能吞下玻璃而不伤身体。東京タワー㍿ ﾊﾝｶｸ 서울특별시 한국어",
    "שָׁלוֹם עֲלֵיכֶם السَّلَامُ عَلَيْكُمْ हिन्दी में क्षत्रिय ไทยแลนด์",
    "👩‍👩‍👧‍👦 🇩🇪 ❤️ x² ½ ™ \u200bzero\u200dwidth soft\u00adhyphen \ufeffmark",
    "  two  spaces\tand\ta tab\u00a0hard\u2028line\u3000wide \r\n end \n",
    "\x00\x01control\x7f \ufffd lost \U0001d54f double",
    "supercalifragilisticexpialidocious" * 6,
    "user@example.org https://example.org/a_b?c=d&e=f#g snake_case __init__ a--b ==> <tag/>",
    "",
    " ",
    "\n\t",
    "a",
]


def bert_folder(folder: Path, **settings: Any) -> Path:
    words = TOKENIZERS / "bert-base-uncased" / "vocab.txt"
    if not words.is_file():
        pytest.skip(f"no {words}")
    (folder / "vocab.txt").write_bytes(words.read_bytes())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", **settings})
    )
    return folder


def roberta_folder(folder: Path, **settings: Any) -> Path:
    """GPT-2's pieces, which RoBERTa's are, with its special tokens in their places."""
    pieces, merges = (TOKENIZERS / "gpt2" / name for name in ("vocab.json", "merges.txt"))
    if not pieces.is_file() or not merges.is_file():
        pytest.skip(f"no {pieces}")
    theirs = [
        piece for piece, _ in sorted(json.loads(pieces.read_text("utf-8")).items(), key=lambda item: item[1])
    ]
    words = ["<s>", "<pad>", "</s>", "<unk>", *theirs, "<mask>"]
    ids = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_bytes(merges.read_bytes())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "RobertaTokenizer", **settings})
    )
    return folder


def model_config(preset: str, vocabulary: int, pad: int) -> ModelConfig:
    small = {"width": 16, "heads": 2, "encoder_layers": 1, "feed_forward": 16, "vocabulary": vocabulary}
    return ModelConfig(**{**PRESETS[preset].fields, **small, "special": {"pad": pad}})


def ours(folder: Path, preset: str, *, pad: int, vocabulary: int) -> Tokenizer:
    files, special = read_tokenizer(folder, model_config(preset, vocabulary, pad))
    found = Tokenizer(Backend.from_str(files["tokenizer.json"].decode()))
    assert (found.pad_id, found.bos_id, found.eos_id, found.mask_id) == tuple(special.model_dump().values())
    return found


def same(tokenizer: Tokenizer, theirs: Any) -> None:
    assert tokenizer.vocab_size == len(theirs)
    single = theirs(MIXED, return_offsets_mapping=True)
    for text, reading, ids, offsets in zip(
        MIXED,
        read_texts(tokenizer, MIXED, maximum=1000, cut=False),
        single.input_ids,
        single.offset_mapping,
        strict=True,
    ):
        assert reading.ids == ids
        assert reading.offsets == [trimmed(text, *offset) for offset in offsets]
    pairs = theirs(MIXED, MIXED[::-1])
    readings = read_texts(tokenizer, MIXED, MIXED[::-1], maximum=1000, cut=False)
    assert [reading.ids for reading in readings] == pairs.input_ids
    if "token_type_ids" in pairs:
        assert [reading.segments for reading in readings] == pairs.token_type_ids
    masked = theirs(f"The capital of France is {theirs.mask_token}.", add_special_tokens=False).input_ids
    upto = masked.index(theirs.mask_token_id) + 1
    # Where each text begins with a space, theirs has one after a mask too.
    stop = theirs("France is.", add_special_tokens=False).input_ids[-1:]
    assert tokenizer.masked("The capital of France is [MASK].") == [*masked[:upto], *stop]


def trimmed(text: str, begin: int, end: int) -> tuple[int, int]:
    piece = text[begin:end]
    begin += len(piece) - len(piece.lstrip())
    return begin, max(begin, begin + len(piece.strip()))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
        {"do_lower_case": True, "strip_accents": False},
    ],
)
def test_word_pieces(settings: dict[str, bool], tmp_path: Path) -> None:
    folder = bert_folder(tmp_path, **settings)
    same(ours(folder, "bert-tiny", pad=0, vocabulary=30522), BertTokenizerFast.from_pretrained(folder))


@pytest.mark.parametrize("spaced", [False, True])
def test_byte_pairs(spaced: bool, tmp_path: Path) -> None:
    folder = roberta_folder(tmp_path, add_prefix_space=spaced)
    # The mask takes the space before it, as RoBERTa's own files say; transformers 5 forgets that where they are not there.
    theirs = RobertaTokenizerFast.from_pretrained(folder, mask_token=AddedToken("<mask>", lstrip=True))
    same(ours(folder, "roberta-base", pad=1, vocabulary=50262), theirs)


@torch.no_grad()
def their_scores(folder: Path, first: list[str], second: list[str]) -> torch.Tensor:
    """A masked language model's scores (texts, V) for each pair's first token, by Hugging Face alone."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    # As lists: a text alone and an empty one are no pair to transformers.
    read = [tokenizer([one], [other], return_tensors="pt") for one, other in zip(first, second, strict=True)]
    return torch.cat([model(**each).logits[:, 0] for each in read])


@torch.no_grad()
def our_scores(folder: Path, first: list[str], second: list[str]) -> torch.Tensor:
    config, model, tokenizer = load_saved(folder)
    assert isinstance(model, Encoder) and isinstance(tokenizer, Tokenizer)
    scores = []
    for reading in read_texts(tokenizer, first, second, maximum=config.model.max_length, cut=False):
        segments = torch.tensor([reading.segments]).clamp(max=config.model.segments - 1)
        states = model(torch.tensor([reading.ids]), segments=segments)
        scores.append(model.masked.logits(model.masked(states[:, 0])))
    return torch.cat(scores)


def agree(theirs: torch.Tensor, ours: torch.Tensor) -> bool:
    assert theirs.std(0).mean() > 0.1
    return bool((theirs - ours).abs().max() <= 1e-5 * max(1.0, theirs.abs().max().item()))


PAIRS = [text for text in MIXED if len(text) < 100]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_the_whole_way_there_and_back(
    family: str, make_reader: Callable[..., PreTrainedModel], tmp_path: Path
) -> None:
    """A published folder comes in, and what goes out is to Hugging Face what came in."""
    size, made, architecture = {
        "bert": (30522, bert_folder, "BertForMaskedLM"),
        "roberta": (50262, roberta_folder, "RobertaForMaskedLM"),
    }[family]
    reference = make_reader(architecture, vocab_size=size, hidden_size=16, max_position_embeddings=514)
    reference.save_pretrained(tmp_path / "theirs")
    theirs = made(tmp_path / "theirs")
    expected = their_scores(theirs, PAIRS, PAIRS[::-1])
    import_model(theirs, out=tmp_path / "ours")
    assert agree(expected, our_scores(tmp_path / "ours", PAIRS, PAIRS[::-1]))
    export_model(tmp_path / "ours", out=tmp_path / "back")
    assert torch.equal(expected, their_scores(tmp_path / "back", PAIRS, PAIRS[::-1]))


@pytest.mark.parametrize("preset", ["bert-mini", "roberta-base"])
@pytest.mark.parametrize("kind", ["wordpiece", "bpe"])
def test_what_weft_trained(preset: str, kind: str, tmp_path: Path) -> None:
    """A tokenizer whose padding is number 0, and what stands around a text is not in its file."""
    tokenizer = train_tokenizer(MIXED * 3, kind=kind, size=700, special=["<mask>"])
    mask = tokenizer.mask_id
    config = FillerConfig(heads=("masked",), model=model_config(preset, tokenizer.vocab_size, 0))
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"special": SpecialTokens(mask=mask)})}
    )
    torch.manual_seed(0)
    model = make_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    weights = dict(model.state_dict())
    with TemporaryDirectory() as aside:
        tokenizer.save(Path(aside))
        files = {path.name: path.read_bytes() for path in Path(aside).iterdir()}
    described = {CONFIG: config.model_dump_json().encode(), MODEL: partial(save_tensors, tensors=weights)}
    write_folder(tmp_path / "ours", kind=config.task, files={**described, **files})
    export_model(tmp_path / "ours", out=tmp_path / "out")
    theirs = AutoTokenizer.from_pretrained(tmp_path / "out")
    same(tokenizer, theirs)
    scores = our_scores(tmp_path / "ours", PAIRS, PAIRS[::-1])
    assert agree(their_scores(tmp_path / "out", PAIRS, PAIRS[::-1]), scores)
    import_model(tmp_path / "out", out=tmp_path / "again")
    assert torch.equal(scores, our_scores(tmp_path / "again", PAIRS, PAIRS[::-1]))
