"""Texts with their summaries, and how good others are."""

import json
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import NamedTuple

from weft.config import SummarizeConfig
from weft.data.formats import Several
from weft.data.sources import Example, Report, Sources, open_sources
from weft.errors import UserError

__all__ = ["Scores", "Summarized", "first_of", "need_rouge", "read_summarized", "score", "summarized_in"]


class Summarized(NamedTuple):
    """A text, and one summary of it or several."""

    text: str
    summaries: tuple[str, ...]


class Scores(NamedTuple):
    """ROUGE's F1 (Lin 2004), from 0 to 100: shared words, shared pairs of words, and the longest common subsequence.

    Of several references the one that fits best counts, for each figure by itself.
    """

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815 - its name


def score(found: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """The mean over all texts, words reduced to their stems, as the `rouge-score` library counts it."""
    need_rouge()
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(Scores._fields), use_stemmer=True)
    scores = [scorer.score_multi(known, text) for text, known in zip(found, references, strict=True)]
    return Scores(
        *(100 * sum(each[name].fmeasure for each in scores) / len(scores) for name in Scores._fields)
    )


def need_rouge() -> None:
    """Raise UserError where what counts ROUGE is not installed."""
    if find_spec("rouge_score") is None:
        raise UserError("summaries are scored by the rouge-score library: pip install rouge-score")


def open_summarized(specs: Sequence[str], config: SummarizeConfig, columns: Sequence[str] | None) -> Sources:
    """Tables with a column of texts and one or several of summaries; a cell may hold a list of summaries."""
    targets = [Several(name) for name in config.target]
    return open_sources(specs, columns=columns, fields=[config.source, *targets])


def read_summarized(
    specs: Sequence[str], config: SummarizeConfig, *, columns: Sequence[str] | None, report: Report
) -> list[Summarized]:
    """All texts with all their summaries; those without either are left out, and counted in `report`."""
    found = list(summarized_in(open_summarized(specs, config, columns), config, report=report))
    if not found:
        raise UserError(f"{', '.join(specs)}: not a single text with a summary")
    return found


def summarized_in(sources: Sources, config: SummarizeConfig, *, report: Report) -> Iterator[Summarized]:
    """Each text with all its summaries, one after the other."""
    for example in sources:
        text, summaries = example.fields[config.source], _summaries(example, config)
        if text.strip() and summaries:
            report.kept += 1
            yield Summarized(text, summaries)
        else:
            why = "without a summary" if text.strip() else "without a text"
            report.drop(why, path=example.path, line=example.line)


def first_of(sources: Sources, config: SummarizeConfig) -> Iterator[Example]:
    """The examples, whose first column of summaries holds the first of them alone, which is the one that is learned."""
    for example in sources:
        summary = next(iter(_summaries(example, config)), "")
        text = example.fields[config.source]
        yield example._replace(fields={config.source: text, config.target[0]: summary})


def _summaries(example: Example, config: SummarizeConfig) -> tuple[str, ...]:
    found: list[str] = []
    for cell in (example.fields.get(name, "") for name in config.target):
        try:
            listed = json.loads(cell) if cell.startswith("[") else None
        except ValueError:
            listed = None
        found += map(str, listed) if isinstance(listed, list) else [cell]
    return tuple(each for each in found if each.strip())
