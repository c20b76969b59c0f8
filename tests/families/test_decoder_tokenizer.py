"""Decoders' tokenizer files: what they are made from, whatever the special tokens are called, and what does not fit."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from weft.config import GeneratorConfig, ModelConfig, SpecialTokens
from weft.description import CONFIG
from weft.errors import UserError
from weft.exchange import export_model, import_model, load_any
from weft.families import PRESETS, export_folder, import_folder
from weft.families.decoder_tokenizer import NamedBackend, read_tokenizer, write_tokenizer
from weft.models.decoder import Decoder
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import load_saved, make_model
from weft.text.tokenizer import Tokenizer as OurTokenizer
from weft.text.training import train_tokenizer

transformers = pytest.importorskip("transformers")

END = "<|endoftext|>"
LETTERS = [*"abcdeghilnorst", "Ġ", "Ã", "¼", "."]
MERGES = ["a n", "Ġ a", "t h", "th e", "Ġ the"]
PIECES = {
    piece: number for number, piece in enumerate([*LETTERS, *(m.replace(" ", "") for m in MERGES), END])
}
TEXTS = ["the ant", " and the heron.", "ü", "", "a<|endoftext|>", "lions  and\tthe"]


def model(**changes: Any) -> ModelConfig:
    small = {
        "vocabulary": 26,
        "global_every": 0,
        "width": 8,
        "heads": 2,
        "decoder_layers": 1,
        "feed_forward": 8,
        "max_length": 30,
    }
    end = PIECES[END]
    special = {"pad": end, "start": end, "end": end}
    return ModelConfig(**{**PRESETS["gpt2"].fields, **small, "special": special, **changes})


def byte_pairs(folder: Path) -> Path:
    """As gpt2 is published."""
    (folder / "vocab.json").write_text(json.dumps(PIECES))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")
    return folder


def backend() -> Tokenizer:
    """As llama-3 is published: a start token, put before each text, and no padding."""
    made = Tokenizer(models.BPE(vocab=PIECES, merges=[tuple(merge.split()) for merge in MERGES]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([END, "<|begin of text|>"])
    number = made.token_to_id("<|begin of text|>")
    made.post_processor = processors.TemplateProcessing(
        single=["<|begin of text|>", "$A"],
        pair=["<|begin of text|>", "$A", "$B:1"],
        special_tokens=[("<|begin of text|>", number)],
    )
    return made


def whole(folder: Path, **settings: Any) -> Path:
    backend().save(str(folder / "tokenizer.json"))
    named = {"bos_token": {"__type": "AddedToken", "content": "<|begin of text|>"}, "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps({**named, **settings}))
    return folder


def theirs(folder: Path) -> Any:
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def model_folder(folder: Path, config: ModelConfig, *, family: str = "weft", **fields: Any) -> Path:
    """A Hugging Face folder of a random model, without a tokenizer."""
    described = GeneratorConfig(model=config, family=family, **fields)
    torch.manual_seed(0)
    weights = {name: value.numpy() for name, value in make_model(described).state_dict().items()}
    export_folder(folder, config=described, weights=weights, tokenizer={})
    return folder


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path, byte_pairs=True) is None
    assert write_tokenizer({}, model(), prefix=()) == {}
    with pytest.raises(UserError, match=r"no tokenizer in it, neither tokenizer\.json"):
        import_model(model_folder(tmp_path / "theirs", model()), out=tmp_path / "ours")


def test_pairs_of_bytes_are_gpt2s(tmp_path: Path) -> None:
    read = read_tokenizer(byte_pairs(tmp_path), byte_pairs=True)
    assert read is not None
    assert (read.prefix, read.special) == ((), {})
    made = Tokenizer.from_str(read.files["tokenizer.json"].decode())
    expected = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert made.encode(text).ids == expected(text)["input_ids"]
    assert made.encode(f"an{END}").ids[-1] == PIECES[END]


def test_a_whole_tokenizer_keeps_what_it_puts_before_a_text(tmp_path: Path) -> None:
    read = read_tokenizer(whole(tmp_path), byte_pairs=False)
    assert read is not None
    start = len(PIECES)
    assert read.prefix == (start,)
    assert read.special == {"bos_token": start, "eos_token": PIECES[END]}


@pytest.mark.parametrize(
    ("told", "before", "after"),
    [
        ({}, False, False),
        ({"add_bos_token": False}, False, False),
        ({"add_bos_token": True}, True, False),
        ({"add_bos_token": True, "add_eos_token": True}, True, True),
    ],
)
def test_settings_say_what_stands_around_a_text(
    told: dict[str, bool], before: bool, after: bool, tmp_path: Path
) -> None:
    folder = whole(tmp_path, **told)
    start, end = len(PIECES), PIECES[END]
    said = read_tokenizer(folder, byte_pairs=False)
    assert said is not None and said.prefix == (start,)  # the tokenizer's own file comes first
    assert theirs(folder)("the ant")["input_ids"][0] == start

    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, "post_processor": None}))
    read = read_tokenizer(folder, byte_pairs=False)
    assert read is not None
    made = Tokenizer.from_str(read.files["tokenizer.json"].decode())
    plain = made.encode("the ant", add_special_tokens=False).ids
    assert made.encode("the ant").ids == [start] * before + plain + [end] * after
    assert read.prefix == (start,) * before


def test_names_are_found_in_the_older_file(tmp_path: Path) -> None:
    folder = whole(tmp_path, eos_token=None)
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": END, "bos_token": "other"}))
    read = read_tokenizer(folder, byte_pairs=False)
    assert read is not None
    assert read.special == {"bos_token": len(PIECES), "eos_token": PIECES[END]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tokenizer.model": b"x"}, r"tokenizer\.model: damaged, or no SentencePiece model"),
        (
            {"vocab.json": b"{}", "merges.txt": b""},
            r"its tokenizer is vocab\.json and merges\.txt, .*AutoTokenizer\.from_pretrained",
        ),
        ({"tokenizer.json": b"{}"}, r"tokenizer\.json: not a tokenizer that the tokenizers library can read"),
        ({"tokenizer.json": b"["}, r"tokenizer\.json: not readable as JSON"),
    ],
)
def test_files_that_do_not_fit(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_tokenizer(tmp_path, byte_pairs=False)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"merges.txt": b"q z\n"}, r"merges\.txt: not pairs of pieces in vocab\.json"),
        ({"merges.txt": b"\xff"}, r"merges\.txt: not readable as UTF-8"),
        (
            {"added_tokens.json": b'{"<x>": 30}'},
            "its tokenizer is vocab.json and merges.txt, where weft reads",
        ),
    ],
)
def test_pairs_of_bytes_that_do_not_fit(files: dict[str, bytes], message: str, tmp_path: Path) -> None:
    byte_pairs(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_tokenizer(tmp_path, byte_pairs=True)


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"tokenizer_config\.json: pad_token is <pad>, which the tokenizer does not"
    ):
        read_tokenizer(whole(tmp_path, pad_token="<pad>"), byte_pairs=False)  # noqa: S106
    folder = byte_pairs(model_folder(tmp_path / "theirs", model(vocabulary=24)))
    many = {**PIECES, **{f"{number}": number for number in range(24, 30)}}
    (folder / "vocab.json").write_text(json.dumps(many))
    with pytest.raises(UserError, match="its tokenizer has 30 ids, but the model's vocab_size is 24"):
        import_folder(folder)


def test_weft_finds_special_tokens_by_its_own_names() -> None:
    special = SpecialTokens(pad=PIECES[END], start=len(PIECES), end=PIECES[END])
    plain = backend()
    named: Any = NamedBackend(plain, special)
    tokenizer = OurTokenizer(named)
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (special.pad, special.start, special.end)
    assert tokenizer.unk_id == special.end
    assert tokenizer.encode([f"an{END}"])[0] == backend_ids(f"an{END}")
    assert tokenizer.layout.before == (special.start,)
    assert tokenizer.decode([[special.start, *tokenizer.encode(["the ant"])[0], special.end]]) == ["the ant"]
    assert tokenizer.token_id("Ġthe") == PIECES["Ġthe"]
    assert plain.encode_special_tokens  # as the tokenizer wants it


def backend_ids(text: str) -> list[int]:
    made = backend()
    made.encode_special_tokens = True
    ids: list[int] = made.encode(text, add_special_tokens=False).ids
    return ids


def test_special_tokens_that_config_json_does_not_tell_are_the_tokenizers(tmp_path: Path) -> None:
    folder = whole(model_folder(tmp_path / "theirs", model(), family="gpt2"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "bos_token_id": None}))
    described = import_folder(folder).config
    assert isinstance(described, GeneratorConfig)
    end = PIECES[END]
    assert described.model.special == SpecialTokens(pad=end, start=len(PIECES), end=end)
    assert described.prefix == (len(PIECES),)


@pytest.mark.parametrize("kind", ["pairs of bytes", "whole"])
def test_a_model_with_its_tokenizer_there_and_back(kind: str, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "theirs", model())
    (byte_pairs if kind == "pairs of bytes" else whole)(folder)
    import_model(folder, out=tmp_path / "ours")
    saved = load_saved(tmp_path / "ours")
    assert isinstance(saved.model, Decoder)
    assert isinstance(saved.tokenizer, OurTokenizer)
    assert saved.tokenizer.eos_id == PIECES[END] == saved.tokenizer.pad_id
    assert load_any(folder).config == saved.config
    assert saved.tokenizer.encode(TEXTS[:4]) == [backend_ids(text) for text in TEXTS[:4]]

    export_model(tmp_path / "ours", out=tmp_path / "back")
    import_model(tmp_path / "back", out=tmp_path / "again")
    again = load_saved(tmp_path / "again")
    assert again.config == saved.config
    expected, found = saved.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    back = theirs(tmp_path / "back")
    for text in TEXTS[:4]:
        assert back(text)["input_ids"] == [*saved.config.prefix, *saved.tokenizer.encode([text])[0]]  # type: ignore[attr-defined]
    assert (back.eos_token, back.pad_token) == (END, None)


def test_a_model_of_wefts_own_goes_out_and_comes_back(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["the ant and the heron"] * 9, kind="bpe", size=280)
    config = GeneratorConfig(model=model(vocabulary=tokenizer.vocab_size, special={}), prefix=(1,))
    torch.manual_seed(0)
    (tmp_path / "aside").mkdir()
    tokenizer.save(tmp_path / "aside")
    files: dict[str, Any] = {path.name: path.read_bytes() for path in (tmp_path / "aside").iterdir()}
    weights = dict(make_model(config).state_dict())
    described = {CONFIG: config.model_dump_json().encode(), MODEL: partial(save_tensors, tensors=weights)}
    write_folder(tmp_path / "ours", kind=config.task, files={**described, **files})
    assert load_saved(tmp_path / "ours").tokenizer.encode(["the"]) == tokenizer.encode(["the"])
    export_model(tmp_path / "ours", out=tmp_path / "out")
    expected = theirs(tmp_path / "out")
    assert expected("the ant")["input_ids"] == [1, *tokenizer.encode(["the ant"])[0]]
    assert (expected.bos_token, expected.eos_token, expected.pad_token) == ("<s>", "</s>", "<pad>")
    import_model(tmp_path / "out", out=tmp_path / "again")
    again = load_saved(tmp_path / "again")
    assert again.config == config.model_copy(update={"family": "gpt2"})
    assert again.tokenizer.encode(["the ant"]) == tokenizer.encode(["the ant"])


def test_a_damaged_tokenizer_is_seen(tmp_path: Path) -> None:
    """The texts with their ids that lie beside a tokenizer are compared for a decoder's, too."""
    import_model(byte_pairs(model_folder(tmp_path / "theirs", model())), out=tmp_path / "ours")
    vectors = tmp_path / "ours" / "tokenizer_vectors.json"
    assert json.loads(vectors.read_text())
    content = json.loads(vectors.read_text())
    content[0]["ids"] = [0]
    (tmp_path / "edited").mkdir()
    for path in (tmp_path / "ours").glob("tokenizer*.json"):
        (tmp_path / "edited" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "edited" / vectors.name).write_text(json.dumps(content))
    saved = load_saved(tmp_path / "ours")
    with pytest.raises(UserError, match="disagree on the ids"):
        type(saved.tokenizer).load(tmp_path / "edited")
