"""Directions of translation, what is said of them, and parallel text to measure them on."""

from collections.abc import Sequence
from itertools import permutations
from typing import NamedTuple

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from weft.config import TranslateConfig
from weft.data.sources import Report, Sources, complete, open_sources
from weft.errors import UserError, suggest

__all__ = ["Direction", "Scores", "directions_of", "language_tag", "pick_direction", "read_parallel", "score"]


class Direction(NamedTuple):
    """From one language to another."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source}-{self.target}"


class Scores(NamedTuple):
    """sacreBLEU's BLEU and chrF2 of a list of translations, with their signatures."""

    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str


def language_tag(language: str) -> str:
    """The token that asks for a language (Johnson et al. 2017, section 3)."""
    return f"<2{language}>"


def directions_of(config: TranslateConfig, languages: Sequence[str]) -> list[Direction]:
    """The directions to train: the one that is configured, or from each language to each."""
    if config.from_language is None or config.to_language is None:
        return [Direction(*pair) for pair in permutations(languages, 2)]
    for language in (config.from_language, config.to_language):
        if language not in languages:
            raise UserError(
                f'language "{language}" is not in the data (there: {", ".join(languages)}){suggest(language, languages)}'
            )
    return [Direction(config.from_language, config.to_language)]


def pick_direction(known: Sequence[Direction], source: str | None, target: str | None) -> Direction:
    """The one known direction that fits what is asked for; a UserError where none does, or several do."""
    for given, languages in (
        (source, sorted({d.source for d in known})),
        (target, sorted({d.target for d in known})),
    ):
        if given is not None and given not in languages:
            raise UserError(
                f'language "{given}" is not known here (known: {", ".join(languages)}){suggest(given, languages)}'
            )
    fitting = [d for d in known if source in (None, d.source) and target in (None, d.target)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(map(str, known))
    if not fitting:
        raise UserError(f"the model does not translate from {source} to {target} (it does: {names})")
    raise UserError(f"the model knows several directions ({names}): say which with --from and --to")


def score(translations: Sequence[str], references: Sequence[str]) -> Scores:
    """BLEU (13a, cased) and chrF2 of a corpus (Papineni et al. 2002, Popović 2015, Post 2018)."""
    bleu, chrf = BLEU(), CHRF()
    value = bleu.corpus_score(list(translations), [list(references)])
    other = chrf.corpus_score(list(translations), [list(references)])
    return Scores(value.score, other.score, str(bleu.get_signature()), str(chrf.get_signature()))


def read_parallel(
    specs: Sequence[str], *, columns: str | Sequence[str] | None, direction: Direction
) -> tuple[dict[str, list[str]], Report]:
    """The complete lines in a direction's two languages, and what was left out; `columns` may be one text, "de,en"."""
    if isinstance(columns, str):
        columns = columns.split(",")
    sources = open_parallel(specs, columns, direction)
    check_columns(columns, [sources])
    report = Report()
    texts: dict[str, list[str]] = {language: [] for language in direction}
    for example in complete(sources, report=report):
        for language, text in example.fields.items():
            texts[language].append(text)
    if not report.kept:
        raise UserError(f"{', '.join(specs)}: not a single complete line")
    return texts, report


def open_parallel(specs: Sequence[str], columns: Sequence[str] | None, languages: Sequence[str]) -> Sources:
    return open_sources(specs, columns=columns, fields=languages or None, parallel=True)


def check_columns(columns: Sequence[str] | None, opened: Sequence[Sources]) -> None:
    """Raise UserError where columns are named and no source has any that may be named."""
    sources = [source for each in opened for source in each.sources]
    if columns is not None and not any(source.has_cells for source in sources):
        names = ", ".join(source.name for source in sources)
        raise UserError(f"--columns names the columns of a TSV or CSV, which {names} is not")
