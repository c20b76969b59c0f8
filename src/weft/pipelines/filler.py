"""A model that fills in hidden words, in use."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from weft import inspect
from weft.config import FillerConfig
from weft.errors import UserError
from weft.network import Network
from weft.pipelines.embedder import SHOWN, embed
from weft.pipelines.texts import checked_texts, kind_of
from weft.text.encode import Reading
from weft.text.tokenizer import MASKS, Tokenizer, special_ids

if TYPE_CHECKING:
    from weft.inspect.readers import Inspected

__all__ = ["Candidate", "Filler"]


class Candidate(NamedTuple):
    """A piece for a mask, as the vocabulary has it, its probability, and the text with it in the mask's place."""

    token: str
    probability: float
    text: str


class Filler:
    """A model, and the tokenizer whose mask it fills in."""

    def __init__(
        self,
        config: FillerConfig,
        *,
        network: Network,
        tokenizer: Tokenizer,
        precision: str = "float32",
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision
        self.special = special_ids(tokenizer)

    @overload
    def fill(self, text: str, *, top: int = 5) -> list[list[Candidate]]: ...  # type: ignore[overload-overlap]
    @overload
    def fill(self, text: Sequence[str], *, top: int = 5) -> list[list[list[Candidate]]]: ...
    def fill(
        self, text: str | Sequence[str], *, top: int = 5
    ) -> list[list[Candidate]] | list[list[list[Candidate]]]:
        """For each mask in a text, written <mask> or [MASK], the `top` likeliest pieces, the likeliest first.

        Of a list, the same for each text, in its order. Several masks are filled in one by one, each as if the others
        stayed masks. Raises UserError for a text that has no mask, or is longer than the model takes.
        """
        if top < 1:
            raise UserError(f"the top {top} pieces: ask for 1 or more")
        texts = checked_texts(text)
        readings = [self._read(each) for each in texts]
        answers: list[list[list[Candidate]]] = [[] for _ in texts]
        ids, segments = [each.ids for each in readings], [each.segments for each in readings]
        places = [[place for place, id_ in enumerate(each) if id_ == self.tokenizer.mask_id] for each in ids]
        for rows, logits in self.network.ask("masked", ids, segments, places=places):
            at = [(number, place) for number in rows.tolist() for place in places[number]]
            found = zip(at, *self._likeliest(logits, top=top), strict=True)
            for (number, place), best, shares in found:
                pieces = [(readings[number].ids[place - 1], id_) for id_ in best]
                filled = [self._filled(texts[number], len(answers[number]), pair) for pair in pieces]
                candidates = zip(self.tokenizer.tokens(best), shares, filled, strict=True)
                answers[number].append([Candidate(*each) for each in candidates])
        return answers[0] if isinstance(text, str) else answers

    def inspect(self, text: str, *, out: Path | str) -> "Inspected":
        """Fill in the masks of a text, and write a page that shows all attention behind it."""
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        answer = self.fill(text)
        tokens = inspect.readable([candidates[0].token for candidates in answer])
        shares = [f"{candidates[0].probability:.1%}" for candidates in answer]
        said = ", ".join(f"{token} ({share})" for token, share in zip(tokens, shares, strict=True))
        return inspect.inspect_reading(
            self.network.model,
            self._read(text),
            tokenizer=self.tokenizer,
            question=None,
            answer=answer,
            title="Hidden words",
            said=[inspect.Text("Filled in", said)],
            texts=[inspect.Text("Text", text)],
            facts={},
            out=out,
        )

    def embed(self, text: str | Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Texts as vectors, see `Embedder.embed`."""
        return embed(text, self.network, tokenizer=self.tokenizer, config=self.config, truncate=truncate)

    def _read(self, text: str) -> Reading:
        if MASKS.search(text) is None:
            raise UserError(f'no mask in "{text[:SHOWN]}": write [MASK] where a word is to be filled in')
        layout, maximum = self.tokenizer.layout, self.config.maximum
        ids = [*layout.before, *self.tokenizer.masked(text), *layout.after]
        if len(ids) > maximum:
            raise UserError(
                f'"{text[:SHOWN]}…" has {len(ids):,} tokens, more than the {maximum:,} that the model takes: split it'
            )
        nothing = [0] * len(ids)
        return Reading(ids, nothing, nothing, [], over=False)

    def _likeliest(
        self, logits: NDArray[np.float32], *, top: int
    ) -> tuple[list[list[int]], list[list[float]]]:
        """The likeliest pieces for masks with these scores (M, V), and how likely they are."""
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        shares[:, self.special] = 0.0
        count = min(top, shares.shape[1] - len(self.special))
        best = np.argsort(-shares, axis=-1, kind="stable")[:, :count]
        return best.tolist(), np.take_along_axis(shares, best, axis=-1).tolist()

    def _filled(self, text: str, number: int, pieces: tuple[int, int]) -> str:
        """A text with a piece in the place of its mask of that number; `pieces` are the one before, and itself."""
        begin, end = [match.span() for match in MASKS.finditer(text)][number]
        before, whole = self.tokenizer.decode([pieces[:1], pieces])
        stem = text[:begin].rstrip()
        gap = text[len(stem) : begin]
        if not whole.startswith(before):  # half a character
            return stem + gap + whole + text[end:]
        added = whole[len(before) :]
        if before and not before[-1].isspace():  # else nothing says whether a space is before it
            gap = (gap or " ") if added.startswith(" ") else ""
        return stem + gap + added.removeprefix(" ") + text[end:]
