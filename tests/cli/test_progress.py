import io
from contextlib import suppress
from pathlib import Path

import pytest
from rich.console import Console

from weft.cli.progress import JsonReporter, PlainReporter, RichReporter, watcher


def test_plain_lines_are_spaced_and_the_last_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    now = iter(range(1, 101))
    report = PlainReporter(interval=30.0, clock=lambda: float(next(now)))
    for step in range(1, 101):
        report.step(step, 100, 2.0, 1000.0, 1e-3, 5.0)
    told = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == ["step 1 of 100", "step 31 of 100", "step 61 of 100", "step 91 of 100", "step 100 of 100"]


def test_a_terminal_gets_a_bar_with_words_above_it() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, markup=False, highlight=False)
    with RichReporter(console) as report:
        report.step(50, 200, 3.21, 12345.0, 2e-3, 65.0)
        report.validation(50, 2.5, {"bleu": 20.0}, False)
        report.message("[bold]kept as it is[/bold]")
        report.step(200, 200, 1.5, 12000.0, 0.0, 0.0)
        report.finish(None)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for words in ("50/200", "200/200", "loss 3.210", "12,345 tokens/s", "rate 0.002", "1:05 left"):
        assert words in shown
    assert "step 50: validation loss 2.500, BLEU 20.00\n" in shown.replace("\x1b[2K", "").replace("\r", "")
    assert "[bold]kept as it is[/bold]" in shown


def test_the_terminal_is_put_in_order_after_an_error() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    report = RichReporter(console)
    with suppress(KeyboardInterrupt), report:
        report.step(1, 2, 1.0, 1.0, 1.0, 1.0)
        raise KeyboardInterrupt
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().rstrip("\n").endswith("\x1b[?25h")  # the cursor is back


def test_the_watcher_suits_the_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert isinstance(watcher(as_json=True), JsonReporter)
    assert isinstance(watcher(as_json=False), PlainReporter)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert isinstance(watcher(as_json=False), RichReporter)


def test_json_says_null_for_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    JsonReporter().finish({"loss": float("nan"), "out": Path("run")})
    assert capsys.readouterr().out == '{"event": "finish", "result": {"loss": null, "out": "run"}}\n'
