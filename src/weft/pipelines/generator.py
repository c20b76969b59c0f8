"""A language model in use: prompts in, what follows them out."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from weft.config import GeneratorConfig
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.generate.processors import Processor, add_bias
from weft.generate.prompts import continue_prompts
from weft.generate.speculative import Draft, Guess, look_up
from weft.inspect.heads import readable, writing_groups
from weft.inspect.maps import causal_attention
from weft.inspect.pages import Text, write_page
from weft.inspect.readers import Inspected
from weft.models.decoder import Decoder
from weft.models.transformer_xl import TransformerXL
from weft.pipelines.grammar import Grammar
from weft.pipelines.prompted import Generated, GeneratorEvaluation, Prompted, Scored, exp
from weft.pipelines.texts import kind_of
from weft.tasks.perplexity import segment_losses, token_losses
from weft.text.tokenizer import Tokenizer
from weft.text.words import spellings

__all__ = ["Generated", "Generator", "GeneratorEvaluation", "Scored"]

EVEN: Mapping[str, float] = MappingProxyType({})
HEAVIEST = 10_000.0  # what a word may be worth beside what the model says
PAGE = 1024  # tokens whose attention is shown at once
RARE = 8  # tokens that are named on a page


class Generator(Prompted):
    """A decoder and its tokenizer."""

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        model: Decoder | TransformerXL,
        tokenizer: Tokenizer,
        precision: str = "float32",
    ) -> None:
        super().__init__(config, tokenizer=tokenizer, precision=precision)
        self.model = model.eval()

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
        schema: Mapping[str, Any] | str | None = None,
        regex: str | None = None,
        choices: Sequence[str] = (),
        bias: Mapping[str, float] = EVEN,
        draft: "Generator | None" = None,
        lookup: bool = False,
        stream: Callable[[str], None] | None = None,
        nbest: int | None = None,
        **options: Any,
    ) -> Any:
        """What follows a prompt, or each of a list, in its order: up to so many `tokens`; by default 100, or as
        many as the model takes.

        `stop` strings end it. A JSON `schema`, a `regex` or a list of `choices` is what the text has to be: nothing
        else can be written, and where it `ended` by the end token, it is whole. `bias` adds to the score of a word or
        phrase, as it is written, where it would be completed: -10 all but forbids it. With a `draft`, a smaller model
        with the same tokenizer, or a `lookup` of what stands in the text already, tokens are guessed ahead and read
        together: the same text in fewer steps. `options` are fields of SearchConfig; a temperature, `top_k`, `top_p`,
        `min_p` or `seed` asks for sampling, but `top_k` beside `contrast` for contrastive search. `stream` hears the text
        of a single prompt piece by piece. With `nbest` there is a list for each prompt, of so many texts, or fewer where
        the `groups` of diverse beam search found the same.
        """
        grammar = Grammar.make(self.tokenizer, schema=schema, regex=regex, choices=choices)

        def go_on(
            prompts: list[list[int]],
            config: SearchConfig,
            stops: Sequence[str],
            tell: Callable[[int], None] | None,
        ) -> list[list[Hypothesis]]:
            return continue_prompts(
                self.model,
                prompts,
                config,
                guess=self._guess(draft, lookup=lookup),
                processors=[
                    *self._known(),
                    *self._biases(bias),
                    *([] if grammar is None else [grammar]),
                    *self._ends(stops),
                ],
                tell=tell,
            )

        return self._write(
            prompt, go_on, tokens=tokens, stop=stop, stream=stream, nbest=nbest, options=options
        )

    def inspect(self, text: str, *, out: Path | str) -> Inspected:
        """Read a text and write a page that shows all attention behind it, and which tokens the model did not expect."""
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        if not text:
            raise UserError("there is no text to look into")
        ids = self._fitting(text)
        if len(ids) > PAGE:
            raise UserError(f"a text of {len(ids):,} tokens is more than the {PAGE:,} that a page shows")
        weights, copied = causal_attention(self.model, ids)
        scored = self._scored(text)
        known = [
            (token, value)
            for token, value in zip(scored.tokens, scored.logprobs, strict=True)
            if value is not None
        ]
        rare = sorted(known, key=lambda each: each[1])[:RARE]
        said = ", ".join(f"{readable([token])[0]} ({math.exp(value):.1%})" for token, value in rare)
        facts = {"tokens": f"{len(scored.tokens):,}"}
        if known:
            mean = sum(value for _, value in known) / len(known)
            facts["perplexity"] = f"{exp(-mean):.2f}"
        groups = writing_groups(weights, tokens=self.tokenizer.tokens(ids), copied=copied)
        texts = [Text("Text", text), *([Text("Least expected", said)] if said else [])]
        write_page(Path(out), groups, title="Reading on", texts=texts, facts=facts)
        return Inspected(scored, f"Least expected: {said}" if said else "", "", (), None)

    def _losses(
        self, length: int, *, stride: int | None, memory: int | None
    ) -> Callable[[Sequence[int]], NDArray[np.float32]]:
        """What predicts a text's tokens."""
        if memory is not None and memory < 1:
            raise UserError(f"memory {memory}: one position at the least")
        if isinstance(self.model, TransformerXL):
            if stride is not None:
                raise UserError(
                    "stride: a Transformer-XL remembers what stands before a row; set memory to change that"
                )
            recurrent = self.model
            return lambda ids: segment_losses(
                recurrent, torch.tensor(ids), length=length, remember=memory
            ).numpy()
        if memory is not None:
            raise UserError("memory: the model has none; set a stride, by which rows overlap")
        if stride is not None and not 0 < stride <= length:
            raise UserError(f"stride {stride}: from 1 to {length}, the tokens of a row")
        model = self.model
        return lambda ids: token_losses(model, torch.tensor(ids), length=length, stride=stride).numpy()

    def _guess(self, draft: "Generator | None", *, lookup: bool) -> Callable[[], Guess] | None:
        """What guesses ahead, where that is asked for."""
        if draft is None and not lookup:
            return None
        if draft is not None and lookup:
            raise UserError("draft and lookup: what comes next is guessed in one way")
        if draft is None:
            return lambda: look_up
        model = draft.model
        if isinstance(model, TransformerXL) or draft.tokenizer.fingerprint != self.tokenizer.fingerprint:
            raise UserError(
                "draft: another kind of model, or one with another tokenizer: its tokens mean something else"
            )
        return lambda: Draft(model, room=self.config.model.max_length)

    def _biases(self, bias: Mapping[str, float]) -> list[Processor]:
        """What words are worth beside what the model says of them."""
        if not bias:
            return []
        for word, value in bias.items():
            if not abs(value) <= HEAVIEST:
                raise UserError(f'bias {value:g} of "{word}": from -{HEAVIEST:,.0f} to {HEAVIEST:,.0f}')
        spelled = {
            spelling: float(value)
            for word, value in bias.items()
            for spelling in spellings(
                word,
                encode=self.tokenizer.encode,
                start=self.config.model.special.start,
                unknown=self.tokenizer.unk_id,
            )
        }
        device = self.model.device
        weighed = [(torch.tensor(word, device=device), value) for word, value in spelled.items()]
        return [partial(add_bias, bias=weighed)]
