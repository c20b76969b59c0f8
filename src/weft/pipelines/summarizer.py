"""A trained summarizer in use: long texts in, short ones out."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np

from weft import inspect
from weft.config import SummarizeConfig, SummarizerConfig
from weft.data.sources import Report
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.network import Seq2SeqNetwork
from weft.overrides import validate
from weft.pipelines.texts import checked_texts, kind_of
from weft.tasks.summaries import need_rouge, read_summarized, score
from weft.text.tokenizer import Tokenizer

__all__ = ["Summarizer", "SummarizerEvaluation", "Summary"]


class Summary(NamedTuple):
    """A summary, its score (see SearchConfig; the mean over its parts), and in how many parts the text was read."""

    text: str
    score: float
    parts: int


class SummarizerEvaluation(NamedTuple):
    """ROUGE's F1 from 0 to 100 over so many texts, of which some were read in `several_parts`.

    `length` is a summary's mean number of words, `reference_length` that of the first references.
    """

    rouge1: float
    rouge2: float
    rougeL: float  # noqa: N815 - its name
    texts: int
    several_parts: int
    length: float
    reference_length: float
    left_out: tuple[str, ...]
    texts_per_second: float
    precision: str


class Summarizer:
    """A model and its tokenizer."""

    def __init__(
        self,
        config: SummarizerConfig,
        *,
        network: Seq2SeqNetwork,
        tokenizer: Tokenizer,
        precision: str = "float32",
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision

    @overload
    def summarize(self, text: str, **options: Any) -> Summary: ...
    @overload
    def summarize(self, text: Sequence[str], **options: Any) -> list[Summary]: ...
    def summarize(
        self, text: str | Sequence[str], *, whole: bool = False, **search: Any
    ) -> Summary | list[Summary]:
        """Summarize a text or a list, whose order is kept.

        A text that is longer than those that the model learned from is read in parts, each of which has its own summary;
        if it is to be read as a `whole`, it is refused. `search` takes fields of SearchConfig: a summary is at least
        `min_length` tokens long, and at most `max_length`. Raises UserError for a text that is blank.
        """
        texts = checked_texts(text)
        for number, each in enumerate(texts):
            if not each.strip():
                raise UserError(f"text {number}, counted from 0, is blank: there is nothing to summarize")
        answers = self._summaries(texts, whole=whole, search=search)
        return answers[0] if isinstance(text, str) else answers

    def inspect(self, text: str, *, out: Path | str, beams: int | None = None) -> Summary:
        """Summarize a text, which is read as a whole, and write a page that shows all attention behind it."""
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        if not text.strip():
            raise UserError("there is no text to summarize, and nothing to look into")
        self.check([text])
        search = self._search({} if beams is None else {"beams": beams})
        (ids,) = self.tokenizer.encode([text])
        source = [*ids, self.tokenizer.eos_id]
        ((hypothesis, *_),) = self.network.search([source], search)
        answer = self._joined([hypothesis])
        special = self.config.model.special
        target = [*hypothesis.tokens, special.end]
        (start,) = self.tokenizer.tokens([special.start])
        groups = inspect.translation_groups(
            inspect.attention(self.network.model, source, target_ids=target),
            start=start,
            source_tokens=self.tokenizer.tokens(source),
            target_tokens=self.tokenizer.tokens(target),
        )
        texts = [inspect.Text("Text", text), inspect.Text("Summary", answer.text)]
        inspect.write_page(
            Path(out), groups, title="Summary", texts=texts, facts={"score": f"{answer.score:.3f}"}
        )
        return answer

    def evaluate(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        source: str | None = None,
        target: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        beams: int | None = None,
    ) -> SummarizerEvaluation:
        """ROUGE on texts with one summary or several.

        They stand where they stood in training, or in the columns `source` and `target`.
        """
        given = {"source": source, "target": None if target is None else list(target)}
        fields = self.config.source.model_dump() | {k: v for k, v in given.items() if v is not None}
        specs = [str(data)] if isinstance(data, str | Path) else [str(each) for each in data]
        need_rouge()
        report = Report()
        known = read_summarized(
            specs,
            validate(SummarizeConfig, fields),
            columns=columns or self.config.columns,
            report=report,
        )
        begin = time.perf_counter()
        search = {} if beams is None else {"beams": beams}
        found = self._summaries([each.text for each in known], whole=False, search=search)
        seconds = time.perf_counter() - begin
        return SummarizerEvaluation(
            *score([each.text for each in found], [each.summaries for each in known]),
            texts=len(known),
            several_parts=sum(each.parts > 1 for each in found),
            length=float(np.mean([len(each.text.split()) for each in found])),
            reference_length=float(np.mean([len(each.summaries[0].split()) for each in known])),
            left_out=tuple(report.lines()[1:]),
            texts_per_second=len(known) / seconds,
            precision=self.precision,
        )

    def _summaries(self, texts: Sequence[str], *, whole: bool, search: dict[str, Any]) -> list[Summary]:
        room = self.config.length - 1  # for the end token
        if whole:
            self.check(texts)
        parts = [self._parts(ids, room=room) for ids in self.tokenizer.encode(texts)]
        sources = [[*part, self.tokenizer.eos_id] for each in parts for part in each]
        found = iter(self.network.search(sources, self._search(search)))
        return [self._joined([next(found)[0] for _ in each]) for each in parts]

    def check(self, texts: Sequence[str]) -> None:
        """Raise UserError for a text that is longer than those that the model learned from."""
        room = self.config.length - 1
        for number, ids in enumerate(self.tokenizer.encode(texts)):
            if len(ids) > room:
                raise UserError(
                    f"text {number}, counted from 0, has {len(ids):,} tokens, more than the {room:,} that the model reads "
                    "at once"
                )

    def _parts(self, ids: list[int], *, room: int) -> list[list[int]]:
        """As few parts as will do, all about as long."""
        return [part.tolist() for part in np.array_split(np.array(ids), max(1, -(-len(ids) // room)))]

    def _search(self, search: dict[str, Any]) -> SearchConfig:
        options = {**self.config.generation, **search}
        if search.get("sample"):
            for name in ("beams", "groups", "diversity"):
                options.pop(name, None)
        return validate(SearchConfig, options)

    def _joined(self, parts: Sequence[Hypothesis]) -> Summary:
        texts = self.tokenizer.decode([part.tokens for part in parts])
        return Summary(" ".join(texts), float(np.mean([part.score for part in parts])), len(parts))
