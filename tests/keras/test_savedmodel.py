"""A SavedModel gives weft's numbers in a process that has no weft; what it cannot express is refused."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from weft import api
from weft.config import (
    AnswererConfig,
    ClassifierConfig,
    EncoderConfig,
    FillerConfig,
    FolderConfig,
    GeneratorConfig,
    ModelConfig,
    SummarizerConfig,
    TaggerConfig,
    TranslatorConfig,
)
from weft.description import CONFIG
from weft.errors import UserError
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.nn.masks import Mask
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import make_model
from weft.tasks.classification import probabilities
from weft.text.training import train_tokenizer

pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("weft.keras")

Arrays = dict[str, NDArray[Any]]

TOKENIZER = train_tokenizer(
    ["ein Hund läuft durch den Schnee", "a dog runs, once upon a time"], special=["<2en>"]
)
BASE: dict[str, Any] = {
    "vocabulary": TOKENIZER.vocab_size,
    "width": 32,
    "heads": 4,
    "feed_forward": 48,
    "max_length": 64,
    "norm": "rms",
    "position": "rotary",
    "query_key_norm": True,
}
SEQ2SEQ = ModelConfig(**BASE, architecture="seq2seq", encoder_layers=2, decoder_layers=2)
DECODER = ModelConfig(**BASE, architecture="decoder", decoder_layers=2)
ENCODER = ModelConfig(**BASE, architecture="encoder", encoder_layers=2)
PAIRS = ENCODER.model_copy(update={"segments": 2, "position": "learned"})
GENERATION = {
    "beams": 3,
    "banned": ((7, 8), (9,)),
    "length_penalty": 0.7,
    "force_end": True,
    "max_length": 20,
}

# In a process that starts with no packages at all, weft among them, and is then told where those of others are.
ALONE = """
import sys
sys.path += {packages!r}
sys.modules["weft"] = None
try:
    import weft
except ImportError:
    pass
else:
    raise SystemExit("weft is there")
"""

CALLS = """
import pathlib
import numpy as np
import tensorflow as tf
for case in sorted(pathlib.Path({root!r}).iterdir()):
    model = tf.saved_model.load(str(case / "there"))
    for given in case.glob("in-*.npz"):
        name = given.stem[3:]
        inputs = {{each: tf.constant(array) for each, array in np.load(given).items()}}
        found, served = getattr(model, name)(**inputs), model.signatures[name](**inputs)
        assert all(np.array_equal(found[each], served[each]) for each in found)
        np.savez(case / f"out-{{name}}.npz", **found)
"""


class Case(NamedTuple):
    folder: FolderConfig
    inputs: dict[str, Arrays]
    expected: Callable[[Any, FolderConfig, Arrays], dict[str, Any]]


def made(folder: FolderConfig) -> Any:
    """A model with random weights, sharp enough that outputs differ."""
    torch.manual_seed(0)
    model = make_model(folder).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.3
    return model


def write(folder: FolderConfig, path: Path) -> Path:
    model, aside = made(folder), path.parent / f"{path.name}-tokenizer"
    aside.mkdir(parents=True)
    TOKENIZER.save(aside)
    files: dict[str, Any] = {each.name: each.read_bytes() for each in aside.iterdir()}
    files[CONFIG] = folder.model_dump_json().encode()
    files[MODEL] = lambda file: save_tensors(file, tensors=dict(model.state_dict()))
    write_folder(path, kind=folder.task, files=files)
    return path


def alone(program: str, *, cwd: Path) -> str:
    packages = [sysconfig.get_path(name) for name in ("purelib", "platlib")]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE.format(packages=packages) + program],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def drawn(*lengths: int) -> NDArray[np.int32]:
    """Rows of so many ids, filled up with the padding; each but its last id is no special one."""
    draw = np.random.default_rng(0)
    rows = np.zeros((len(lengths), max(lengths)), np.int32)
    for row, length in zip(rows, lengths, strict=True):
        row[:length] = [*draw.integers(4, TOKENIZER.vocab_size, size=length - 1), 2]
    return rows


def rows_of(ids: NDArray[Any]) -> list[list[int]]:
    return [row[row != 0].tolist() for row in ids]


def translated(search: SearchConfig) -> Callable[..., dict[str, Any]]:
    def expected(model: Any, folder: FolderConfig, given: Arrays) -> dict[str, Any]:
        found = [each[0] for each in generate(model, rows_of(given["source"]), search)]
        return {"ids": [each.tokens for each in found], "scores": [each.score for each in found]}

    return expected


def continued(model: Any, folder: FolderConfig, given: Arrays) -> dict[str, Any]:
    search = SearchConfig(max_length=int(given["max_tokens"]))
    prompts = [row[:length].tolist() for row, length in zip(given["prompts"], given["lengths"], strict=True)]
    found = [each[0] for each in continue_prompts(model, prompts, search)]
    ends = {folder.model.special.end, *folder.ends}  # type: ignore[attr-defined]
    ids = [
        each.tokens[: next((at for at, id_ in enumerate(each.tokens) if id_ in ends), None)] for each in found
    ]
    return {"ids": ids, "scores": [each.score for each in found]}


def read(model: Any, given: Arrays) -> torch.Tensor:
    ids = torch.from_numpy(given["ids"]).long()
    segments = torch.from_numpy(given["segments"]).long() if "segments" in given else torch.zeros_like(ids)
    return model(ids, mask=Mask(keep=ids != 0), **({"segments": segments} if model.config.segments else {}))


def pooled(model: Any, folder: FolderConfig, given: Arrays) -> dict[str, Any]:
    keep = torch.from_numpy(given["ids"] != 0)
    vectors = model.pooled(read(model, given), keep=keep)
    return {"vectors": torch.nn.functional.normalize(vectors, dim=-1)}


def classified(model: Any, folder: Any, given: Arrays) -> dict[str, Any]:
    keep = torch.from_numpy(given["ids"] != 0)
    logits = model.heads["classify"](model.pooled(read(model, given), keep=keep))
    found = probabilities(logits.numpy(), folder)
    return {"numbers": found[:, 0]} if folder.kind == "number" else {"probabilities": found}


IDS, SEGMENTS = drawn(9, 4, 7), np.repeat([[0, 0, 1, 1, 1, 1, 1, 1, 1]], 3, axis=0).astype(np.int32)
ONE, TWO = {"ids": IDS}, {"ids": IDS, "segments": SEGMENTS}
PROMPTS = {
    "prompts": drawn(9, 3, 6),
    "lengths": np.array([9, 2, 5], np.int32),
    "max_tokens": np.array(12, np.int32),
}
KNOBS = {
    "temperature": np.array(0.7, np.float32),
    "top_k": np.array(1, np.int32),
    "top_p": np.array(1.0, np.float32),
    "seed": np.array(3, np.int32),
}
SOURCES = {"translate": {"source": drawn(9, 4, 12, 2)}}
LABELS = ("O", "B-PER", "I-PER")


def reader(config: FolderConfig, name: str, inputs: Arrays, expected: Callable[..., dict[str, Any]]) -> Case:
    return Case(config, {name: inputs}, expected)


CASES = {
    "translator": Case(
        TranslatorConfig(directions=(("de", "en"),), tags=True, model=SEQ2SEQ),
        SOURCES,
        translated(SearchConfig(beams=5)),
    ),
    "translator with rules": Case(
        TranslatorConfig(directions=(("de", "en"),), tags=True, model=SEQ2SEQ, generation=GENERATION),
        SOURCES,
        translated(SearchConfig(**GENERATION)),
    ),
    "summarizer": Case(
        SummarizerConfig(length=64, model=SEQ2SEQ, generation={"beams": 4, "no_repeat_ngram": 2}),
        SOURCES,
        translated(SearchConfig(beams=4, no_repeat_ngram=2)),
    ),
    "decoder": Case(
        GeneratorConfig(model=DECODER, ends=(11,), prefix=(1,)),
        {"generate": PROMPTS, "sample": PROMPTS | KNOBS},  # of a single likeliest token
        continued,
    ),
    "decoder with n-grams": Case(
        GeneratorConfig(
            model=ModelConfig.model_validate(DECODER.model_dump() | {"ngrams": {"longest": 3, "rows": 99}})
        ),
        {"generate": PROMPTS},
        continued,
    ),
    "decoder's logits": Case(
        GeneratorConfig(model=DECODER),
        {"logits": {"ids": IDS}},
        lambda model, _, given: {"logits": model.logits(model(torch.from_numpy(given["ids"]).long()))},
    ),
    "vectors": reader(EncoderConfig(model=ENCODER, pooling="mean"), "vectors", ONE, pooled),
    "states": reader(
        EncoderConfig(model=PAIRS), "states", TWO, lambda model, _, given: {"states": read(model, given)}
    ),
    "classifier": reader(
        ClassifierConfig(heads=("pooler", "classify"), labels=("a", "b", "c"), model=PAIRS, temperature=1.7),
        "probabilities",
        TWO,
        classified,
    ),
    "several labels": reader(
        ClassifierConfig(
            heads=("classify",), labels=("a", "b"), kind="multiple", pooling="mean", model=ENCODER
        ),
        "probabilities",
        ONE,
        classified,
    ),
    "number": reader(
        ClassifierConfig(
            heads=("classify",), labels=("n",), kind="number", mean=3.0, deviation=2.0, model=ENCODER
        ),
        "numbers",
        ONE,
        classified,
    ),
    "tagger": reader(
        TaggerConfig(heads=("tag",), labels=LABELS, model=ENCODER),
        "probabilities",
        ONE,
        lambda model, _, given: {"probabilities": model.heads["tag"](read(model, given)).softmax(-1)},
    ),
    "answerer": reader(
        AnswererConfig(heads=("answer",), length=64, model=PAIRS),
        "scores",
        TWO,
        lambda model, _, given: {"scores": model.heads["answer"](read(model, given))},
    ),
    "filler": reader(
        FillerConfig(heads=("masked",), model=ENCODER),
        "probabilities",
        ONE,
        lambda model, _, given: {
            "probabilities": model.masked.logits(model.masked(read(model, given))).softmax(-1)
        },
    ),
}


QUICK = ("translator with rules", "classifier")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a case's folder: its run, its SavedModel, its inputs and its outputs. All models of a group are called in one
    process, which has no weft."""

    @cache
    def group(quick: bool) -> Path:
        root = tmp_path_factory.mktemp("cases")
        for name in (name for name in CASES if (name in QUICK) == quick):
            run = write(CASES[name].folder, root / name / "run")
            api.export_model(run, out=root / name / "there", to="savedmodel")
            for each, inputs in CASES[name].inputs.items():
                np.savez(root / name / f"in-{each}.npz", **inputs)
        alone(CALLS.format(root=str(root)), cwd=root)
        return root

    return lambda name: group(name in QUICK) / name


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
)
@torch.inference_mode()
def test_outputs_are_wefts(exported: Callable[[str], Path], name: str) -> None:
    case = CASES[name]
    for each, inputs in case.inputs.items():
        found = dict(np.load(exported(name) / f"out-{each}.npz"))
        expected = case.expected(made(case.folder), case.folder, inputs)
        if "lengths" in found:
            lengths = found.pop("lengths")
            ids = found.pop("ids")
            assert [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)] == expected.pop(
                "ids"
            )
            assert len({*map(tuple, ids.tolist())}) > 1
            assert all((row[length:] == 0).all() for row, length in zip(ids, lengths, strict=True))
        real = inputs["ids"] != 0 if "ids" in inputs and each != "logits" else slice(None)
        assert found.keys() == expected.keys()
        for output, array in found.items():
            theirs = np.asarray(expected[output])
            if array.ndim == 3:
                array, theirs = array[real], theirs[real]
            np.testing.assert_allclose(array, theirs, atol=1e-4, rtol=1e-4)


def program_of(folder: Path) -> str:
    page = (folder / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return program


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["decoder", "classifier", "tagger", "vectors", "states", "answerer", "filler"]
)
def test_the_program_on_the_page_runs(exported: Callable[[str], Path], name: str) -> None:
    folder = exported(name) / "there"
    assert alone(program_of(folder), cwd=folder).strip()


@pytest.mark.slow
def test_the_program_on_the_page_translates_as_weft_does(exported: Callable[[str], Path]) -> None:
    case = exported("translator")
    expected = api.load(case / "run", precision="float32").translate("Ein Hund läuft.")
    said = alone(program_of(case / "there"), cwd=case / "there")
    assert said.rpartition(" ")[0] == expected.text
    assert float(said.rpartition(" ")[2]) == pytest.approx(expected.score, rel=1e-4)


@pytest.mark.slow
def test_the_program_of_a_marian_translates_as_weft_does(tmp_path: Path) -> None:
    trained = tmp_path / "pieces"
    text = tmp_path / "text.txt"
    text.write_text("ein Hund läuft.\na dog runs.\nein Haus steht.\na house stands.\n" * 20, encoding="utf-8")
    sentencepiece = pytest.importorskip("sentencepiece")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(trained), vocab_size=40, hard_vocab_limit=False, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{trained}.model")
    names = [
        "</s>",
        "<unk>",
        *(pieces.id_to_piece(number) for number in range(3, pieces.get_piece_size())),
        "<pad>",
    ]
    special = {"pad": len(names) - 1, "start": len(names) - 1, "end": 0}
    config = ModelConfig.model_validate(
        SEQ2SEQ.model_dump() | {"vocabulary": len(names), "special": special, "max_length": 32}
    )
    folder = TranslatorConfig(
        directions=(("de", "en"),), tags=False, model=config, generation={"banned": ((special["pad"],),)}
    )
    model = made(folder)
    files: dict[str, Any] = {
        f"{side}.spm": Path(f"{trained}.model").read_bytes() for side in ("source", "target")
    }
    files["vocab.json"] = json.dumps({name: number for number, name in enumerate(names)}).encode()
    files[CONFIG] = folder.model_dump_json().encode()
    files[MODEL] = lambda file: save_tensors(file, tensors=dict(model.state_dict()))
    write_folder(tmp_path / "run", kind="translate", files=files)
    api.export_model(tmp_path / "run", out=tmp_path / "there", to="savedmodel")
    expected = api.load(tmp_path / "run", precision="float32").translate("Ein Hund läuft.")
    said = alone(program_of(tmp_path / "there"), cwd=tmp_path / "there")
    assert said.rpartition(" ")[0] == expected.text


def test_the_description_says_what_there_is(exported: Callable[[str], Path]) -> None:
    there = exported("translator with rules") / "there"
    about = json.loads((there / "weft.json").read_bytes())
    assert about["signatures"]["translate"]["inputs"]["source"].startswith("int32 (B, S)")
    assert about["tags"] == {"en": TOKENIZER.token_id("<2en>")}
    assert about["before"] == [] and about["after"] == [TOKENIZER.eos_id]
    there = exported("classifier") / "there"
    about = json.loads((there / "weft.json").read_bytes())
    assert about["labels"] == ["a", "b", "c"]
    assert about["before"] == list(TOKENIZER.layout.before) and about["longest"] == 64
    assert (there / "tokenizer.json").is_file()
    with pytest.raises(UserError, match="a SavedModel, which TensorFlow runs"):
        api.load(there)


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        (SummarizerConfig(length=64, model=SEQ2SEQ.model_copy(update={"pointer": True})), "pointer"),
        (
            TranslatorConfig(
                directions=(("de", "en"),), tags=False, model=SEQ2SEQ, generation={"repetition_penalty": 1.2}
            ),
            "generation.repetition_penalty = 1.2",
        ),
        (
            GeneratorConfig(
                model=ModelConfig(
                    **BASE | {"position": "none", "query_key_norm": False},
                    architecture="transformer-xl",
                    decoder_layers=1,
                    recurrence={"memory": 8},
                )
            ),
            "architecture = transformer-xl",
        ),
    ],
    ids=["pointer", "search", "transformer-xl"],
)
def test_what_cannot_go_is_named(folder: FolderConfig, named: str, tmp_path: Path) -> None:
    run = write(folder, tmp_path / "run")
    with pytest.raises(UserError, match=re.escape(named)):
        api.export_model(run, out=tmp_path / "there", to="savedmodel")
    assert not (tmp_path / "there").exists()


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write(CASES["vectors"].folder, tmp_path / "run")
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND is jax"):
        api.export_model(run, out=tmp_path / "there", to="savedmodel")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError, match=r"pip install 'weft\[tensorflow\]'"):
        api.export_model(run, out=tmp_path / "there", to="savedmodel")
