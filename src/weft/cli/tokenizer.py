"""`weft tokenizer train`: a tokenizer by itself."""

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from weft.cli.lines import refuse_existing
from weft.cli.options import Json
from weft.cli.output import print_facts, print_json

__all__ = ["app"]

app = App(name="tokenizer", help="Train a tokenizer by itself; `weft train` does so on its own.")


@app.command
def train(
    files: Annotated[list[str], Parameter(consume_multiple=True)],
    /,
    *,
    kind: Literal["bpe", "unigram", "wordpiece", "words", "characters"] = "bpe",
    size: int | None = None,
    out: Path,
    overwrite: bool = False,
    as_json: Json = False,
) -> None:
    """Train a tokenizer on lines of text.

    Parameters
    ----------
    files
        Files of lines, or what `weft train` takes: 'train.{de,en}.gz', quoted, and tables.
    kind
        What the pieces are.
    size
        How many pieces; by default as many as suit the text.
    out
        The file to write, as tokenizer.json, for `weft train ... --set tokenizer.path=FILE`; texts with their ids go
        beside it, for loading to check.
    overwrite
        Replace --out if it exists.
    """
    from weft.data.sources import open_sources
    from weft.text.training import train_tokenizer

    vectors = out.with_name(f"{out.stem}_vectors{out.suffix}")
    for path in (out, vectors):
        refuse_existing(path, overwrite=overwrite)
    examples = (example for source in files for example in open_sources([source]))
    lines = [text for example in examples for text in example.fields.values()]
    tokenizer = train_tokenizer(lines, kind=kind, size=size)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        tokenizer.save(Path(folder))
        (Path(folder) / "tokenizer_vectors.json").replace(vectors)
        (Path(folder) / "tokenizer.json").replace(out)
    words = sum(len(line.split()) for line in lines)
    pieces = sum(map(len, tokenizer.encode(lines)))
    facts = {
        "tokenizer": str(out),
        "kind": kind,
        "size": tokenizer.vocab_size,
        "lines": len(lines),
        "pieces_per_word": pieces / max(words, 1),
    }
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
