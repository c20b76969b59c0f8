"""`python -m benchmarks [NAME ...]`: run comparisons, print their table, keep them as JSON."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import cyclopts
from rich.console import Console

from benchmarks import (
    context,
    continuation,
    corpus_decoding,
    decoding,
    keras_training,
    masked_throughput,
    onnx_reading,
    reading,
    reading_quality,
    time_to_loss,
    time_to_quality,
    training_throughput,
    writing,
)
from benchmarks.report import Options, Row, print_rows, write_json
from weft.errors import UserError, suggest

SHORT = {
    "training_throughput": training_throughput.run,
    "decoding": decoding.run,
    "masked_throughput": masked_throughput.run,
    "reading": reading.run,
    "onnx_reading": onnx_reading.run,
    "writing": writing.run,
}
WITH_RUN = {
    "corpus_decoding": corpus_decoding.run,
    "context": context.run,
    "continuation": continuation.run,
}
LONG = {"time_to_quality": time_to_quality.run, "reading_quality": reading_quality.run}
WITH_PEER = {"time_to_loss": time_to_loss.run, "keras_training": keras_training.run}
WIDTH = 110  # of a table that goes to no terminal
ROOT = Path(__file__).resolve().parent.parent


def main(
    *names: str,
    long: bool = False,
    run: Path | None = None,
    minutes: float | None = None,
    json: Path | None = None,
    work: Path = ROOT / "runs" / "benchmarks",
) -> None:
    """Compare weft with its peers on this machine.

    Parameters
    ----------
    names
        The comparisons to run; all short ones where none is named.
    long
        Run those that take an hour, too.
    run
        A trained weft model: from German to English for `corpus_decoding` and `continuation`, a Transformer-XL for
        `context`.
    minutes
        What `weft train` is given in `time_to_quality` and `time_to_loss`, and each side in `continuation`.
    json
        Where to keep the results; by default a file in `work`, named by the time.
    work
        Where to keep runs, the peers' among them, which take an hour and are not repeated.
    """
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    known = SHORT | WITH_RUN | WITH_PEER | LONG
    for name in names:
        if name not in known:
            raise UserError(
                f"no benchmark is called {name}{suggest(name, known)}: known are {', '.join(known)}"
            )
    chosen = names or [*SHORT, *(["corpus_decoding"] if run else []), *(LONG if long else ())]
    data = Path(os.environ.get("WEFT_DATA", ROOT.parent / "shared" / "data"))
    options = Options(
        data=data.resolve() if data.is_dir() else None, work=work.resolve(), run=run, minutes=minutes
    )
    file = json or options.work / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"
    rows: list[Row] = []
    for name in chosen:
        console.print(f"{name} ...")
        rows += known[name](options)
        write_json(rows, file)  # each time: a later one may fail, after an hour
    print_rows(rows, console=console)
    console.print(f"kept in {file}")


if __name__ == "__main__":
    try:
        cyclopts.run(main)
    except UserError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        sys.exit(2)
