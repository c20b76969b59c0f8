"""What the documents tell people to type is true.

Blocks fenced as `console` (their lines begin with `$ `) and as `python` are run, in the order of the
documents, on small data: see SMALLER for what is made shorter. Blocks fenced as `sh` need an install or files
from elsewhere; of these, as of all, each `weft` command must at least have the options that it is given.
"""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weft.cli import app
from weft.corpus import write_corpus

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SETTINGS = ("tokenizer.size=400", "model.width=32", "train.batch_tokens=512", "train.validations=1")
# What a reader would wait for becomes some steps of a tiny model.
SMALLER = {
    r"--(minutes|steps) \d+": "--steps 4",
    r"weft train ([a-z]\S+)": r"weft train \1 " + " ".join(f"--set {setting}" for setting in SETTINGS),
    r"weft translate (runs/\S+)": r"weft translate \1 --max-length 8",
    r"weft evaluate (runs/\S+) (--data \S+\{)": r"weft evaluate \1 --beam 1 \2",
    r"minutes=\d+": f'steps=4, overrides={list(SETTINGS)}, preset="tiny"',
}


def blocks(document: Path, *kinds: str) -> Iterator[tuple[str, str]]:
    for kind, body in BLOCK.findall(document.read_text(encoding="utf-8")):
        if kind in kinds:
            yield kind, body


def commands(document: Path) -> list[list[str]]:
    """The arguments of every weft command in a document."""
    lines = [line for _, body in blocks(document, "console", "sh") for line in body.splitlines()]
    parts = [
        shlex.split(part, comments=True) for line in lines for part in line.removeprefix("$ ").split("|")
    ]
    found = [words[words.index("weft") + 1 :] for words in parts if words[:1] in (["weft"], ["torchrun"])]
    return [arguments[: arguments.index(">")] if ">" in arguments else arguments for arguments in found]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_has_the_options_it_is_given(document: Path) -> None:
    for arguments in commands(document):
        app.parse_args(arguments, print_error=False, exit_on_error=False)


def test_commands_are_found() -> None:
    assert len(commands(ROOT / "README.md")) >= 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the documents take for granted: parallel text below data, and `weft` on the path."""
    data = tmp_path / "data"
    write_corpus(data, train=300, valid=2, test=2)
    for language in ("en", "de", "fr"):
        (data / f"train.{language}.gz").write_bytes(gzip.compress((data / f"train.{language}").read_bytes()))
    pairs = zip(
        *((data / f"train.{language}").read_text().splitlines() for language in ("en", "de")), strict=True
    )
    rows = [f"{english}\t{german}\n" for english, german in pairs]
    (data / "pairs.tsv").write_text("".join(rows[2:]))
    (data / "held-out.tsv").write_text("".join(rows[:2]))
    write_readings(data)
    program = tmp_path / "bin" / "weft"
    program.parent.mkdir()
    start = "import sys; from weft.cli import main; sys.exit(main())"
    program.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
    program.chmod(0o755)
    return tmp_path


def write_readings(data: Path) -> None:
    """What there is to classify, to tag, to ask and to read."""
    moods = [f"{mood},A {word} film number {number}.\n" for number in range(20) for mood, word in MOODS]
    write_twice(data / "reviews.csv", "mood,review\n" + "".join(moods))
    tagged = "Anna\tB-PER\nlives\tO\nin\tO\nNew\tB-LOC\nYork\tI-LOC\n.\tO\n\n"
    write_twice(data / "names.conll", tagged * 30)
    talks = [
        {"dialogue": f"Anna: Shall we go at {hour}?\nBen: Yes, at {hour}.", "summary": f"They go at {hour}."}
        for hour in range(1, 13)
    ]
    write_twice(data / "dialogues.jsonl", "".join(f"{json.dumps(talk)}\n" for talk in talks * 3))
    context = "Anna lives in New York. Ben lives in Bern."
    asked = [
        {
            "id": str(number),
            "question": f"Who lives in {place}?",
            "answers": [{"text": name, "answer_start": at}],
        }
        for number, (place, name, at) in enumerate([("New York", "Anna", 0), ("Bern", "Ben", 24)])
    ]
    paragraphs = [{"context": f"{context} It is {hour} o'clock.", "qas": asked} for hour in range(8)]
    squad = {"version": "1.1", "data": [{"title": "Places", "paragraphs": paragraphs}]}
    write_twice(data / "questions.json", json.dumps(squad))
    (data / "page.txt").write_text(context)
    (data / "lines.txt").write_text("The dog runs.\nA cat sleeps.\n")
    (data / "books").mkdir()
    for number in range(3):
        lines = [
            f"The dog number {line} runs in the snow.\n" + ("\n" if line % 5 == 4 else "")
            for line in range(60)
        ]
        (data / "books" / f"{number}.txt").write_text("".join(lines))


def write_twice(path: Path, text: str) -> None:
    """To learn from, and to be measured on."""
    for each in (path, path.with_stem(f"{path.stem}-test")):
        each.write_text(text)


MOODS = (("good", "lively"), ("bad", "dull"))


@pytest.mark.slow
def test_the_documents_can_be_typed(folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    for document in RUN:
        for kind, body in blocks(document, "console", "python"):
            small = body
            for pattern, shorter in SMALLER.items():
                small = re.sub(pattern, shorter, small)
            if kind == "python":
                typed = [[sys.executable, "-c", small]]
            else:
                lines = [line.removeprefix("$ ") for line in small.splitlines() if line.startswith("$ ")]
                typed = [["/bin/bash", "-o", "pipefail", "-c", line] for line in lines]
            for command in typed:
                done = subprocess.run(
                    command, cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, f"{document.name}: {command[-1]}\n{done.stderr}"
    assert (folder / "page.html").stat().st_size > 10_000
    assert len((folder / "test.translated.en").read_text().splitlines()) == 2
    assert (folder / "paper-for-transformers" / "model.safetensors").is_file()


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "weft"


def exists(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def test_the_picture_of_imports_is_the_one_that_holds() -> None:
    (held,) = re.findall(
        r'^PICTURE = """\n(.*?)^"""', (ROOT / "tests" / "test_imports.py").read_text(), re.M | re.S
    )
    lines = [line for line in held.splitlines() if all(map(exists, re.findall(r"\w+", line)))]
    (drawn,) = re.findall(r"^```\n(config → .*?)^```", ARCHITECTURE, re.M | re.S)
    assert drawn.splitlines() == lines


def test_the_layout_is_the_one_that_exists() -> None:
    (layout,) = re.findall(r"^src/weft/\n(.*?)^docs/", ARCHITECTURE, re.M | re.S)
    named = {
        name for line in layout.splitlines() for name in re.findall(r"(?:^  |\s{3,})(\w+(?:\.py|/)) ", line)
    }
    there = {f"{path.name}/" if path.is_dir() else path.name for path in PACKAGE.glob("[a-z]*")}
    assert named == there - {"py.typed"}
