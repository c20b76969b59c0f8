"""Help is quick, mistakes get one line and status 2, and only weft's own bugs show a traceback."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from weft.cli import COMMANDS
from weft.cli.problems import as_line
from weft.config import ModelConfig
from weft.errors import UserError

PROGRAM = [sys.executable, "-c", "import sys; from weft.cli import main; sys.exit(main())"]


def test_help_is_there_in_a_blink() -> None:
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*PROGRAM, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    # The processor's time, and the best of some: a busy machine's clock says nothing about weft.
    assert any(seconds() < 0.3 for _ in range(10))


def test_no_command_loads_torch_before_it_runs() -> None:
    program = "import sys, importlib, pkgutil, weft.cli as cli\n"
    program += "names = [module.name for module in pkgutil.iter_modules(cli.__path__)]\n"
    program += "[importlib.import_module(f'weft.cli.{name}') for name in names]\n"
    program += "print(len(names)); assert 'torch' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert int(done.stdout) > 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps(weft: Callable[..., Any], command: str) -> None:
    ran = weft(command, "--help")
    assert ran.status == 0
    assert ran.out.startswith(f"Usage: weft {command} ")
    assert not ran.err


@pytest.mark.parametrize(
    "command", [*(name for name in COMMANDS if name != "tokenizer"), "train translate", "tokenizer train"]
)
def test_every_command_that_reports_speaks_json(weft: Callable[..., Any], command: str) -> None:
    assert " --json " in weft(*command.split(), "--help").out


def test_alone_it_shows_its_commands_in_the_order_of_use(weft: Callable[..., Any]) -> None:
    out = weft().out
    places = [out.index(f"│ {command} ") for command in COMMANDS]
    assert places == sorted(places)
    assert weft("--help").out == out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trane"], 'unknown command "trane" (did you mean "train"?)'),
        (["xyz"], f'unknown command "xyz" (known: {", ".join(COMMANDS)})'),
        (["train", "traslate", "--train", "x"], 'unknown command "traslate" (did you mean "translate"?)'),
        (["--hlp"], "unknown option --hlp; see weft --help"),
        (
            ["translate", "run", "--bem", "5"],
            'unknown option --bem (did you mean "--beam"?); see weft translate --help',
        ),
        (
            ["translate", "run", "--bem=5"],
            'unknown option --bem (did you mean "--beam"?); see weft translate --help',
        ),
        (["translate"], 'command "translate" parameter RUN requires an argument; see weft translate --help'),
        (
            ["translate", "run", "a", "b"],
            'unexpected argument "b": quote a text with blanks; see weft translate --help',
        ),
        (
            ["train", "translate", "--train", "d/train.de.gz", "d/train.en.gz", "--out", "run"],
            "unexpected d/train.en.gz: quote the pattern, 'd/train.{de,en}.gz', or the shell splits it",
        ),
        (
            ["train", "translate", "--train", "x", "--out", "y", "--steps", "many"],
            'invalid value for --steps: unable to convert "many" into int; see weft train translate --help',
        ),
        (["translate", "run", "\udcff"], "argument 3 is not UTF-8: '\\udcff'"),
        (["translate", "no-such-run", "a"], "no-such-run: no such folder"),
    ],
)
def test_a_mistake_gets_one_line(weft: Callable[..., Any], arguments: list[str], message: str) -> None:
    ran = weft(*arguments)
    assert (ran.status, ran.out, ran.err) == (2, "", f"weft: error: {message}\n")


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("weft.loading.load", fail)


def test_errors_over_several_lines_become_one(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    raising(monkeypatch, UserError("one\n  and two"))
    ran = weft("translate", "run", "a")
    assert (ran.status, ran.err) == (2, "weft: error: one and two\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "a/b"),
            "a/b: No such file or directory",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
    ],
)
def test_what_the_system_refuses_is_no_bug(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: OSError, message: str
) -> None:
    raising(monkeypatch, error)
    ran = weft("translate", "run", "a")
    assert (ran.status, ran.err) == (2, f"weft: error: {message}\n")


def test_a_setting_that_does_not_validate_is_no_bug(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="width") as caught:
        ModelConfig(
            vocabulary=1, width=0, encoder_layers=1, decoder_layers=1, heads=1, feed_forward=1, beams=3
        )  # type: ignore[call-arg]
    raising(monkeypatch, caught.value)
    ran = weft("translate", "run", "a")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err == (
        "weft: error: width: input should be greater than 0; beams: extra inputs are not permitted\n"
    )


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("beams, top_k: not with sample", "--beam, --top-k: not with --sample"),
        ("both from_language and to_language", "both --from and --to"),
        (
            'sample/seed.toml:3: model.max_length: not "beams"',
            'sample/seed.toml:3: model.max_length: not "beams"',
        ),
    ],
)
def test_a_setting_goes_by_the_name_of_its_option(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, message: str, said: str
) -> None:
    error = UserError(message)
    raising(monkeypatch, error)
    assert weft("translate", "run", "a").err == f"weft: error: {message}\n"  # no setting's
    with pytest.raises(ValidationError) as caught:
        ModelConfig.model_validate({})
    error.__cause__ = caught.value
    assert weft("translate", "run", "a").err == f"weft: error: {said}\n"


@pytest.mark.parametrize("error", [ValueError("wrong"), OSError("what is this"), KeyError("x")])
def test_a_bug_shows_its_traceback(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    raising(monkeypatch, error)
    ran = weft("translate", "run", "a")
    assert ran.status == 1
    assert "Traceback" in ran.err
    assert ran.err.endswith("weft: this is a bug of weft's: please report it with the lines above\n")


def test_ctrl_c_says_so(weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, KeyboardInterrupt())
    assert weft("translate", "run", "a")[::2] == (130, "weft: interrupted\n")


def test_a_reader_that_leaves_ends_it_in_silence(tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("a b c\n" * 10)
    weft = f"{sys.executable} -c 'import sys; from weft.cli import main; sys.exit(main())'"
    command = f"{weft} tokenizer train lines --out tokenizer.json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, b"", b"")


def test_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    environment = {**os.environ, "LC_ALL": "en_US.ISO-8859-1", "PYTHONIOENCODING": "latin-1"}
    command = [*PROGRAM, "tokenizer", "train", "läuft→", "--out", tmp_path / "tokenizer.json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (2, "weft: error: läuft→: No such file or directory\n".encode())


def test_a_line_has_no_line_ends() -> None:
    assert as_line("error", "a\r\nb\tc") == "weft: error: a b c"


WORDS = [
    *COMMANDS,
    *(
        "translate",
        "train",
        "huggingface",
        "bpe",
        "--",
        "-",
        "",
        "1",
        "-1",
        "nan",
        "1e999",
        "0x10",
        "run",
        "a b",
    ),
    *(
        "--train",
        "--valid",
        "--from",
        "--to",
        "--out",
        "--minutes",
        "--steps",
        "--epochs",
        "--preset",
        "--config",
    ),
    *(
        "--set",
        "--set=a.b=c",
        "--columns",
        "--device",
        "--seed",
        "--json",
        "--json=x",
        "--resume",
        "--beam",
        "--nbest",
    ),
    *(
        "--input",
        "--output",
        "--overwrite",
        "--truncate",
        "--sample",
        "--top-k",
        "--size",
        "--kind",
        "--data",
    ),
    *(
        "--help",
        "-h",
        "--version",
        "--help=1",
        "__complete",
        "--no-json",
        "--empty-train",
        "{",
        "[1",
        '{"a": 1}',
    ),
]


@pytest.mark.usefixtures("small_corpus")
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=8))
def test_garbage_gets_an_answer(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    monkeypatch.setattr("weft.cli.bench.CHECKOUT", tmp_path)
    with (tmp_path / "empty").open("w+", encoding="utf-8") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        ran = weft(*(argument.replace("\0", "") for argument in arguments))
    assert ran.status in (0, 2)
    assert "Traceback" not in ran.err
    if ran.status == 2:
        assert not ran.out
        assert ran.err.startswith("weft: error: ")
        assert ran.err.count("\n") == 1
