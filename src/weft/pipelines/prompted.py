"""What follows prompts, whatever writes it: what is asked for, and how well a model predicts texts."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import GeneratorConfig
from weft.data.packing import FIELD
from weft.data.sources import Report, Sources, complete, open_sources
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.overrides import validate
from weft.pipelines.stream import CONTEXT, Rule, Writer, cut, stop_at
from weft.pipelines.texts import checked_texts
from weft.tasks.plain_text import encode_texts, lines_of, loses_line_ends, open_texts
from weft.text.tokenizer import Tokenizer

__all__ = ["Generated", "GeneratorEvaluation", "Prompted", "Scored", "exp"]

MOST = 1_000_000  # tokens that are written in one go
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed")

GoOn = Callable[
    [list[list[int]], SearchConfig, Sequence[str], Callable[[int], None] | None], list[list[Hypothesis]]
]
"""What follows prompts, by a search that ends at some strings; each token of a single one is told as it is chosen."""


class Generated(NamedTuple):
    """What follows a prompt: the text without it, its pieces, how likely the model found each, and why it ends.

    `ended` by the end token, "stop" at one of the stop strings, which is cut off, or at the "length" that was asked for.
    """

    text: str
    tokens: list[str]
    logprobs: list[float]
    ended: str


class Scored(NamedTuple):
    """A text's pieces, and the natural logarithm of each one's probability; None for one with nothing before it."""

    tokens: list[str]
    logprobs: list[float | None]


class GeneratorEvaluation(NamedTuple):
    """How well a language model predicts a text: nats a token, and what comes of them.

    `bits_per_byte` compares models whatever their tokenizers; `word_perplexity` is by what white space separates, with a
    line's end as a word, as WikiText has it. Each token but a row's first ones is predicted from `context` tokens or more.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    word_perplexity: float
    tokens: int
    bytes: int
    words: int
    context: int
    left_out: tuple[str, ...]
    tokens_per_second: float
    precision: str


class Prompted(ABC):
    """A tokenizer, and what is asked of whatever goes on with prompts."""

    def __init__(self, config: GeneratorConfig, *, tokenizer: Tokenizer, precision: str) -> None:
        self.config = config
        self.tokenizer = tokenizer
        self.precision = precision

    @property
    def _recurs(self) -> bool:
        return self.config.model.recurrence is not None

    @abstractmethod
    def _losses(
        self, length: int, *, stride: int | None, memory: int | None
    ) -> Callable[[Sequence[int]], NDArray[np.float32]]:
        """What predicts a text's tokens: nats for each but the first."""

    def _write(
        self,
        prompt: str | Sequence[str],
        go_on: GoOn,
        *,
        tokens: int | None,
        stop: str | Sequence[str],
        stream: Callable[[str], None] | None,
        nbest: int | None,
        options: dict[str, Any],
    ) -> Any:
        """What follows a prompt, or each of a list: see `Generator.generate`."""
        texts = checked_texts(prompt)
        if stream is not None and (len(texts) != 1 or (nbest or 1) > 1 or options.get("beams", 1) != 1):
            raise UserError("stream: one prompt and one text at a time, without beams")
        if tokens is not None and not 0 < tokens <= MOST:
            raise UserError(f"{tokens:,} tokens: from 1 to {MOST:,} can be written")
        drawn = [name for name in SAMPLING if options.get(name) is not None]
        if options.get("contrast") and drawn == ["top_k"]:
            drawn = []  # so many candidates are weighed, and none is drawn
        if drawn and options.get("beams", 1) != 1:
            raise UserError(
                f"beams and {drawn[0]}: a text is either searched for or drawn, leave out one of the two"
            )
        asked = {"sample": True, **options} if drawn else dict(options)
        said = {"nbest": nbest, "max_length": tokens}
        asked |= {name: value for name, value in said.items() if value is not None}
        # What the model wants set is for a way of writing that it names: another that is asked for begins afresh.
        wanted = {} if drawn or options else self.config.generation
        search = validate(SearchConfig, {**wanted, **asked})
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(stops):
            raise UserError("stop: an empty text would end everything at once")
        prompts = self._read(texts)
        at_once = stream is not None and search.beams > 1  # as the model's own settings may ask for
        writer = None
        if stream is not None and not at_once:
            writer = Writer(
                lambda ids: self.tokenizer.decode([ids])[0], stream, prompt=prompts[0], stops=stops
            )
        found = go_on(prompts, search, stops, None if writer is None else writer.add)
        if writer is not None:
            writer.finish()
        answers = [
            [self._said(each, after=self._after(prompt), stops=stops) for each in hypotheses]
            for prompt, hypotheses in zip(prompts, found, strict=True)
        ]
        if stream is not None and at_once:
            stream(answers[0][0].text)
        if nbest is None:
            first = [each[0] for each in answers]
            return first[0] if isinstance(prompt, str) else first
        return answers[0] if isinstance(prompt, str) else answers

    def score(self, text: str | Sequence[str]) -> Any:
        """How likely the model finds a text, or each of a list: the logarithm of each token's probability after those before
        it. The first token's is None where nothing stands before it.
        """
        texts = checked_texts(text)
        found = [self._scored(each) for each in texts]
        return found[0] if isinstance(text, str) else found

    def _scored(self, text: str) -> Scored:
        ids = self._fitting(text)
        first = len(self.config.prefix)
        recurs = self._recurs
        length = (self.config.length if recurs else None) or self.config.model.max_length
        losses_of = self._losses(length, stride=None, memory=None)
        values = (-losses_of(ids)).tolist()
        return Scored(self.tokenizer.tokens(ids[first:]), [None, *values][first:])

    def _fitting(self, text: str) -> list[int]:
        """The ids of a text, which are as many as the model takes at once at the most."""
        (ids,) = self._read([text])
        room = self.config.model.max_length
        if not self._recurs and len(ids) > room:
            raise UserError(
                f"a text of {len(ids):,} tokens is more than the {room:,} the model takes at once"
            )
        return ids

    def evaluate(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        columns: Sequence[str] | None = None,
        text_column: str | None = None,
        prompt_column: str | None = None,
        completion_column: str | None = None,
        stride: int | None = None,
        memory: int | None = None,
    ) -> GeneratorEvaluation:
        """How well the model predicts texts, in rows of the length that it learned from.

        Each row has its own context alone; with a `stride`, the rows overlap, each begins so many tokens after the one
        before, and each token has as much context as that leaves. A Transformer-XL remembers the rows before: as many
        tokens of them as it did in training, or as `memory` says.

        A table's texts stand where they stood in training, or in `text_column`. Of prompts and completions, likewise or by
        both their columns, each completion and its end are predicted after their prompt, and count alone; pairs may be as
        long as the model takes.
        """
        specs = [str(data)] if isinstance(data, str | Path) else [str(each) for each in data]
        length = self.config.length or self.config.model.max_length
        report = Report()
        named = (prompt_column, completion_column)
        if text_column is None and not any(named):
            named = (self.config.prompt_column, self.config.completion_column)
        if any(named):
            pairs = self._pairs(specs, *named, columns=columns, given=(text_column, stride, memory))
            lines, texts = self._completions(pairs, report=report)
            length = self.config.model.max_length
        else:
            column = text_column or self.config.text_column
            opened = open_texts(specs, columns=columns, text_column=column)
            lines = [each.fields[FIELD] for each in lines_of(opened)]
            texts = [(ids, 0) for ids in self._texts(lines) if len(ids) > 1]
        losses_of = self._losses(length, stride=stride, memory=memory)
        recurrence = self.config.model.recurrence
        sees = max(recurrence.memory, recurrence.pointer) if recurrence else length - (stride or length)
        begin, total, count = time.monotonic(), 0.0, 0
        for ids, known in texts:
            losses = losses_of(ids)[known:]
            total, count = total + float(losses.sum(dtype=np.float64)), count + len(losses)
        size = sum(len(line.encode()) for line in lines)
        if not count or not size:
            raise UserError(
                f"{', '.join(specs)}: not two tokens, of which one could be predicted from the other"
            )
        words = sum(len(line.split()) + line.count("\n") for line in lines)
        return GeneratorEvaluation(
            loss=total / count,
            perplexity=exp(total / count),
            bits_per_byte=total / math.log(2) / size,
            word_perplexity=exp(total / max(1, words)),
            tokens=count,
            bytes=size,
            words=words,
            context=min(memory or sees, max(len(ids) for ids, _ in texts) - 1),
            left_out=tuple(report.lines()[1:]),
            tokens_per_second=count / (time.monotonic() - begin),
            precision=self.precision,
        )

    def _pairs(
        self,
        specs: Sequence[str],
        prompts: str | None,
        completions: str | None,
        *,
        columns: Sequence[str] | None,
        given: tuple[object, ...],
    ) -> Sources:
        """Tables with prompts and completions. Raises UserError for a model, or options, that these have no use for."""
        if prompts is None or completions is None or prompts == completions:
            raise UserError("prompts and completions stand in two columns: name both, or neither")
        if self._recurs:
            raise UserError("prompts and completions are not for a Transformer-XL, which reads one stream")
        if any(option is not None for option in given):
            raise UserError("prompts and completions are measured without text_column, stride and memory")
        return open_sources(specs, columns=columns, fields=(prompts, completions))

    def _completions(
        self, pairs: Sources, *, report: Report
    ) -> tuple[list[str], list[tuple[list[int], int]]]:
        """The completions; and the tokens of each with its prompt and its end, and how many of those that something
        stands before are the prompt's. What the model cannot take is left out, and reported."""
        prompts, completions = pairs.fields
        prefix, lines, texts = list(self.config.prefix), list[str](), list[tuple[list[int], int]]()
        for example in complete(pairs, report=report):
            prompt, completion = self.tokenizer.encode([example.fields[prompts], example.fields[completions]])
            before = [*prefix, *prompt]
            ids = [*before, *completion, self.tokenizer.eos_id]
            if not before or len(ids) - 1 > self.config.model.max_length:
                why = "longer than the model takes" if before else "without a token before the completion"
                report.drop(why, path=example.path, line=example.line)
                continue
            lines.append(example.fields[completions])
            texts.append((ids, len(before) - 1))
        return lines, texts

    def _texts(self, lines: Sequence[str]) -> list[list[int]]:
        """The ids of the one stream of all lines; or of each text by itself, where the model learned them so."""
        prefix = list(self.config.prefix)
        encoded = encode_texts(self.tokenizer, lines, between=[] if prefix else [self.tokenizer.eos_id])
        if not prefix:
            return [[id_ for ids in encoded for id_ in ids]]
        ends = [] if loses_line_ends(self.tokenizer) else [self.tokenizer.eos_id]
        texts: list[list[int]] = [[]]
        for line, ids in zip(lines, encoded, strict=True):
            texts[-1] += ids
            if not line:
                texts.append([])
        return [[*prefix, *ids, *ends] for ids in texts if ids]

    def _read(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of prompts; an empty one begins as a new text does."""
        prefix = list(self.config.prefix)
        return [prefix + ids or [self.tokenizer.eos_id] for ids in self.tokenizer.encode(texts)]

    def _after(self, prompt: Sequence[int]) -> Callable[[Sequence[int]], str]:
        """Tokens as the text that they are after a prompt: of the space before a word, some decoders say nothing where
        the word is the first."""
        last = list(prompt[-CONTEXT:])
        (before,) = self.tokenizer.decode([last])

        def text(tokens: Sequence[int]) -> str:
            (whole,) = self.tokenizer.decode([[*last, *tokens]])
            return whole[len(before) :]

        return text

    def _known(self) -> list[Rule]:
        """What keeps a model that has more ids than its tokenizer from writing those that spell nothing."""
        size = self.tokenizer.vocab_size

        def known(_: Any, scores: Any) -> Any:
            scores[:, size:] = -math.inf
            return scores

        return [known] if size < self.config.model.vocabulary else []

    def _ends(self, stops: Sequence[str]) -> list[Rule]:
        """What ends a text beside the end token: stop strings, and tokens that the model has for it."""
        end, others = self.tokenizer.eos_id, set(self.config.ends)
        # As many tokens as a stop string has bytes tell, and some more.
        last = max((len(stop.encode()) for stop in stops), default=0) + CONTEXT

        def holds_stop(tokens: list[int]) -> bool:
            (tail,) = self.tokenizer.decode([tokens])
            return any(stop in tail for stop in stops)

        at_strings = [stop_at(holds_stop, last=last, end=end)] if stops else []
        at_tokens = [stop_at(lambda tokens: tokens[-1] in others, last=1, end=end)] if others else []
        return [*at_strings, *at_tokens]

    def _said(
        self, found: Hypothesis, *, after: Callable[[Sequence[int]], str], stops: Sequence[str]
    ) -> Generated:
        text = after(found.tokens)
        said = cut(text, stops)
        why = "stop" if len(said) < len(text) else "end" if found.ended else "length"
        tokens = self.tokenizer.tokens(found.tokens)
        return Generated(said, tokens, found.logprobs[: len(tokens)], why)


def exp(nats: float) -> float:
    """e to so many nats, or a very large number."""
    return math.exp(min(nats, 700.0))
