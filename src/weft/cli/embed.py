"""`weft embed`: texts as vectors, in a file; or how similar a few texts are."""

import io
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from weft.cli.lines import line_blocks, open_input, open_whole, refuse_existing
from weft.cli.options import Device, Json, Precision
from weft.cli.output import print_facts, print_json, print_table
from weft.cli.problems import warn
from weft.cli.translate import lines_of
from weft.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["app"]

BLOCK = 4096  # lines that are read together: many, so that texts of equal length meet

app = App(
    name="embed",
    help_epilogue="The file is NumPy's: a row of float32 for each text or line, in the same order, blank ones included.",
)


@app.default
def embed(
    run: Path,
    /,
    *texts: str,
    input: Path | None = None,  # noqa: A002
    out: Path | None = None,
    overwrite: bool = False,
    truncate: bool = False,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Turn texts into vectors, or, of two texts or more without --out, tell how similar they are.

    Parameters
    ----------
    run
        The folder of a model that reads: any encoder will do.
    texts
        Texts, each quoted; without them, lines are read from --input or standard input.
    input
        A file of lines, UTF-8, gzip or not.
    out
        Write the vectors here, as a .npy file.
    overwrite
        Replace --out if it exists.
    truncate
        Of a text that is longer than the model takes, read the beginning alone.
    """
    from weft.config import ReaderConfig
    from weft.interchange.onnx_engine import is_onnx
    from weft.loading import describe, load

    if texts and input is not None:
        raise UserError("texts and --input: give one of them")
    if out is None and len(texts) < 2:
        raise UserError("nowhere to write to: name a file with --out, or give two texts or more to compare")
    if out is not None:
        refuse_existing(out, overwrite=overwrite)
    if not isinstance(config := describe(run), ReaderConfig):
        raise UserError(f"{run}: a model for the task {config.task}, which has no vectors for texts")
    # Vectors lie close together: their last digits count, whatever the model is for.
    elsewhere = is_onnx(run) or precision != "auto"  # what was exported has one precision
    model = load(run, device=device, precision=precision if elsewhere else "float32")
    blocks = [list(texts)] if texts else blocks_of(input)
    vectors, cut = read(model, blocks, truncate=truncate)
    if out is not None:
        save(vectors, out)
        facts = {"out": out, "texts": len(vectors), "width": vectors.shape[1], "cut": len(cut)}
        print_json(facts) if as_json else print_facts(facts)
    else:
        pairs = compare(texts, vectors)
        print_json(pairs) if as_json else print_table(pairs)
    if cut:
        which = "" if texts else f": {lines_of(cut)}"
        warn(
            f"weft: warning: {len(cut):,} of {len(vectors):,} texts, longer than the {config.maximum:,} tokens that the "
            f"model takes, were cut{which}"
        )


def blocks_of(path: Path | None) -> Iterator[list[str]]:
    """Blocks of the lines of a file, or of standard input."""
    with open_input(path) as stream:
        yield from line_blocks(stream, name=str(path or "standard input"), lines=BLOCK)


def read(model: Any, blocks: Iterable[list[str]], *, truncate: bool) -> tuple["NDArray[Any]", list[int]]:
    """A vector for each text, and the numbers, from 1, of those that were cut."""
    import numpy as np

    from weft.pipelines.embedder import too_long

    vectors, cut, done = [model.embed([])], list[int](), 1
    for block in blocks:
        if truncate:
            long = too_long(block, tokenizer=model.tokenizer, config=model.config)
            cut += [done + number for number in long]
        vectors.append(model.embed(block, truncate=truncate))
        done += len(block)
    return np.concatenate(vectors), cut


def compare(texts: tuple[str, ...], vectors: "NDArray[Any]") -> list[dict[str, object]]:
    """The cosine of each two texts' vectors."""
    import numpy as np

    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = units @ units.T
    return [
        {"text": texts[one], "other": texts[other], "similarity": float(cosines[one, other])}
        for one, other in combinations(range(len(texts)), 2)
    ]


def save(vectors: "NDArray[Any]", path: Path) -> None:
    """A .npy file, which appears when all of it is written."""
    import numpy as np

    written = io.BytesIO()  # NumPy itself writes to files alone, not to pipes
    np.save(written, vectors)
    with open_whole(path) as file:
        file.write(written.getbuffer())
