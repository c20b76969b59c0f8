"""Training from Python: what it takes, what it leaves, and what is told before the first step."""

import json
from pathlib import Path

import pytest

import weft
import weft.api
from weft.config import ModelConfig, TranslatorConfig
from weft.errors import UserError
from weft.families import export_folder
from weft.models.seq2seq import Seq2Seq
from weft.text.training import train_tokenizer

PAIRS = [("ein Hund läuft", "a dog runs"), ("zwei Katzen", "two cats"), ("der Hund", "the dog")] * 4
SMALL = {"model.width": 16, "model.encoder_layers": 1, "tokenizer.size": 200}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """pairs.tsv, which has no header, and valid.jsonl."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "pairs.tsv").write_text("".join(f"{german}\t{english}\n" for german, english in PAIRS))
    records = [json.dumps({"en": english, "de": german}) for german, english in PAIRS[:3]]
    (folder / "valid.jsonl").write_text("\n".join(records))
    return folder


def test_what_is_one_needs_no_list(data: Path, tmp_path: Path) -> None:
    result = weft.train(
        train=data / "pairs.tsv",
        valid=[data / "valid.jsonl"],
        columns="de,en",
        out=tmp_path / "run",
        from_language="de",
        to_language="en",
        epochs=1,
        seed=7,
        preset="micro",
        overrides="model.width=16",
    )
    assert result.loss is not None
    settings = weft.info(tmp_path / "run")["run"]
    assert (settings["train"]["epochs"], settings["train"]["seed"], settings["model"]["width"]) == (
        1.0,
        7,
        16,
    )
    assert settings["data"]["columns"] == ["de", "en"]
    translator = weft.load(tmp_path / "run")
    assert translator.evaluate([str(data / "pairs.tsv")], columns="de,en", beams=1).sentences == len(PAIRS)


def test_columns_need_a_table_somewhere(data: Path, tmp_path: Path) -> None:
    for language, lines in zip(("de", "en"), zip(*PAIRS, strict=True), strict=True):
        (data / f"train.{language}").write_text("\n".join(lines))
    pattern = f"{data}/train.{{de,en}}"
    with pytest.raises(UserError, match=r"--columns names the columns of a TSV or CSV, which .* is not"):
        weft.train(train=pattern, valid=data / "valid.jsonl", columns="de,en", out=tmp_path / "run")
    options = {"columns": ["de", "en"], "steps": 1, "overrides": SMALL}
    weft.train(train=pattern, valid=data / "pairs.tsv", out=tmp_path / "run", **options)


def test_the_preset_may_stand_in_the_file_and_is_kept(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "weft.toml"
    file.write_text('preset = "micro"\n[model]\nwidth = 16\n')
    options = {"train": data / "pairs.tsv", "columns": "de,en", "steps": 1}
    weft.train(config=file, out=tmp_path / "named", **options)
    weft.train(overrides=SMALL, out=tmp_path / "chosen", **options)
    presets = [weft.info(tmp_path / name)["run"]["preset"] for name in ("named", "chosen")]
    assert presets == ["micro", "tiny"]
    file.write_text('preset = "mikro"\n')
    with pytest.raises(UserError, match='no preset "mikro" .did you mean "micro"'):
        weft.train(config=file, out=tmp_path / "wrong", **options)


@pytest.mark.parametrize("there", ["nothing", "folder", "link"])
def test_what_fails_before_the_first_step_leaves_the_folder_as_it_was(
    there: str, data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if there == "folder":
        run.mkdir()
    if there == "link":
        (tmp_path / "elsewhere").mkdir()
        run.symlink_to(tmp_path / "elsewhere")
    options = {"train": data / "pairs.tsv", "columns": "de,en", "from_language": "de", "to_language": "en"}
    message = r"pairs.tsv:1: \d+ tokens, more than the 3 of a batch: set train.batch_tokens to \d+ or more"
    with pytest.raises(UserError, match=message):
        weft.train(out=run, steps=1, overrides={**SMALL, "train.batch_tokens": 3}, **options)
    with pytest.raises(UserError, match="tokenizer.json: No such file"):
        weft.train(out=run, overrides={"tokenizer.path": tmp_path / "tokenizer.json"}, **options)
    assert run.exists() == (there != "nothing")
    assert run.is_symlink() == (there == "link")
    assert there == "nothing" or not list(run.iterdir())


def test_a_run_goes_on_from_any_folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(data)
    files = {"train": "pairs.tsv", "valid": ["valid.jsonl"], "columns": "de,en"}
    with monkeypatch.context() as patched:
        patched.setattr(weft.api, "prepare", stop)
        with pytest.raises(KeyboardInterrupt):
            weft.train(out="../run", steps=1, overrides=SMALL, **files)
    monkeypatch.chdir(tmp_path)
    assert weft.resume("run").steps == 1
    paths = weft.info("run")["run"]["data"]
    assert (paths["train"], paths["valid"]) == ([str(data / "pairs.tsv")], [str(data / "valid.jsonl")])


def test_a_tokenizer_of_ones_own(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text for pair in PAIRS for text in pair]
    tokenizer = train_tokenizer(texts, kind="characters")
    tokenizer.save(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = {"train": data / "pairs.tsv", "columns": "de,en", "steps": 1}
    settings = {**SMALL, "tokenizer.path": "tokenizer.json"}
    weft.train(out="run", overrides=settings, **options)
    translator = weft.load("run")
    assert translator.tokenizer.encode(texts) == tokenizer.encode(texts)
    assert translator.config.model.vocabulary == tokenizer.vocab_size + 2
    assert [translator.tokenizer.token_id(tag) for tag in ("<2de>", "<2en>")] == [
        tokenizer.vocab_size,
        tokenizer.vocab_size + 1,
    ]
    with pytest.raises(UserError, match=r"translate.masked needs <mask> .*: leave tokenizer.path out"):
        weft.train(out="masked", overrides={**settings, "translate.masked": 0.5}, **options)


def test_a_model_without_a_tokenizer_is_not_imported(tmp_path: Path) -> None:
    config = ModelConfig(
        vocabulary=12,
        width=8,
        encoder_layers=1,
        decoder_layers=1,
        heads=2,
        feed_forward=16,
        norm_place="after",
        position="sinusoidal_halves",
    )
    weights = {name: value.numpy() for name, value in Seq2Seq(config).state_dict().items()}
    export_folder(
        tmp_path / "bare",
        config=TranslatorConfig(directions=(("en", "de"),), tags=False, model=config),
        weights=weights,
        tokenizer={},
    )
    message = r"bare: no tokenizer in it, neither tokenizer.json, .* nor source.spm, target.spm, vocab.json"
    with pytest.raises(UserError, match=message):
        weft.import_model(tmp_path / "bare", out=tmp_path / "model")
    assert not (tmp_path / "model").exists()
