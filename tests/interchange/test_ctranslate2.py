"""CTranslate2 gives what weft gives, for every shape that it can express; and what it runs comes back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from weft import api
from weft.config import EncoderConfig, FolderConfig, GeneratorConfig, ModelConfig, TranslatorConfig
from weft.description import CONFIG
from weft.errors import UserError
from weft.exchange import export_model, import_model
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.interchange import ctranslate2_import
from weft.interchange.ctranslate2_engine import CTranslate2
from weft.interchange.ctranslate2_export import export_ctranslate2
from weft.interchange.ctranslate2_layout import to_variables, to_weights
from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.seq2seq import Seq2Seq
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.text.training import train_tokenizer

ctranslate2 = pytest.importorskip("ctranslate2")

VOCABULARY = 31
BASE = {"vocabulary": VOCABULARY, "width": 32, "heads": 4, "feed_forward": 48, "max_length": 64}
SEQ2SEQ = {"architecture": "seq2seq", "encoder_layers": 2, "decoder_layers": 3}
DECODER = {"architecture": "decoder", "decoder_layers": 3}
ENCODER = {"architecture": "encoder", "encoder_layers": 2}

OURS = {
    "norm": "rms",
    "norm_scale": False,
    "bias": False,
    "position": "rotary",
    "activation": "relu_squared",
    "scale_embedding": False,
}
SHARED: dict[str, dict[str, Any]] = {
    "vaswani": {"norm_place": "after"},
    "pre-norm": {},
    "ours": OURS,
    "sines apart": {"position": "sinusoidal_halves", "norm": "rms", "tie": "two", "output_bias": True},
    "learned": {"position": "learned", "activation": "gelu", "embedding_norm": True, "norm_place": "after"},
    "offset": {"position": "learned", "position_offset": 2, "activation": "gelu_tanh"},
    "no positions": {"position": "none", "tie": "none"},
    "buckets": {"position": "t5", "norm": "rms", "bias": False},
    "gated": {"gated": True, "activation": "silu", "norm_scale": False},
    "grouped": {"kv_heads": 2, "query_key_value_bias": False, "position": "rotary"},
    "one key": {"kv_heads": 1, "position": "rotary", "rotary_base": 500.0},
    "wide heads": {"head_size": 16, "norm_epsilon": 1e-3, "position": "rotary"},
    "stretched": {
        "position": "rotary",
        "rotary_scaling": {"kind": "linear", "factor": 2.0, "original_length": 32},
    },
}
DECODERS = SHARED | {
    "alibi": {"position": "alibi"},
    "head norms": {"query_key_norm": True, "position": "rotary", "norm": "rms"},
    "head norms, grouped": {"query_key_norm": True, "position": "rotary", "norm": "rms", "kv_heads": 2},
}
ENCODERS = SHARED | {
    "segments": {"segments": 2, "scale_embedding": False, "position": "learned", "norm_place": "after"},
    "head norms": {"query_key_norm": True, "position": "rotary"},
}


def make(kind: type[nn.Module], *fields: dict[str, Any]) -> Any:
    """A model with random weights, sharp enough that tokens differ in score, its norms and biases not as they begin."""
    torch.manual_seed(0)
    joined: dict[str, Any] = dict(BASE)
    for each in fields:
        joined |= each
    model = kind(ModelConfig.model_validate(joined)).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * (0.3 if parameter.dim() > 1 else 0.2)
    return model


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def pieces() -> list[str]:
    return ["<pad>", "<s>", "</s>", "<unk>", *(chr(ord("A") + number) for number in range(VOCABULARY - 4))]


def write(folder: FolderConfig, model: nn.Module, out: Path, **options: str) -> Path:
    out.mkdir()
    for name, content in export_ctranslate2(folder, arrays(model), pieces=pieces(), **options).items():
        (out / name).write_bytes(content)
    return out


def translator_config(model: ModelConfig) -> TranslatorConfig:
    return TranslatorConfig(directions=(("de", "en"),), tags=False, model=model)


def sources(count: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 12, (count,), generator=draw).tolist()
    return [[*torch.randint(4, VOCABULARY, (each,), generator=draw).tolist(), 2] for each in lengths]


@pytest.mark.parametrize("name", SHARED)
def test_encoder_decoders_write_the_same(name: str, tmp_path: Path) -> None:
    model = make(Seq2Seq, SEQ2SEQ, SHARED[name])
    folder = write(translator_config(model.config), model, tmp_path / "model")
    engine = CTranslate2(folder, pieces=pieces(), model=model.config, precision="float32", threads=1)
    read = sources(12)
    for beams in (1, 4):
        config = SearchConfig(
            beams=beams, nbest=beams, max_length=15, early_stopping=True, length_penalty=0.7
        )
        ours, theirs = generate(model, read, config), engine.search(read, config)
        for our, their in zip(ours, theirs, strict=True):
            assert our[0].tokens == their[0].tokens
            assert our[0].ended == their[0].ended
            assert [each.score for each in our] == pytest.approx([each.score for each in their], rel=1e-4)


@pytest.mark.parametrize("name", DECODERS)
@torch.inference_mode()
def test_decoders_score_the_same(name: str, tmp_path: Path) -> None:
    model = make(Decoder, DECODER, DECODERS[name])
    folder = write(GeneratorConfig(model=model.config), model, tmp_path / "model")
    generator = ctranslate2.Generator(str(folder), compute_type="float32")
    ids = torch.randint(4, VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(1))
    expected = model.logits(model(ids)).log_softmax(-1)
    found = generator.forward_batch(
        [[pieces()[id_] for id_ in row] for row in ids.tolist()], return_log_probs=True
    )
    np.testing.assert_allclose(np.array(found), expected.numpy(), atol=2e-4)


@pytest.mark.parametrize("name", ENCODERS)
@torch.inference_mode()
def test_encoders_see_the_same(name: str, tmp_path: Path) -> None:
    model = make(Encoder, ENCODER, ENCODERS[name])
    folder = write(EncoderConfig(model=model.config), model, tmp_path / "model")
    encoder = ctranslate2.Encoder(str(folder), compute_type="float32")
    ids = torch.randint(4, VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(1))
    segments = (torch.arange(20) >= 12).long().expand(3, 20)
    more = {"token_type_ids": segments.tolist()} if model.config.segments else {}
    found = encoder.forward_batch(ids.tolist(), **more).last_hidden_state
    expected = model(ids, segments=segments) if more else model(ids)
    np.testing.assert_allclose(np.array(found), expected.numpy(), atol=2e-4)


@pytest.mark.parametrize(
    ("kind", "shape", "fields"),
    [
        *((Seq2Seq, SEQ2SEQ, fields) for fields in SHARED.values()),
        *((Decoder, DECODER, fields) for fields in DECODERS.values()),
        *((Encoder, ENCODER, fields) for fields in ENCODERS.values()),
    ],
    ids=str,
)
def test_the_weights_come_back_bit_by_bit(
    kind: type[nn.Module], shape: dict[str, Any], fields: dict[str, Any]
) -> None:
    model = make(kind, shape, fields)
    before = arrays(model)
    after = to_weights(model.config, to_variables(model.config, before))
    assert set(after) == set(before)
    unused = model.config.position_offset  # rows of the table that no token has
    for name, value in before.items():
        begin = unused if name.endswith("position.table.weight") else 0
        np.testing.assert_array_equal(after[name][begin:], value[begin:])


@pytest.mark.parametrize(
    ("shape", "fields", "named"),
    [
        (SEQ2SEQ, {"query_key_norm": True}, "query_key_norm"),
        (SEQ2SEQ, {"pointer": True}, "pointer"),
        (SEQ2SEQ, {"position": "alibi"}, "position"),
        (DECODER, {"ngrams": {}}, "ngrams"),
        (ENCODER, {"segments": 2}, "scale_embedding"),
        (DECODER, {"window": 8}, "window"),
        (DECODER, {"gated": True, "activation": "relu_squared"}, "activation"),
        (
            DECODER,
            {"position": "rotary", "rotary_scaling": {"kind": "yarn", "factor": 2, "original_length": 32}},
            "rotary_scaling.kind",
        ),
    ],
    ids=str,
)
def test_what_it_cannot_express_is_named(shape: dict[str, Any], fields: dict[str, Any], named: str) -> None:
    config = ModelConfig.model_validate(BASE | shape | fields)
    with pytest.raises(UserError, match=f"CTranslate2 cannot express this model: .*{named}"):
        export_ctranslate2(FolderConfig(task="any", model=config), {}, pieces=pieces())


def test_a_quantization_that_there_is_not_is_refused() -> None:
    config = ModelConfig.model_validate(BASE | DECODER)
    with pytest.raises(UserError, match='no quantization "int9".*int8'):
        export_ctranslate2(FolderConfig(task="any", model=config), {}, pieces=pieces(), quantization="int9")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A translator's folder, its weights random."""
    tokenizer = train_tokenizer(["ein Hund läuft", "a dog runs"], kind="bpe", size=40)
    model = make(Seq2Seq, SEQ2SEQ, {"vocabulary": tokenizer.vocab_size})
    aside = tmp_path / "tokenizer"
    aside.mkdir()
    tokenizer.save(aside)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in aside.iterdir()}
    files[CONFIG] = translator_config(model.config).model_dump_json().encode()
    weights = dict(model.state_dict())
    files[MODEL] = lambda path: save_tensors(path, tensors=weights)
    write_folder(tmp_path / "run", kind="translate", files=files)
    return tmp_path / "run"


def test_a_folder_goes_there_runs_there_and_comes_back(run: Path, tmp_path: Path) -> None:
    export_model(run, to="ctranslate2", out=tmp_path / "there")
    ours, theirs = api.load(run, precision="float32"), api.load(tmp_path / "there")
    texts = ["ein Hund", "läuft ein Hund", "", "a dog runs a dog"]
    search: dict[str, Any] = {"beams": 4, "max_length": 12}
    expected = ours.translate(texts, early_stopping=True, **search)
    found = theirs.translate(texts, **search)
    assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert [each.source_tokens for each in found] == [each.source_tokens for each in expected]
    assert all(0 <= source < len(each.source_tokens) for each in found for source, _ in each.alignment)
    import_model(tmp_path / "there", out=tmp_path / "back")
    before, after = (
        api.load(each, precision="float32").network.model.state_dict() for each in (run, tmp_path / "back")
    )
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_int8_is_nearly_the_same(run: Path, tmp_path: Path) -> None:
    export_model(run, to="ctranslate2", quantization="int8", out=tmp_path / "there")
    assert (tmp_path / "there" / "model.bin").stat().st_size < 0.5 * (run / MODEL).stat().st_size
    import_model(tmp_path / "there", out=tmp_path / "back")
    before, after = (
        api.load(each, precision="float32").network.model.state_dict() for each in (run, tmp_path / "back")
    )
    for name, value in before.items():
        assert float((after[name] - value).abs().max()) <= float(value.abs().max()) / 100
    assert api.load(tmp_path / "there").precision.startswith("int8")


def test_settings_that_its_search_has_not_are_refused(run: Path, tmp_path: Path) -> None:
    export_model(run, to="ctranslate2", out=tmp_path / "there")
    translator = api.load(tmp_path / "there")
    for options in ({"groups": 2, "diversity": 1.0}, {"forced_words": ["dog"]}, {"sample": True}):
        with pytest.raises(UserError, match="CTranslate2's search does not know"):
            translator.translate("ein Hund", **options)
    with pytest.raises(UserError, match="no precision"):
        api.load(tmp_path / "there", precision="int9")
    with pytest.raises(UserError, match="inspect the model"):
        translator.inspect("ein Hund", out=tmp_path / "page.html")
    with pytest.raises(UserError, match="task translate, where one for tag"):
        api.load(tmp_path / "there", task="tag")


@pytest.fixture
def aren(weft_data: Path) -> Path:
    folder = weft_data.parent / "weights" / "aren-transliteration"
    if not folder.is_dir():
        pytest.skip(f"no model in {folder}")
    return folder


def test_a_model_of_others_gives_its_examples_there_and_here(aren: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in (aren / "examples.tsv").read_text("utf-8").splitlines()]
    texts, expected = [row[0] for row in rows], [row[1] for row in rows]
    import_model(aren, out=tmp_path / "here")
    for folder in (aren, tmp_path / "here"):
        found = api.load(folder, precision="float32").translate(texts, beams=1)
        assert [each.text for each in found] == expected


def test_folders_that_are_damaged_or_of_another_kind(run: Path, tmp_path: Path) -> None:
    export_model(run, to="ctranslate2", out=tmp_path / "there")
    binary = (tmp_path / "there" / "model.bin").read_bytes()
    (tmp_path / "short").mkdir()
    for name, content, message in (
        ("short", binary[: len(binary) // 2], "damaged"),
        ("short", b"PK\x03\x04", "no model.bin of a version"),
        ("short", b"", "damaged"),
    ):
        (tmp_path / name / "model.bin").write_bytes(content)
        with pytest.raises(UserError, match=message):
            api.load(tmp_path / name)
    (tmp_path / "short" / "model.bin").write_bytes(binary)
    (tmp_path / "short" / "source_vocabulary.json").write_text(json.dumps(["<s>"]))
    with pytest.raises(UserError, match="has 2 pieces, where the model has"):
        api.load(tmp_path / "short")


@pytest.mark.parametrize("fields", [{"position": "rotary"}, {"position": "learned"}], ids=str)
def test_the_longest_outputs_and_the_shortest(fields: dict[str, Any], tmp_path: Path) -> None:
    model = make(Seq2Seq, SEQ2SEQ, fields, {"max_length": 24})
    folder = write(translator_config(model.config), model, tmp_path / "model")
    engine = CTranslate2(folder, pieces=pieces(), model=model.config, precision="float32", threads=1)
    read = sources(8)
    for settings in ({}, {"min_length": 9}, {"beams": 4, "min_length": 9, "renormalise": True}):
        config = SearchConfig(early_stopping=True, **settings)
        ours, theirs = generate(model, read, config), engine.search(read, config)
        assert [each[0].tokens for each in ours] == [each[0].tokens for each in theirs]
        assert max(len(each[0].tokens) for each in theirs) <= 24
    with pytest.raises(UserError, match="max_length 25 is more than the 24 tokens"):
        engine.search(read, SearchConfig(max_length=25))
    with pytest.raises(UserError, match="repetition_penalty with beams"):
        engine.search(read, SearchConfig(beams=2, repetition_penalty=1.5))


def test_ids_that_the_tokenizer_does_not_spell(tmp_path: Path) -> None:
    model = make(Seq2Seq, SEQ2SEQ, {"vocabulary": 45})
    folder = write(translator_config(model.config), model, tmp_path / "model")
    engine = CTranslate2(folder, pieces=pieces(), model=model.config, precision="float32", threads=1)
    read = sources(6)
    config = SearchConfig(max_length=12)
    expected = [each[0].tokens for each in generate(model, read, config)]
    assert [each[0].tokens for each in engine.search(read, config)] == expected
    assert max(max(tokens) for tokens in expected) >= len(pieces())


def test_a_folder_that_was_changed_is_refused(run: Path, tmp_path: Path) -> None:
    for name, message in (("model.bin", "checksum differs"), ("tokenizer.json", "damaged")):
        there = tmp_path / name
        export_model(run, to="ctranslate2", out=there)
        content = bytearray((there / name).read_bytes())
        content[len(content) // 2 : len(content) // 2 + 4] = b"\0\1\2\3"
        (there / name).write_bytes(bytes(content))
        for use in (api.load, lambda folder: import_model(folder, out=tmp_path / "never")):
            with pytest.raises(UserError, match=message):
                use(there)
    (there / "tokenizer.json").unlink()
    (there / "manifest.json").unlink()
    with pytest.raises(UserError, match="no tokenizer.json in it"):
        api.load(there)
    assert not (tmp_path / "never").exists()


@pytest.fixture
def characters(tmp_path: Path) -> Path:
    """What CTranslate2 is given by others: no word of weft's in it."""
    model = make(Seq2Seq, SEQ2SEQ, {"activation": "gelu", "tie": "none"})
    return write(translator_config(model.config), model, tmp_path / "characters")


def test_a_folder_that_others_wrote_today(characters: Path, tmp_path: Path) -> None:
    import_model(characters, out=tmp_path / "here")
    texts = ["ABC", "XKCD", "A"]
    theirs, ours = (api.load(each, precision="float32") for each in (characters, tmp_path / "here"))
    for beams in (1, 3):
        found = theirs.translate(texts, beams=beams, max_length=10)
        expected = ours.translate(texts, beams=beams, max_length=10, early_stopping=True)
        assert [each.text for each in found] == [each.text for each in expected]
        assert any(each.text for each in found)


@pytest.mark.parametrize("name", ["decoder/start_from_zero_embedding", "encoder/layer_0/ffn/gate_scale"])
def test_variables_that_nobody_knows_are_refused(
    name: str, characters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ctranslate2_import.read_model

    def with_more(path: Path) -> Any:
        contents = read(path)
        return contents._replace(variables=contents.variables | {name: np.array(1)})

    monkeypatch.setattr(ctranslate2_import, "read_model", with_more)
    with pytest.raises(UserError, match="cannot express this model: .*" + name.split("/")[-1]):
        api.load(characters)
