"""What a run keeps of its text: its tokens, made once, or a mark that tells it from another text."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from weft.config import DataConfig
from weft.data.sources import Example, Report, Sources, complete
from weft.data.store import TokenStore, build_store, fingerprint, open_store
from weft.errors import UserError
from weft.text.tokenizer import Tokenizer

__all__ = ["hold_to_text", "keep_complete", "keep_tokens"]

MARK = "text.sha256"


def keep_tokens(
    folder: Path,
    read: Callable[[Report], Iterable[Example]],
    *,
    fields: Sequence[str],
    tokenizer: Tokenizer,
    mark: str,
    names: Sequence[str],
    begun: bool,
    encode: Callable[[Sequence[str]], list[list[int]]] | None = None,
) -> tuple[TokenStore, Report | None]:
    """The examples as tokens, in a store at `folder` that is used again where `mark` says that nothing has changed.

    With it comes the report of what was read, None where a store is used again. Once a run has `begun`, another text than
    the one it began with is refused.
    """
    if (store := open_store(folder, mark)) is not None:
        return store, None
    before = open_store(folder) if begun else None
    report = Report()
    store = build_store(
        folder if before is None else folder.with_name(f"{folder.name}-again"),
        read(report),
        fields=fields,
        encode=encode or tokenizer.encode,
        vocab_size=tokenizer.vocab_size,
        fingerprint=mark,
        report=report,
    )
    if before is None:
        return store, report
    # The files were written or moved since: they are the same as long as they say the same.
    same = store.equals(before)
    shutil.rmtree(store.folder)
    if not same:
        raise _another_text(names)
    return before, None


def keep_complete(
    folder: Path,
    sources: Sources,
    tokenizer: Tokenizer,
    *,
    begun: bool,
    tell: Callable[[str], None],
    examples: Iterable[Example] | None = None,
    fields: Sequence[str] | None = None,
) -> tuple[TokenStore, bool]:
    """The examples of some sources that have all `fields` as tokens, and whether they were read anew, which is told.

    `examples` are what is made of the sources, by default themselves.
    """
    made: Iterable[Example] = sources if examples is None else examples
    store, report = keep_tokens(
        folder,
        lambda report: complete(made, report=report),
        fields=fields or sources.fields,
        tokenizer=tokenizer,
        mark=fingerprint(sources.stamp, tokenizer.fingerprint),
        names=[source.name for source in sources.sources],
        begun=begun,
    )
    for line in report.lines() if report is not None else ():
        tell(line)
    return store, report is not None


def hold_to_text(
    folder: Path, examples: Iterable[Sequence[object]], *, data: DataConfig, begun: bool
) -> None:
    """Remember the examples that a run begins with; a UserError where it has `begun` with others.

    The last thing in each is its place, which does not count: files may be moved.
    """
    text = hashlib.sha256()
    for *example, _ in examples:
        text.update(json.dumps(example).encode())
    path = folder / MARK
    if not begun:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text.hexdigest(), encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text.hexdigest():
        raise _another_text([*data.train, *data.valid])


def _another_text(names: Sequence[str]) -> UserError:
    return UserError(
        f"{', '.join(names)}: not the text that this run began with: put that back, or begin a new run with this one"
    )
