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
        tokens: int = 100,
        stop: str | Sequence[str] = (),
        stream: Callable[[str], None] | None = None,
        nbest: int | None = None,
        **options: Any,
    ) -> Any:
        """What follows a prompt, or each of a list, in its order: up to so many `tokens`.

        `stop` strings end it. `options` are fields of SearchConfig; a temperature, `top_k`, `top_p`, `min_p` or `seed` asks
        for sampling. `stream` hears the text of a single prompt piece by piece. With `nbest` there is a list for each
        prompt, of so many texts.
        """
        texts = checked_texts(prompt)
        if stream is not None and (len(texts) > 1 or (nbest or 1) > 1 or options.get("beams", 1) > 1):
            raise UserError("stream: one prompt and one text at a time, without beams")
        options = {"sample": any(options.get(name) is not None for name in SAMPLING), **options}
        search = validate(SearchConfig, {**options, "nbest": nbest or 1, "max_length": tokens})
        stops = [stop] if isinstance(stop, str) else list(stop)
        if not all(stops):
            raise UserError("stop: an empty text would end everything at once")
        writer = None if stream is None else _Writer(self.tokenizer, stream, stops=stops)
        found = continue_prompts(
            self.model,
            self._read(texts),
            search,
            processors=[stop_at(self._stops(stops), end=self.tokenizer.eos_id)] if stops else [],
            tell=None if writer is None else writer.add,
        )
        if writer is not None:
            writer.finish()
        answers = [[self._said(each, stops) for each in hypotheses] for hypotheses in found]
        if nbest is None:
            first = [each[0] for each in answers]
            return first[0] if isinstance(prompt, str) else first
        return answers[0] if isinstance(prompt, str) else answers

    def _read(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of prompts; an empty one begins as a new text does."""
        prefix = list(self.config.prefix)
        return [prefix + ids or [self.tokenizer.eos_id] for ids in self.tokenizer.encode(texts)]

    def _stops(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        # What ends a text is at its end: a few of its last tokens tell.
        most = max(map(len, stops), default=0) + 8

        def ends(tokens: list[int]) -> bool:
            (tail,) = self.tokenizer.decode([tokens[-most:]])
            return any(stop in tail for stop in stops)

        return ends

    def _said(self, found: Hypothesis, stops: Sequence[str]) -> Generated:
        (text,) = self.tokenizer.decode([found.tokens])
        places = [place for stop in stops if (place := text.find(stop)) >= 0]
        why = "stop" if places else "end" if found.ended else "length"
        return Generated(
            text[: min(places)] if places else text,
            self.tokenizer.tokens(found.tokens),
            found.logprobs,
            why,
        )


class _Writer:
    """Tokens as text as soon as their characters are whole, and no stop string can begin in them."""

    def __init__(self, tokenizer: Tokenizer, tell: Callable[[str], None], *, stops: Sequence[str]) -> None:
        self.tokenizer = tokenizer
        self.tell = tell
        self.stops = stops
        self.held = max(map(len, stops), default=1) - 1  # characters that may be the beginning of one
        self.tokens: list[int] = []
        self.told = 0

    def add(self, token: int) -> None:
        self.tokens.append(token)
        text = self._text()
        ready = len(text) - self.held
        if not text.endswith("\ufffd") and ready > self.told:
            self._tell(text[self.told : ready])

    def finish(self) -> None:
        if rest := self._text()[self.told :]:
            self._tell(rest)

    def _tell(self, new: str) -> None:
        self.tell(new)
        self.told += len(new)

    def _text(self) -> str:
        (text,) = self.tokenizer.decode([self.tokens])
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        return text[: min(places, default=len(text))]
