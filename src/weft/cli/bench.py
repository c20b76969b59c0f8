"""`weft bench`: weft and its peers side by side, on this machine."""

import subprocess
import sys
import tempfile
from pathlib import Path

from cyclopts import App

from weft.cli.options import Json
from weft.cli.output import say
from weft.errors import UserError

__all__ = ["app"]

# The comparisons need the peers, and stay out of the package that users install.
CHECKOUT = Path(__file__).resolve().parents[3]

app = App(
    name="bench",
    help_epilogue="Needs a source checkout with the peers installed: `make bench` sees to both. The results are kept as "
    "JSON, too.",
)


@app.default
def bench(
    *names: str,
    long: bool = False,
    run: Path | None = None,
    minutes: float | None = None,
    as_json: Json = False,
) -> int:
    """Compare weft with its peers, run beside it on this machine.

    Parameters
    ----------
    names
        The comparisons to run; all short ones where none is named.
    long
        Run those that take an hour, too.
    run
        A trained weft model from German to English, for those that need one.
    minutes
        How long weft trains in those that train.
    """
    if not (CHECKOUT / "benchmarks" / "__main__.py").is_file():
        raise UserError("the benchmarks are in the source checkout alone: get it, and run `make bench` there")
    command = [sys.executable, "-m", "benchmarks", *names]
    command += ["--long"] if long else []
    command += ["--run", str(run.resolve())] if run else []
    command += ["--minutes", str(minutes)] if minutes is not None else []
    if not as_json:
        return subprocess.run(command, cwd=CHECKOUT, check=False).returncode
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        # What they say on their way goes where progress belongs, so that standard output is JSON alone.
        status = subprocess.run(
            [*command, "--json", str(file)], cwd=CHECKOUT, check=False, stdout=sys.stderr
        ).returncode
        if file.is_file():
            say(file.read_text(encoding="utf-8").strip())
    return status
