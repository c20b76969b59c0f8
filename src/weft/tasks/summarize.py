"""Summarization: an encoder-decoder reads a long text and writes a short one."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from weft.config import ModelConfig, RunConfig, SummarizerConfig, SummarizeRun
from weft.data.files import at_home
from weft.data.sources import Report, Sources, complete
from weft.data.store import TokenStore
from weft.errors import UserError
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.tasks.directions import Direction
from weft.tasks.kept import keep_complete
from weft.tasks.reading import hold_out
from weft.tasks.summaries import first_of, need_rouge, open_summarized, score, summarized_in
from weft.tasks.task import Problem
from weft.tasks.translate import PairTable, Translate
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

__all__ = ["SEARCH", "Summarize", "SummarizeProblem"]

# How a summary is searched for: what it has said in three words, it does not say again (Paulus et al. 2018, section 2.5).
SEARCH = {"beams": 4, "no_repeat_ngram": 3}
VALIDATION_TOKENS = 4096
ROOM = 10


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
        examples = complete(first_of(self.train, self.run.summarize), report=Report())
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
        known, wanted = (
            summarized_in(self.valid or self.train, self.run.summarize, report=Report()),
            set(held),
        )
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
            examples=first_of(sources, self.run.summarize),
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
