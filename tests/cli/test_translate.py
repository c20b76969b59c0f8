import gzip
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weft.cli.lines import line_blocks
from weft.data.files import File
from weft.errors import UserError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bytes], None]]:
    with ExitStack() as stack:

        def put(content: bytes) -> None:
            (tmp_path / "stdin").write_bytes(content)
            monkeypatch.setattr(
                sys, "stdin", stack.enter_context((tmp_path / "stdin").open(encoding="utf-8"))
            )

        yield put


def test_one_text(weft: Callable[..., Any], run: Path) -> None:
    assert weft("translate", run, "Ein Hund läuft.") == (0, "EIN HUND LÄUFT.\n", "")


def test_nothing_stays_nothing(weft: Callable[..., Any], run: Path) -> None:
    assert weft("translate", run, "") == (0, "\n", "")


def test_lines_keep_their_order_and_empty_ones_stay(
    weft: Callable[..., Any], run: Path, typed: Callable[[bytes], None]
) -> None:
    typed(b"eins\n\nzwei drei\r\n  \nvier")
    assert weft("translate", run) == (0, "EINS\n\nZWEI DREI\n\nVIER\n", "")


def test_a_translation_is_one_line_whatever_it_holds(
    weft: Callable[..., Any], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[SimpleNamespace(text="a\nb\rc", truncated=False, refused=False)]]
    translator = SimpleNamespace(translate=lambda *_, **__: answers)
    monkeypatch.setattr("weft.loading.load", lambda *_, **__: translator)
    assert weft("translate", run, "x").out == "a b c\n"


def test_files_in_and_out(weft: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.gz", tmp_path / "out.txt"
    source.write_bytes(gzip.compress("übung\nzwei\n".encode()))
    assert weft("translate", run, "--input", source, "--output", target) == (0, "", "")
    assert target.read_bytes() == "ÜBUNG\nZWEI\n".encode()
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.gz", "out.txt", "run"]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_output_that_exists_is_kept_unless_told(
    weft: Callable[..., Any], run: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.txt"
    target.write_text("mine")
    ran = weft("translate", run, "a", "--output", target)
    assert (ran.status, ran.err) == (
        2,
        f"weft: error: {target}: exists: name another file, or give --overwrite\n",
    )
    assert target.read_text() == "mine"
    assert weft("translate", run, "a", "--output", target, "--overwrite").status == 0
    assert target.read_text() == "A\n"


def test_an_error_half_way_leaves_no_output(weft: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(b"one\n" * 5000 + b"tw\xff\n")
    target.write_text("mine")
    ran = weft("translate", run, "--input", source, "--output", target, "--overwrite")
    said = f"weft: error: {source}:5001: byte 0xff at position 3 of the line is not UTF-8: convert the file"
    assert (ran.status, ran.err.partition(",")[0]) == (2, said)
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt", "run"]


def test_an_output_may_be_a_device(weft: Callable[..., Any], run: Path) -> None:
    assert weft("translate", run, "a", "--output", "/dev/null").status == 0
    assert Path("/dev/null").is_char_device()


def test_an_output_may_be_a_link(weft: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    assert weft("translate", run, "a", "--output", tmp_path / "link.txt", "--overwrite").status == 0
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "A\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--input", "b"], "a text and --input: give one of them"),
        (["--input", "none"], "none: no such file"),
        (["a", "--output", "none/out.txt"], "none/out.txt: no folder none: make it first"),
        (["a", "--output", "."], ".: a folder, where a file is to be written"),
    ],
)
def test_what_cannot_work_is_said_before_the_model_loads(
    weft: Callable[..., Any],
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    calls: list[SimpleNamespace],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert weft("translate", run, *arguments) == (2, "", f"weft: error: {message}\n")
    assert not calls


def test_damaged_gzip_is_named(weft: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.gz"
    source.write_bytes(gzip.compress(b"text" * 1000)[:20])
    ran = weft("translate", run, "--input", source)
    assert ran.status == 2
    assert ran.err.startswith(f"weft: error: {source}: unreadable after line 0: ")


CONTENTS = ["\ufeffeins\r\nzwei\n", "\ufeff\n\ufeffeins", "eins\r\n\nzwei\r", "\x1f\n"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("content", CONTENTS)
def test_lines_are_read_as_training_reads_them(
    weft: Callable[..., Any],
    run: Path,
    tmp_path: Path,
    typed: Callable[[bytes], None],
    content: str,
    packed: bool,
) -> None:
    source = tmp_path / "in"  # whatever the name says
    source.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    lines = [line for _, line in File(str(source)).lines()]
    expected = "".join(f"{line.strip().upper()}\n" for line in lines)
    assert weft("translate", run, "--input", source) == (0, expected, "")
    typed(source.read_bytes())
    assert weft("translate", run) == (0, expected, "")


@pytest.mark.parametrize(
    "content", [b"eins\nzw\xffei\n", b"\xef\xbb\xbfeins \xe9", gzip.compress(b"a\n" * 9, mtime=0)[:-10]]
)
def test_what_cannot_be_read_is_told_as_training_tells_it(
    weft: Callable[..., Any], run: Path, tmp_path: Path, content: bytes
) -> None:
    source = tmp_path / "in"
    source.write_bytes(content)
    with pytest.raises(UserError) as caught:
        list(File(str(source)).lines())
    assert weft("translate", run, "--input", source) == (2, "", f"weft: error: {caught.value}\n")


def test_several_translations_of_a_line(
    weft: Callable[..., Any], run: Path, typed: Callable[[bytes], None]
) -> None:
    typed(b"one\n\ntwo\n1 2 3 4 5 6\n")
    out = weft("translate", run, "--nbest", "2").out
    assert [line.split("\t") for line in out.splitlines()] == [
        ["1", "-0.5000", "ONE"],
        ["1", "-1.5000", "ONE!"],
        ["2", "0.0000", ""],
        ["3", "-0.5000", "TWO"],
        ["3", "-1.5000", "TWO!"],
        ["4", "0.0000", ""],
    ]


def test_json_has_everything(weft: Callable[..., Any], run: Path, typed: Callable[[bytes], None]) -> None:
    typed("zwölf\n\n".encode())
    first, empty = map(json.loads, weft("translate", run, "--json").out.splitlines())
    nothing = {"text": "", "score": 0.0, "tokens": [], "truncated": False, "refused": False}
    assert empty == {"source": "", "translations": [nothing]}
    assert first["source"] == "zwölf"
    assert first["translations"] == [
        {
            "text": "ZWÖLF",
            "score": -0.5,
            "tokens": ["ZWÖLF"],
            "truncated": False,
            "refused": False,
        }
    ]


def test_sources_too_long_are_counted_once(
    weft: Callable[..., Any], run: Path, typed: Callable[[bytes], None]
) -> None:
    typed(b"a b c d e f\nshort\n\n1 2 3 4 5 6 7\n")
    ran = weft("translate", run)
    assert ran.out == "\nSHORT\n\n\n"
    said = "2 of 4 sources, too long for the model, are left empty (--truncate cuts them): lines 1, 4"
    assert ran.err == f"weft: warning: {said}\n"
    typed(b"a b c d e f\n")
    ran = weft("translate", run, "--truncate")
    assert ran.out == "A B C D E\n"
    assert ran.err == "weft: warning: 1 of 1 sources, too long for the model, were cut: line 1\n"


def test_one_text_too_long_is_an_error(weft: Callable[..., Any], run: Path) -> None:
    message = "the text is longer than the model takes: split it, or cut it with --truncate"
    assert weft("translate", run, "a b c d e f") == (2, "", f"weft: error: {message}\n")


def test_options_reach_the_search(weft: Callable[..., Any], run: Path, calls: list[SimpleNamespace]) -> None:
    weft(
        "translate",
        run,
        "a",
        "--from",
        "de",
        "--to",
        "en",
        "--beam",
        "4",
        "--length-penalty",
        "0.6",
        "--device",
        "cpu",
    )
    load, call = calls
    assert (load.device, load.precision) == ("cpu", "auto")
    assert vars(call) == {
        "name": "translate",
        "texts": ["a"],
        "nbest": 1,
        "truncate": False,
        "from_language": "de",
        "to_language": "en",
        "beams": 4,
        "length_penalty": 0.6,
    }
    weft("translate", run, "a", "--precision", "int8")
    assert calls[-2].precision == "int8"
    weft("translate", run, "a", "--nbest", "8")
    assert calls[-1].nbest == 8
    assert not hasattr(calls[-1], "beams")  # there are as many as that needs
    weft("translate", run, "a", "--ban", "dog", "--ban", "a cat", "--force", "house")
    assert (calls[-1].banned_words, calls[-1].forced_words) == (["dog", "a cat"], ["house"])
    weft("translate", run, "a", "--sample", "--temperature", "0.7", "--top-k", "10", "--seed", "0")
    assert vars(calls[-1]).items() >= {"sample": True, "temperature": 0.7, "top_k": 10, "seed": 0}.items()


def test_a_pipe_is_answered_as_it_speaks() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb") as stream:  # noqa: PTH123
        blocks = line_blocks(stream, name="pipe", lines=100)
        os.write(writing, b"one\ntwo\nthr")
        assert next(blocks) == ["one", "two"]
        os.write(writing, b"ee\n")
        assert next(blocks) == ["three"]
        threading.Thread(target=lambda: (os.write(writing, b"x\n" * 300_000), os.close(writing))).start()
        rest = list(blocks)
    assert sum(map(len, rest)) == 300_000
    assert max(map(len, rest)) <= 100


def test_a_file_is_read_in_whole_blocks(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"x" * 1000 + b"\n" * 1 + b"y\n" * 99_999)
    with path.open("rb") as stream:
        sizes = [len(block) for block in line_blocks(stream, name="file", lines=30_000)]
    assert sizes == [30_000, 30_000, 30_000, 10_000]
    memory = io.BufferedReader(io.BytesIO(b"a\nb"))
    assert [len(block) for block in line_blocks(memory, name="memory", lines=9)] == [2]
