"""A language model in use: prompts in, what follows them out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, overload

from weft.config import GeneratorConfig
from weft.errors import UserError
from weft.generate import Hypothesis, SearchConfig, continue_prompts, stop_at
from weft.models.decoder import Decoder
from weft.nn.inference import Precision
from weft.overrides import validate
from weft.pipelines.texts import checked_texts
from weft.text.tokenizer import Tokenizer

__all__ = ["Generated", "Generator"]

CONTEXT = 8  # tokens before others that tell how these are written
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "seed")


class Generated(NamedTuple):
    """What follows a prompt: the text without it, its pieces, how likely the model found each, and why it ends.

    `ended` by the end token, "stop" at one of the stop strings, which is cut off, or at the "length" that was asked for.
    """

    text: str
    tokens: list[str]
    logprobs: list[float]
    ended: str


class Generator:
    """A decoder and its tokenizer."""

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        model: Decoder,
        tokenizer: Tokenizer,
        precision: Precision = "float32",
    ) -> None:
        self.config = config
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.precision = precision

    @overload
    def generate(self, prompt: str, *, nbest: None = None, **options: Any) -> Generated: ...
    @overload
    def generate(self, prompt: Sequence[str], *, nbest: None = None, **options: Any) -> list[Generated]: ...
    def generate(
        self,
        prompt: str | Sequence[str] = "",
        *,
        tokens: int | None = None,
        stop: str | Sequence[str] = (),
        stream: Callable[[str], None] | None = None,
        nbest: int | None = None,
        **options: Any,
    ) -> Any:
        """What follows a prompt, or each of a list, in its order: up to so many `tokens`; by default 100, or as
        many as the model takes.

        `stop` strings end it. `options` are fields of SearchConfig; a temperature, `top_k`, `top_p`, `min_p` or `seed` asks
        for sampling. `stream` hears the text of a single prompt piece by piece. With `nbest` there is a list for each
        prompt, of so many texts.
        """
        texts = checked_texts(prompt)
        if stream is not None and (len(texts) != 1 or (nbest or 1) > 1 or options.get("beams", 1) != 1):
            raise UserError("stream: one prompt and one text at a time, without beams")
        drawn = [name for name in SAMPLING if options.get(name) is not None]
        if drawn and options.get("beams", 1) != 1:
            raise UserError(
                f"beams and {drawn[0]}: a text is either searched for or drawn, leave out one of the two"
            )
        options = {"sample": bool(drawn), **options}
        search = validate(SearchConfig, {**options, "nbest": nbest or 1, "max_length": tokens})
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(stops):
            raise UserError("stop: an empty text would end everything at once")
        prompts = self._read(texts)
        writer = None if stream is None else _Writer(self._after(prompts[0]), stream, stops=stops)
        found = continue_prompts(
            self.model,
            prompts,
            search,
            processors=[stop_at(self._stops(stops), end=self.tokenizer.eos_id)] if stops else [],
            tell=None if writer is None else writer.add,
        )
        if writer is not None:
            writer.finish()
        answers = [
            [self._said(each, after=self._after(prompt), stops=stops) for each in hypotheses]
            for prompt, hypotheses in zip(prompts, found, strict=True)
        ]
        if nbest is None:
            first = [each[0] for each in answers]
            return first[0] if isinstance(prompt, str) else first
        return answers[0] if isinstance(prompt, str) else answers

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

    def _stops(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        # What ends a text is at its end: as many of its last tokens as a stop string has bytes tell, and some more.
        most = max(len(stop.encode()) for stop in stops) + CONTEXT

        def ends(tokens: list[int]) -> bool:
            (tail,) = self.tokenizer.decode([tokens[-most:]])
            return any(stop in tail for stop in stops)

        return ends

    def _said(
        self, found: Hypothesis, *, after: Callable[[Sequence[int]], str], stops: Sequence[str]
    ) -> Generated:
        text = after(found.tokens)
        cut = _cut(text, stops)
        why = "stop" if len(cut) < len(text) else "end" if found.ended else "length"
        tokens = self.tokenizer.tokens(found.tokens)
        return Generated(cut, tokens, found.logprobs[: len(tokens)], why)


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop strings in it."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


class _Writer:
    """Tokens as text as soon as their characters are whole, and no stop string can begin in them."""

    def __init__(
        self,
        read: Callable[[Sequence[int]], str],
        tell: Callable[[str], None],
        *,
        stops: Sequence[str],
    ) -> None:
        self.read = read
        self.tell = tell
        self.stops = stops
        self.held = max(map(len, stops), default=1) - 1  # characters that may be the beginning of one
        self.tokens: list[int] = []
        self.told = 0

    def add(self, token: int) -> None:
        self.tokens.append(token)
        text = self.read(self.tokens)
        if not text.endswith("\ufffd"):
            self._tell_to(len(text) - self.held)

    def finish(self) -> None:
        self._tell_to(len(self.read(self.tokens)))

    def _tell_to(self, end: int) -> None:
        new = _cut(self.read(self.tokens), self.stops)[self.told : max(end, self.told)]
        if new:
            self.tell(new)
            self.told += len(new)
