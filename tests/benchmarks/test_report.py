import json
from pathlib import Path

import pytest
from rich.console import Console

pytest.importorskip("transformers")
pytest.importorskip("ctranslate2")

from benchmarks.__main__ import main
from benchmarks.report import Row, print_rows, write_json

from weft.errors import UserError

FASTER = Row(
    benchmark="decoding",
    what="greedy",
    work="ten tokens",
    unit="tokens/s",
    weft=30.0,
    weft_settings="defaults",
    peer="Peer",
    peer_value=20.0,
    peer_settings="int8 [all cores]",
)
SOONER = Row(**FASTER.__dict__ | {"unit": "s", "weft": 5.0, "lower_is_better": True})


def test_a_ratio_above_one_means_that_weft_is_ahead() -> None:
    assert FASTER.ratio == 1.5
    assert SOONER.ratio == 4.0


def test_the_table_shows_values_ratios_and_settings(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([FASTER, SOONER], console=Console(width=160))
    shown = capsys.readouterr().out
    for part in (
        "decoding: greedy",
        "30.0",
        "20.0",
        "1.50 ×",
        "4.00 ×",
        "int8 [all cores]",
        "ten tokens",
        "torch",
    ):
        assert part in shown


def test_rows_are_kept_with_versions_and_machine(tmp_path: Path) -> None:
    file = tmp_path / "new" / "rows.json"
    write_json([FASTER], file)
    kept = json.loads(file.read_text())
    assert kept["rows"] == [FASTER.__dict__ | {"ratio": 1.5}]
    assert {"weft", "torch", "transformers", "ctranslate2", "python"} <= kept["versions"].keys()
    assert "cores" in kept["machine"]
    assert "T" in kept["date"]


def test_an_unknown_benchmark_is_named_with_its_nearest() -> None:
    with pytest.raises(UserError, match=r"decodin.*did you mean .decoding"):
        main("decodin")


def test_a_benchmark_says_what_it_needs() -> None:
    with pytest.raises(UserError, match="--run RUN"):
        main("corpus_decoding")
