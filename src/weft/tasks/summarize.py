"""Summarization: an encoder-decoder reads a long text and writes a short one."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from weft.config import ModelConfig, RunConfig, SummarizeConfig, SummarizerConfig, SummarizeRun
from weft.data.files import at_home
from weft.data.formats import Several
from weft.data.sources import Example, Report, Sources, complete, open_sources
from weft.data.store import TokenStore
from weft.errors import UserError
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.tasks.directions import Direction
from weft.tasks.kept import keep_complete
from weft.tasks.reading import hold_out
from weft.tasks.task import Problem
from weft.tasks.translate import PairTable, Translate
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

__all__ = [
    "SEARCH",
    "Scores",
    "Summarize",
    "SummarizeProblem",
    "Summarized",
    "need_rouge",
    "read_summarized",
    "score",
]

# How a summary is searched for: what it has said in three words, it does not say again (Paulus et al. 2018, section 2.5).
SEARCH = {"beams": 4, "no_repeat_ngram": 3}
VALIDATION_TOKENS = 4096
ROOM = 10


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
    found = list(_summarized(open_summarized(specs, config, columns), config, report=report))
    if not found:
        raise UserError(f"{', '.join(specs)}: not a single text with a summary")
    return found


def _summarized(sources: Sources, config: SummarizeConfig, *, report: Report) -> Iterator[Summarized]:
    for example in sources:
        text, summaries = example.fields[config.source], _summaries(example, config)
        if text.strip() and summaries:
            report.kept += 1
            yield Summarized(text, summaries)
        else:
            why = "without a summary" if text.strip() else "without a text"
            report.drop(why, path=example.path, line=example.line)


def _first(sources: Sources, config: SummarizeConfig) -> Iterator[Example]:
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


class SummarizeProblem(Problem):
    """A summarizer's training, from texts with summaries."""

    config = SummarizeRun
    table = "summarize"
    architecture = "seq2seq"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, SummarizeRun)
        self.run = run
        need_rouge()
        self.fields = (run.summarize.source, run.summarize.target[0])
        self.train = open_summarized(run.data.train, run.summarize, run.data.columns)
        self.valid = (
            open_summarized(run.data.valid, run.summarize, run.data.columns) if run.data.valid else None
        )

    @property
    def about(self) -> str:
        return ", ".join(self.run.data.train)

    def make_tokenizer(self) -> Tokenizer:
        config = self.run.tokenizer
        if config.path is not None:
            return Tokenizer.adopt(at_home(config.path), special=())
        examples = complete(_first(self.train, self.run.summarize), report=Report())
        texts = [text for example in examples for text in example.fields.values()]
        if not texts:
            raise UserError(f"{self.about}: not a single text with a summary to learn from")
        return train_tokenizer(texts, kind=config.kind, size=config.size)

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "Summarize":
        store = self._store(folder / "train", self.train, tokenizer, begun=begun, tell=tell)
        if self.valid is None:
            lines, held = hold_out(range(len(store)), share=self.run.hold_out, seed=self.run.train.seed)
            train, valid = self._table(store, lines), self._table(store, held)
        else:
            other = self._store(folder / "valid", self.valid, tokenizer, begun=begun, tell=tell)
            train, valid, held = self._table(store), self._table(other), list(range(len(other)))
        if not len(train.lengths):
            alone = " beside what is held out" if self.valid is None and len(store) else ""
            raise UserError(f"{self.about}: not a single text with a summary to learn from{alone}")
        known, wanted = _summarized(self.valid or self.train, self.run.summarize, report=Report()), set(held)
        return Summarize(
            train,
            valid,
            references={line: each.summaries for line, each in enumerate(known) if line in wanted},
            given=self.valid is not None,
            tokenizer=tokenizer,
            special=self.run.model.special,
            smoothing=self.run.train.smoothing,
        )

    def _store(
        self,
        folder: Path,
        sources: Sources,
        tokenizer: Tokenizer,
        *,
        begun: bool,
        tell: Callable[[str], None],
    ) -> TokenStore:
        store, _ = keep_complete(
            folder,
            sources,
            tokenizer,
            begun=begun,
            tell=tell,
            examples=_first(sources, self.run.summarize),
            fields=self.fields,
        )
        return store

    def _table(self, store: TokenStore, lines: Sequence[int] | None = None) -> PairTable:
        longest = min(self.run.data.max_tokens, self.run.model.max_length)
        return PairTable(store, [Direction(*self.fields)], tags={}, max_tokens=longest, lines=lines)

    def describe(self, model: ModelConfig) -> SummarizerConfig:
        return SummarizerConfig(
            model=model,
            source=self.run.summarize,
            columns=self.run.data.columns,
            length=min(self.run.data.max_tokens, model.max_length),
            generation=SEARCH,
        )

    def make_model(self, model: ModelConfig) -> Seq2Seq:
        return Seq2Seq(model)


class Summarize(Translate):
    """Label-smoothed cross-entropy on texts and their summaries, scored by the ROUGE of greedy ones."""

    def __init__(
        self,
        train: PairTable,
        valid: PairTable,
        *,
        references: Mapping[int, Sequence[str]],
        given: bool,
        tokenizer: Tokenizer,
        special: Any,
        smoothing: float,
    ) -> None:
        super().__init__(train, valid, tokenizer=tokenizer, special=special, smoothing=smoothing)
        self.references = references
        self.given = given

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "texts": len(self.train.lengths),
            "held out": f"{self.held_out:,} texts{'' if self.given else ' of the training texts'}",
            "tokens": int(self.lengths.sum()),
        }

    def scores(self, model: Seq2Seq, table: PairTable, rows: NDArray[Any]) -> dict[str, float]:
        sources = [table.source(row, end=self.special.end).tolist() for row in rows]
        longest = min(int(table.lengths[rows, 1].max()) + ROOM, model.config.max_length)
        search = SearchConfig(max_length=longest, no_repeat_ngram=SEARCH["no_repeat_ngram"])
        found = generate(model, sources, search, batch_tokens=VALIDATION_TOKENS)
        texts = self.tokenizer.decode([hypotheses[0].tokens for hypotheses in found])
        return score(texts, [self.references[table.numbers[row]] for row in rows])._asdict()
