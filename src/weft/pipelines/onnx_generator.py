"""A language model on ONNX Runtime in use, without torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import GeneratorConfig
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.interchange.onnx_engine import CLOSED, open_session, precision_of
from weft.interchange.onnx_losses import token_losses
from weft.interchange.onnx_models import MODEL
from weft.interchange.onnx_predictors import continue_prompts
from weft.pipelines.prompted import Prompted
from weft.text.tokenizer import Tokenizer

__all__ = ["OnnxGenerator"]

ON_TORCH = ("schema", "regex", "choices", "bias", "draft", "lookup")  # of what `Generator.generate` takes


class OnnxGenerator(Prompted):
    """A decoder for ONNX Runtime and its tokenizer: it writes, scores and is measured as a `Generator` is.

    Grammars, biases, guessing ahead and inspection need PyTorch: for these take the model that it was exported from.
    """

    def __init__(self, folder: Path, config: GeneratorConfig, *, tokenizer: Tokenizer, device: str) -> None:
        self.session = open_session(folder / MODEL, device=device)
        super().__init__(config, tokenizer=tokenizer, precision=precision_of(self.session))

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
        """What follows a prompt, or each of a list: see `Generator.generate`."""
        if wrong := [name for name in ON_TORCH if options.pop(name, None)]:
            raise UserError(
                f"a model on ONNX Runtime has no {', '.join(wrong)}: take the one that it was exported from"
            )

        def go_on(
            prompts: list[list[int]],
            config: SearchConfig,
            stops: Sequence[str],
            tell: Callable[[int], None] | None,
        ) -> list[list[Hypothesis]]:
            return continue_prompts(
                prompts,
                config,
                decoder=self.session,
                model=self.config.model,
                processors=[*self._known(), *self._ends(stops)],
                tell=tell,
            )

        return self._write(
            prompt, go_on, tokens=tokens, stop=stop, stream=stream, nbest=nbest, options=options
        )

    def inspect(self, text: str, *, out: Path | str) -> Any:
        """There is nothing to be seen: a UserError."""
        raise UserError(CLOSED)

    def _losses(
        self, length: int, *, stride: int | None, memory: int | None
    ) -> Callable[[Sequence[int]], NDArray[np.float32]]:
        if memory is not None:
            raise UserError("memory: the model has none; set a stride, by which rows overlap")
        if stride is not None and not 0 < stride <= length:
            raise UserError(f"stride {stride}: from 1 to {length}, the tokens of a row")
        return lambda ids: token_losses(
            ids, decoder=self.session, model=self.config.model, length=length, stride=stride or length
        )
