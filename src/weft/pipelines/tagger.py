"""A trained tagger of named entities in use."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from weft import inspect
from weft.config import TaggerConfig
from weft.errors import UserError
from weft.network import Network
from weft.pipelines.embedder import embed
from weft.pipelines.texts import checked_texts, kind_of
from weft.tasks.entities import Scheme, Sentence, read_tagged, split_words
from weft.tasks.tags import Found, TagSet, score
from weft.tasks.word_windows import Window, Windows, predict, read_sentences
from weft.text.encode import Reading
from weft.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from weft.inspect.readers import Inspected, Question

__all__ = ["Entity", "Tagger", "TaggerEvaluation"]

LONGEST = 256  # tokens that are read at once by a model that does not say with how many it was trained


class Entity(NamedTuple):
    """A named entity, which is `text[start:end]` of the text it was found in; `score` is its words' mean probability."""

    label: str
    text: str
    start: int
    end: int
    score: float


class TaggerEvaluation(NamedTuple):
    """seqeval's figures, from 0 to 1, for the entities of `sentences`: those with the right label and both ends count.

    `per_type` has precision, recall, F1 and `support`, how many there are, for each label. `left_out` says what in the data
    could not be taken as it stood. `computed` is the precision of the model's numbers.
    """

    precision: float
    recall: float
    f1: float
    per_type: dict[str, dict[str, float]]
    sentences: int
    left_out: tuple[str, ...]
    sentences_per_second: float
    computed: str


class Tagger:
    """A model, its tokenizer and the labels of the entities it knows.

    Raises UserError where its labels are no tags of IOB2.
    """

    def __init__(
        self,
        config: TaggerConfig,
        *,
        network: Network,
        tokenizer: Tokenizer,
        precision: str = "float32",
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision
        self.tags = TagSet(config.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the entities that the model knows."""
        return self.tags.entities

    @overload
    def tag(self, text: str) -> list[Entity]: ...  # type: ignore[overload-overlap]
    @overload
    def tag(self, text: Sequence[str]) -> list[list[Entity]]: ...
    def tag(self, text: str | Sequence[str]) -> list[Entity] | list[list[Entity]]:
        """The named entities of a text, or of each of a list, whose order is kept; a blank one has none.

        A long text is read in windows, all of it.
        """
        texts = checked_texts(text)
        sentences = [Sentence(each, tuple(split_words(each)), (), "") for each in texts]
        answers = [
            [_entity(sentence, found) for found in each]
            for sentence, each in zip(sentences, self._find(sentences), strict=True)
        ]
        return answers[0] if isinstance(text, str) else answers

    def evaluate(
        self, data: str | Path | Sequence[str | Path], *, scheme: Scheme | None = None
    ) -> TaggerEvaluation:
        """Precision, recall and F1 of the entities of marked texts, in the files that training takes.

        `scheme` says how CoNLL's tags are meant; without it, the tags tell.
        """
        specs = [str(data)] if isinstance(data, str | Path) else [str(each) for each in data]
        sentences, notes = read_tagged(specs, scheme=scheme or "auto")
        for sentence in sentences:
            self.tags.numbers(sentence)
        begin = time.perf_counter()
        found = self._find(sentences)
        seconds = time.perf_counter() - begin
        figures = score(
            [sentence.spans for sentence in sentences],
            [[each.span for each in entities] for entities in found],
            words=[len(sentence.words) for sentence in sentences],
        )
        return TaggerEvaluation(
            **figures._asdict(),
            sentences=len(sentences),
            left_out=tuple(notes),
            sentences_per_second=len(sentences) / seconds,
            computed=self.precision,
        )

    def inspect(self, text: str, *, out: Path | str, entity: int | None = None) -> "Inspected":
        """Find the entities of a text, and write a page that shows what one of them rests on, and all attention behind it.

        `entity` is its number, counted from 1; by default the first. Of a long text the attention is that of the window
        which the entity is in. Raises UserError where there is no such entity; where there is none at all and none is
        asked for, the page shows attention alone.
        """
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        sentence = Sentence(text, tuple(split_words(text)), (), "")
        (read,) = self._read([sentence])
        if not read.windows:
            raise UserError(
                "the text is blank, or nothing that the model knows: there is nothing to look into"
            )
        found = self.tags.found(predict(self.network, [read], labels=len(self.config.labels))[0], read.tokens)
        entities = [_entity(sentence, each) for each in found]
        if entity is not None and not 1 <= entity <= len(entities):
            raise UserError(f"no entity {entity}: the model finds {len(entities)}, which are counted from 1")
        window, question, focus = read.windows[0], None, None
        if entities:
            chosen = (entity or 1) - 1
            window = max(read.windows, key=lambda each: len(_places(each, found[chosen])))
            question = self._question(entities[chosen], _places(window, found[chosen]))
            focus = entities[chosen].start, entities[chosen].end
        listed = ", ".join(f"{each.text} ({each.label} {each.score:.1%})" for each in entities)
        return inspect.inspect_reading(
            self.network.model,
            _in_text(window.reading, sentence),
            tokenizer=self.tokenizer,
            question=question,
            answer=entities,
            title="Named entities",
            said=[inspect.Text("Entities", listed or "none")],
            texts=[inspect.Text("Text", text, focus=focus)],
            facts={},
            out=out,
        )

    def embed(self, text: str | Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Texts as vectors, see `Embedder.embed`."""
        return embed(text, self.network, tokenizer=self.tokenizer, config=self.config, truncate=truncate)

    def _question(self, entity: Entity, places: Sequence[int]) -> "Question":
        """What speaks for an entity: the log-odds of its label, B or I, averaged over its words."""
        chosen = [number for number, label in enumerate(self.tags.labels) if label[2:] == entity.label]

        head = self.network.model.heads["tag"]

        def mean(states: "Tensor") -> "Tensor":
            return inspect.log_odds(head(states[:, places]), chosen).mean(-1)

        return inspect.Question(f"log-odds of {entity.label} for {entity.text}", mean)

    def _find(self, sentences: Sequence[Sentence]) -> list[list[Found]]:
        read = self._read(sentences)
        predicted = predict(self.network, read, labels=len(self.config.labels))
        return [self.tags.found(scores, each.tokens) for each, scores in zip(read, predicted, strict=True)]

    def _read(self, sentences: Sequence[Sentence]) -> list[Windows]:
        maximum = self.config.maximum if self.config.length else min(LONGEST, self.config.maximum)
        return read_sentences(sentences, self.tokenizer, maximum=maximum)


def _places(window: Window, found: Found) -> list[int]:
    """Where in a window the first tokens of an entity's words stand, as far as it is asked for them."""
    inside = (window.words >= found.begin) & (window.words < found.end)
    places: list[int] = window.at[inside].tolist()
    return places


def _in_text(reading: Reading, sentence: Sentence) -> Reading:
    """A reading with its characters counted in the sentence's text, where they were in its words with a space between."""
    places = [at for begin, end in sentence.words for at in (*range(begin, end), end)]
    offsets = [
        (places[begin], places[end - 1] + 1) if begin < end else (0, 0) for begin, end in reading.offsets
    ]
    return reading._replace(offsets=offsets)


def _entity(sentence: Sentence, found: Found) -> Entity:
    start, end = sentence.words[found.begin][0], sentence.words[found.end - 1][1]
    return Entity(found.label, sentence.text[start:end], start, end, found.score)
