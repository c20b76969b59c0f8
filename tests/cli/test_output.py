import io

import pytest
from rich.console import Console

from weft.cli.output import print_facts, print_table


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    console = Console(file=shown, width=60, markup=False, highlight=False)
    monkeypatch.setattr("weft.cli.output.screen", lambda: console)
    return shown


def test_a_terminal_gets_tables(terminal: io.StringIO) -> None:
    print_facts({"steps": 1234, "loss": None, "text": "[red]"}, title="A run")
    print_table([{"direction": "de-en", "BLEU": 38.512}], title="Scores")
    shown = terminal.getvalue()
    for words in ("A run", "│ steps │ 1,234 │", "│ text  │ [red] │", "Scores", "│ de-en     │ 38.51 │"):
        assert words in shown
    assert "loss" not in shown


def test_a_pipe_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"steps": 1234, "loss": None}, title="A run")
    print_table([{"from_to": "de-en", "BLEU": 38.512}, {"from_to": "en-de", "BLEU": 0.0}])
    assert capsys.readouterr().out == "A run\nsteps: 1,234\nfrom to\tBLEU\nde-en\t38.51\nen-de\t0.00\n"
