"""Models as ONNX: the same numbers as on PyTorch, and the same answers where PyTorch is not installed."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import weft
from weft.cli import main
from weft.config import FOLDERS, FolderConfig, GeneratorConfig, ModelConfig, TranslatorConfig
from weft.description import CONFIG
from weft.errors import UserError
from weft.exchange import export_model
from weft.interchange import onnx_graph
from weft.interchange.onnx_export import export_onnx
from weft.interchange.onnx_models import make_graphs
from weft.interchange.onnx_predictors import nothing_read
from weft.models.ngrams import NGRAMS
from weft.nn.masks import Mask
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import make_model
from weft.tasks.masking import MASK
from weft.tasks.ngram_training import fit_ngrams
from weft.text.training import train_tokenizer

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

VOCABULARY = 40
BASE: dict[str, Any] = {
    "vocabulary": VOCABULARY,
    "width": 32,
    "heads": 4,
    "feed_forward": 48,
    "max_length": 64,
}
SEQ2SEQ = {"architecture": "seq2seq", "encoder_layers": 2, "decoder_layers": 3}
DECODER = {"architecture": "decoder", "decoder_layers": 3}
ENCODER = {"architecture": "encoder", "encoder_layers": 4}

SHARED: dict[str, dict[str, Any]] = {
    "vaswani": {"norm_place": "after"},
    "sines apart": {"position": "sinusoidal_halves", "norm": "rms", "tie": "two", "output_bias": True},
    "learned": {"position": "learned", "activation": "gelu", "embedding_norm": True, "norm_place": "after"},
    "offset": {"position": "learned", "position_offset": 2, "activation": "gelu_tanh"},
    "no positions": {"position": "none", "tie": "none"},
    "buckets": {"position": "t5", "norm": "rms", "bias": False},
    "buckets, grouped": {"position": "t5", "kv_heads": 2},
    "alibi": {"position": "alibi"},
    "alibi, grouped": {"position": "alibi", "kv_heads": 2},
    "gated": {"gated": True, "activation": "silu", "norm_scale": False},
    "ours": {"norm": "rms", "norm_scale": False, "bias": False, "activation": "relu_squared"}
    | {"position": "rotary", "query_key_norm": True, "scale_embedding": False},
    "grouped": {"kv_heads": 2, "query_key_value_bias": False, "position": "rotary"},
    "one key": {"kv_heads": 1, "position": "rotary", "rotary_base": 500.0, "query_key_norm": True},
    "wide heads": {"head_size": 16, "norm_epsilon": 1e-3, "position": "rotary"},
    **{
        kind: {
            "position": "rotary",
            "rotary_scaling": {"kind": kind, "factor": 4.0, "original_length": 32, "attention": 1.1},
        }
        for kind in ("linear", "llama3", "yarn")
    },
    "window": {"position": "rotary", "window": 3, "global_every": 2},
    "window everywhere": {"position": "t5", "window": 2, "global_every": 0},
}
WRITES = SHARED | {
    "n-grams": {"ngrams": {"longest": 4, "rows": 50}},
    "no n-grams": {"ngrams": {"longest": 1}},
}
ENCODERS = SHARED | {"segments": {"segments": 2, "scale_embedding": False, "position": "learned"}}


def make(config: FolderConfig) -> Any:
    """A model with random weights, sharp enough that tokens differ in score, its norms and biases not as they begin."""
    torch.manual_seed(0)
    model = make_model(config).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * (0.3 if parameter.dim() > 1 else 0.2)
    return model


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def session(files: dict[str, bytes], name: str) -> Callable[..., dict[str, np.ndarray]]:
    """The model in a file: its inputs to its outputs, by their names."""
    opened = onnxruntime.InferenceSession(files[name], providers=["CPUExecutionProvider"])
    names = [each.name for each in opened.get_outputs()]
    return lambda given: dict(zip(names, opened.run(names, given), strict=True))


def close(found: np.ndarray, expected: Tensor) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-4, rtol=1e-4)


def ids(*shape: int) -> Tensor:
    return torch.randint(5, VOCABULARY, shape, generator=torch.Generator().manual_seed(2))


def past_of(config: ModelConfig, *, rows: int) -> dict[str, np.ndarray]:
    return {f"past.{name}": each for name, each in nothing_read(config, rows=rows).items()}


@pytest.mark.parametrize("design", WRITES)
def test_decoders_whole_and_bit_by_bit(design: str) -> None:
    config = GeneratorConfig(model=ModelConfig.model_validate(BASE | DECODER | WRITES[design]))
    model, given = make(config), ids(3, 9)
    expected = model.logits(model(given))
    run = session(make_graphs(config, arrays(model)), "model.onnx")
    past = past_of(config.model, rows=3)
    close(run({**past, "ids": given.numpy(), "scored": np.array([9])})["logits"], expected)
    first = run({**past, "ids": given[:, :4].numpy(), "scored": np.array([2])})
    close(first["logits"], expected[:, 2:4])
    past = {
        name.replace("present", "past"): each for name, each in first.items() if name.startswith("present")
    }
    close(run({**past, "ids": given[:, 4:].numpy(), "scored": np.array([1])})["logits"], expected[:, -1:])


@pytest.mark.parametrize("design", WRITES | {"pointer": {"pointer": True}})
def test_encoder_decoders_with_padded_sources_of_several_rows(design: str) -> None:
    fields = {**WRITES, "pointer": {"pointer": True, "position": "rotary"}}[design]
    model_config = ModelConfig.model_validate(BASE | SEQ2SEQ | fields)
    config = TranslatorConfig(directions=(("de", "en"),), tags=False, model=model_config)
    model, source, target = make(config), ids(2, 7), ids(4, 5)
    source[1, 5:] = 0
    memory = model.encode(source, keep=source != 0)
    states = model.decode(target, memory)
    expected = model.logits(states)
    if model.pointer is not None:
        places = model.pointer.look(states.view(2, 10, -1), memory.states, memory.keep).view(4, 5, -1)
        copied = torch.zeros_like(expected).scatter_add_(
            2, source.repeat_interleave(2, 0)[:, None].expand(4, 5, -1), places
        )
        logs = copied.clamp_min(1e-30).log()
        expected = model.pointer.blend(model.pointer.gate(states), expected.log_softmax(-1), logs)
    files = make_graphs(config, arrays(model))
    given = session(files, "encoder.onnx")({"source": source.numpy()}) | {"source": source.numpy()}
    given |= past_of(config.model, rows=4) | {"ids": target.numpy(), "scored": np.array([5])}
    close(session(files, "decoder.onnx")(given)["logits"], expected)


@pytest.mark.parametrize("design", ENCODERS)
@pytest.mark.parametrize(
    ("task", "heads"),
    [("masked-lm", ("masked",)), ("tag", ("tag",)), ("answer", ("answer",)), ("classify", ("classify",))],
)
def test_encoders_with_their_heads_on_padded_texts(design: str, task: str, heads: tuple[str, ...]) -> None:
    model_config = ModelConfig.model_validate(BASE | ENCODER | ENCODERS[design])
    labels = ("O", "B-a", "I-a") if task in ("classify", "tag") else ()
    config = FOLDERS[task].model_validate(
        {"model": model_config, "heads": heads, "labels": labels, "pooling": "mean"}
    )
    model, given = make(config), ids(3, 9)
    given[1, 6:] = 0
    keep, segments = given != 0, ids(3, 9) % 2
    feeds = {"ids": given.numpy()}
    if model_config.segments:
        feeds["segments"] = segments.numpy()
    if task == "masked-lm":
        feeds["places"] = np.array([[0, 2], [2, 8], [1, 0]])
    states = model(given, segments=segments if model_config.segments else None, mask=Mask(keep=keep))
    found = session(make_graphs(config, arrays(model)), "model.onnx")(feeds)
    close(found["states"][keep.numpy()], states[keep])
    if task == "masked-lm":
        close(found["masked"], model.masked.logits(model.masked(states[[0, 2, 1], [2, 8, 0]])))
    elif task == "classify":
        close(found["classify"], model.heads["classify"](model.pooled(states, keep=keep)))
    else:
        close(found[task][keep.numpy()], model.heads[task](states)[keep])


def test_eight_bits_are_a_quarter_and_nearly_the_same() -> None:
    fields = {**DECODER, "position": "rotary", "width": 128, "feed_forward": 256, "vocabulary": 500}
    config = GeneratorConfig(model=ModelConfig.model_validate(BASE | fields))
    model, given = make(config), ids(3, 9)
    whole, small = (make_graphs(config, arrays(model), int8=int8) for int8 in (False, True))
    assert len(small["model.onnx"]) < 0.4 * len(whole["model.onnx"])
    expected = model.logits(model(given)).detach().numpy()
    feeds = past_of(config.model, rows=3) | {"ids": given.numpy(), "scored": np.array([9])}
    found = session(small, "model.onnx")(feeds)["logits"]
    assert 0 < np.abs(found - expected).std() < 0.1 * expected.std()


TEXT = "the dog runs and the cat sleeps where a small house stands"
SHAPES: dict[str, dict[str, Any]] = {
    "translate": SEQ2SEQ,
    "summarize": SEQ2SEQ | {"pointer": True},
    "language-model": DECODER | {"position": "rotary", "ngrams": {"longest": 3, "rows": 60}},
    "classify": ENCODER,
    "tag": ENCODER,
    "answer": ENCODER,
    "masked-lm": ENCODER | {"output_bias": True},
    "embed": ENCODER,
}
FIELDS: dict[str, dict[str, Any]] = {
    "translate": {"directions": (("de", "en"),), "tags": False},
    "summarize": {"length": 16},
    "language-model": {"length": 16},
    "classify": {"heads": ("pooler", "classify"), "labels": ("a", "b", "c"), "vote": 2.0},
    "tag": {"heads": ("tag",), "labels": ("O", "B-PER", "I-PER")},
    "answer": {"heads": ("answer",), "length": 24, "stride": 4},
    "masked-lm": {"heads": ("masked",)},
    "embed": {"pooling": "mean"},
}
# What is asked of a model of each task, in the words of its user.
ASKED = {
    "translate": "[vars(each)['text'] for each in model.translate(texts, beams=3, max_length=12)], "
    "model.translate(texts[0], max_length=9).alignment",
    "summarize": "[each.text for each in model.summarize([text * 3 for text in texts], max_length=9)]",
    "language-model": "[each.tokens for each in model.generate(texts, tokens=8)], "
    "[each.tokens for each in model.generate(texts, tokens=8, beams=3)], "
    "model.generate(texts[0], tokens=30, stop=['cat']).ended, model.score(texts[0]).tokens, "
    "round(model.evaluate(data).loss, 4), round(model.evaluate(data, stride=8).loss, 4)",
    "classify": "[each.labels for each in model.classify(texts)], model.evaluate(table).figures",
    "tag": "[[each[:4] for each in found] for found in model.tag(texts)]",
    "answer": "[each[:3] for each in model.answer(['where is the cat'] * len(texts), texts)]",
    "masked-lm": "[[[each.token for each in found] for found in filled] for filled in "
    "model.fill(['the [MASK] runs', '[MASK] cat sleeps where [MASK] dog runs'], top=4)]",
    "embed": "model.embed(texts).round(4).tolist()",
}
PROGRAM = """
import importlib.abc, json, sys
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "tensorflow"):
            raise ModuleNotFoundError(f"{{name}} is not here", name=name)
sys.meta_path.insert(0, Without())
import weft
model = weft.load({folder!r})
texts, data, table = {texts!r}, {data!r}, {table!r}
print(json.dumps([{asked}]))
"""
TEXTS = [TEXT, "the cat", "a small dog sleeps where the cat runs", "house"]


def save(folder: Path, task: str) -> Path:
    """The folder of a model with random weights."""
    special = [MASK] if task in ("masked-lm", "classify", "tag", "answer", "embed") else []
    tokenizer = train_tokenizer([TEXT], kind="words", size=40, special=special)
    fields = BASE | SHAPES[task] | {"vocabulary": tokenizer.vocab_size}
    ngrams = fit_ngrams(TEXTS, np.eye(4, 3, dtype=np.float32)) if task == "classify" else None
    counted = {} if ngrams is None else {"ngrams": len(ngrams.buckets)}
    config = FOLDERS[task].model_validate({"model": fields, **FIELDS[task], **counted})
    aside = folder.with_name("tokenizer")
    aside.mkdir()
    tokenizer.save(aside)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in aside.iterdir()}
    files |= {} if ngrams is None else {NGRAMS: ngrams.save}
    files[CONFIG] = config.model_dump_json().encode()
    files[MODEL] = partial(save_tensors, tensors=make(config).state_dict())
    write_folder(folder, kind=task, files=files)
    return folder


@pytest.mark.parametrize("task", ASKED)
def test_without_pytorch_the_answers_are_the_same(task: str, tmp_path: Path) -> None:
    run = save(tmp_path / "run", task)
    export_model(run, to="onnx", out=tmp_path / "there")
    data, table = tmp_path / "data.txt", tmp_path / "table.tsv"
    data.write_text("\n".join(TEXTS))
    table.write_text("text\tlabel\n" + "".join(f"{text}\t{'abc'[i % 3]}\n" for i, text in enumerate(TEXTS)))
    program = PROGRAM.format(
        folder=str(tmp_path / "there"), texts=TEXTS, data=str(data), table=str(table), asked=ASKED[task]
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    told = {
        "model": weft.load(run, precision="float32"),
        "texts": TEXTS,
        "data": str(data),
        "table": str(table),
    }
    assert json.loads(ran.stdout) == json.loads(json.dumps(eval(f"[{ASKED[task]}]", told)))  # noqa: S307


PAGE_PROGRAM = """
import sys
for name in ("torch", "weft"):
    sys.modules[name] = None
{program}
"""


@pytest.mark.parametrize("task", ASKED)
def test_the_program_on_the_page_runs_without_weft(task: str, tmp_path: Path) -> None:
    run = save(tmp_path / "run", task)
    export_model(run, to="onnx", out=tmp_path / "there")
    page = (tmp_path / "there" / "README.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", PAGE_PROGRAM.format(program=program)],
        cwd=tmp_path / "there",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    model = weft.load(run, precision="float32")
    match task:
        case "translate":
            assert ran.stdout.strip() == model.translate("Ein Hund läuft.", beams=1, max_length=63).text
        case "summarize":
            assert ran.stdout.strip() == model.summarize("Ein Hund läuft.", beams=1, max_length=63).text
        case "language-model":
            assert ran.stdout.strip() == model.generate("Once upon a time", tokens=30).text.strip()
        case "classify":
            numbers = [float(each) for each in re.findall(r"0\.\d+", ran.stdout)]
            assert len(numbers) == 2 * len(model.config.labels)
        case _:
            assert ran.stdout.strip()


def test_what_a_folder_holds_is_told_without_pytorch(tmp_path: Path) -> None:
    run = save(tmp_path / "run", "translate")
    export_model(run, to="onnx", out=tmp_path / "there")
    first = PROGRAM[: PROGRAM.index("import weft\n")].replace("{{", "{").replace("}}", "}")
    for folder, said in ((run, "parameters: "), (tmp_path / "there", "runs on: ONNX Runtime")):
        program = f"{first}from weft.cli import main\nsys.exit(main(['info', {str(folder)!r}]))"
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert said in ran.stdout


def test_what_needs_pytorch_says_so(tmp_path: Path) -> None:
    run = save(tmp_path / "run", "embed")
    first = PROGRAM[: PROGRAM.index("import weft\n")].replace("{{", "{").replace("}}", "}")
    for command in (
        ["embed", str(run), "the dog", "the cat"],
        ["export", str(run), "--out", "never"],
    ):
        program = f"{first}from weft.cli import main\nsys.exit(main({command!r}))"
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert ran.returncode == 2, ran.stderr
        assert "needs PyTorch, which is not installed: pip install torch" in ran.stderr
        assert ran.stderr.count("\n") == 1


def test_a_text_is_written_as_it_comes_and_what_pytorch_alone_does_is_refused(tmp_path: Path) -> None:
    run = save(tmp_path / "run", "language-model")
    export_model(run, to="onnx", out=tmp_path / "there")
    model, heard, text = weft.load(tmp_path / "there"), list[str](), tmp_path / "text.txt"
    text.write_text(TEXT)
    whole = model.generate("the dog", tokens=12, stream=heard.append)
    assert len(heard) > 1
    assert "".join(heard) == whole.text
    drawn = [model.generate("the dog", tokens=12, temperature=2.0, seed=seed).tokens for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(UserError, match="has no regex, lookup"):
        model.generate("the", regex="a+", lookup=True)
    with pytest.raises(UserError, match="cannot be inspected"):
        model.inspect("the dog", out=tmp_path / "page.html")
    with pytest.raises(UserError, match="memory"):
        model.evaluate(text, memory=3)
    with pytest.raises(UserError, match="stride 99"):
        model.evaluate(text, stride=99)


def test_commands_take_the_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run, there = save(tmp_path / "run", "translate"), tmp_path / "there"
    assert main(["export", str(run), "--to", "onnx", "--quantization", "int8", "--out", str(there)]) == 0
    capfd.readouterr()
    assert main(["info", str(there), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["model"]["width"] == 32
    assert main(["translate", str(there), "the cat"]) == 0
    assert weft.load(there).precision == "int8"
    page = there / "README.md"
    page.write_text(page.read_text() + "License: mine\n")
    assert main(["translate", str(there), "the cat"]) == 0
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(there / "decoder.onnx", alone)
    odd = tmp_path / "odd"
    shutil.copytree(alone, odd)
    (odd / "weft.json").write_text('{"task": ["translate"]}')
    capfd.readouterr()
    for command, said in (
        (["inspect", str(there), "the cat", "--out", str(tmp_path / "a.html")], "a model for ONNX Runtime"),
        (["translate", str(there), "the cat", "--precision", "float32"], "exported in int8"),
        (["translate", str(there), "the cat", "--device", "cuda"], "there are: cpu"),
        (["translate", str(there), "the cat", "--device", "cpu:7"], "there are: cpu"),
        (["classify", str(there), "the cat"], "a model for the task translate"),
        (["import", str(there), "--out", str(tmp_path / "back")], "ONNX"),
        (["train", "--resume", str(there)], "there is nothing to go on with"),
        (["export", str(run), "--to", "onnx", "--out", str(there)], "there already, and not empty"),
        (["info", str(alone)], "weft.json: missing"),
        (["info", str(odd)], "which this weft does not know"),
        (
            ["export", str(run), "--to", "onnx", "--quantization", "int9", "--out", "x"],
            'no quantization "int9"',
        ),
    ):
        assert main(command) == 2, command
        error = capfd.readouterr().err
        assert said in error, error
        assert error.count("\n") == 1, error


def test_what_eight_bits_cost_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run, data = save(tmp_path / "run", "translate"), tmp_path / "pairs.tsv"
    data.write_text("de\ten\n" + "".join(f"{text}\t{text}\n" for text in TEXTS))
    command = ["export", str(run), "--to", "onnx", "--quantization", "int8", "--data", str(data), "--json"]
    assert main([*command, "--out", str(tmp_path / "there")]) == 0
    told = json.loads(capfd.readouterr().out)
    expected = weft.load(tmp_path / "there").evaluate(data)
    assert told["after"] == {name: getattr(expected, name) for name in ("bleu", "chrf", "exact")}
    assert told["before"] == {
        name: getattr(weft.load(run, precision="float32").evaluate(data), name) for name in told["after"]
    }
    assert main(["export", str(run), "--data", str(data), "--out", str(tmp_path / "never")]) == 2
    assert "measure a run itself" in capfd.readouterr().err
    assert main([*command[:-1], "--out", str(tmp_path / "never"), "--data", str(tmp_path / "none.tsv")]) == 2
    assert not (tmp_path / "never").exists()


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    run, there = save(tmp_path / "run", "embed"), tmp_path / "there"
    export_model(run, to="onnx", out=there)
    model = there / "model.onnx"
    model.write_bytes(b"x" * model.stat().st_size)
    with pytest.raises(UserError, match=r"model\.onnx"):
        weft.load(there)


def test_vectors_come_in_the_precision_that_was_exported(tmp_path: Path) -> None:
    run, there = save(tmp_path / "run", "embed"), tmp_path / "there"
    export_model(run, to="onnx", quantization="int8", out=there)
    assert main(["embed", str(there), "the dog", "the cat"]) == 0
    assert main(["export", str(run), "--to", "onnx", "--out", str(tmp_path / "x"), "--data", "y"]) == 2
    assert not (tmp_path / "x").exists()


def test_what_has_no_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recurrent = ModelConfig.model_validate(
        BASE
        | {"architecture": "transformer-xl", "decoder_layers": 1, "position": "none"}
        | {"recurrence": {"memory": 4}}
    )
    with pytest.raises(UserError, match="recurrence"):
        export_onnx(GeneratorConfig(model=recurrent), {})
    config = GeneratorConfig(model=ModelConfig.model_validate(BASE | DECODER))
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="2 GiB.*--quantization int8"):
        export_onnx(config, arrays(make(config)))


def test_an_extra_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save(tmp_path / "run", "embed")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"pip install 'weft\[onnx\]'"):
        export_model(run, to="onnx", out=tmp_path / "there")
    assert not (tmp_path / "there").exists()
