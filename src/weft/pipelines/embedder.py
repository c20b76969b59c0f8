"""Texts as vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weft import inspect
from weft.config import EncoderConfig, ReaderConfig
from weft.errors import UserError
from weft.network import Network
from weft.pipelines.texts import checked_texts, kind_of
from weft.text.encode import read_texts
from weft.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from weft.inspect.readers import Inspected

__all__ = ["Embedder", "embed", "too_long"]

SHOWN = 40  # characters of a text that is named in an error


class Embedder:
    """An encoder and its tokenizer."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        network: Network,
        tokenizer: Tokenizer,
        precision: str = "float32",
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision

    def embed(self, text: str | Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """The vector (D,) of a text, or those (N, D) of a list, in its order.

        Raises UserError for a text that is longer than the model takes, unless `truncate` asks for its beginning alone.
        """
        return embed(text, self.network, tokenizer=self.tokenizer, config=self.config, truncate=truncate)

    def inspect(self, text: str, *, out: Path | str) -> "Inspected":
        """Write a page that shows all attention behind a text's vector."""
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        (read,) = read_texts(self.tokenizer, [text], maximum=self.config.maximum, cut=False)
        if read.over:
            raise UserError(
                f"the text is longer than the {self.config.maximum} tokens the model takes: split it"
            )
        return inspect.inspect_reading(
            self.network.model,
            read,
            tokenizer=self.tokenizer,
            question=None,
            answer=None,
            title="A text as a vector",
            said=[],
            texts=[inspect.Text("Text", text)],
            facts={},
            out=out,
        )


def too_long(texts: Sequence[str], *, tokenizer: Tokenizer, config: ReaderConfig) -> list[int]:
    """The numbers, from 0, of the texts that are longer than the model takes."""
    readings = read_texts(tokenizer, texts, maximum=config.maximum, cut=True)
    return [number for number, reading in enumerate(readings) if reading.over]


def embed(
    text: str | Sequence[str],
    network: Network,
    *,
    tokenizer: Tokenizer,
    config: ReaderConfig,
    truncate: bool,
) -> NDArray[np.float32]:
    """What `Embedder.embed` gives, from any encoder: its hidden states pooled as its configuration says, without a head.

    No vector depends on the others. Each is made as long as 1, unless the
    configuration says that it is not.
    """
    texts = checked_texts(text)
    readings = read_texts(tokenizer, texts, maximum=config.maximum, cut=truncate)
    for each, reading in zip(texts, readings, strict=True):
        if reading.over and not truncate:
            raise UserError(
                f'"{each[:SHOWN]}…" has {len(reading.ids):,} tokens, more than the {config.maximum:,} that the '
                "model takes: split it, or ask with truncate for its beginning alone"
            )
    vectors = np.empty((len(texts), config.model.width), dtype=np.float32)
    ids, segments = [each.ids for each in readings], [each.segments for each in readings]
    for rows, states in network.ask("states", ids, segments):
        vectors[rows] = states[:, 0] if config.pooling == "first" else states.mean(axis=1)
    if not isinstance(config, EncoderConfig) or config.normalise:
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))
    found: NDArray[np.float32] = vectors[0] if isinstance(text, str) else vectors
    return found
