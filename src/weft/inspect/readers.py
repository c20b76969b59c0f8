"""The page of an encoder: its answer, the text shaded by what the answer rests on, and every head's attention."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from weft.inspect.attribution import Attribution, Target, attribute
from weft.inspect.heads import reading_group
from weft.inspect.maps import self_attention
from weft.inspect.marks import Mark, Read, find_marks, signed
from weft.inspect.pages import Explained, Text, write_page
from weft.models.encoder import Encoder

__all__ = ["Inspected", "Question", "inspect_reading"]


class Letters(Protocol):
    """What a tokenizer tells of its ids: see `weft.text.tokenizer.Tokenizer`."""

    @property
    def mask_id(self) -> int | None: ...
    @property
    def unk_id(self) -> int: ...
    def tokens(self, ids: Sequence[int]) -> Sequence[str]: ...


class Question(NamedTuple):
    """What is asked of the hidden states, and the name of the number that they answer: a label's log-odds, say."""

    name: str
    target: Target


class Inspected(NamedTuple):
    """An answer, how the page says it, and what each token of the first and of the second text adds to the number `name`
    behind it.

    Without such a number there are no marks.
    """

    answer: Any
    said: str
    name: str
    marks: tuple[Sequence[Mark], ...]
    attribution: Attribution | None


def inspect_reading(
    model: Encoder,
    read: Read,
    *,
    tokenizer: Letters,
    question: Question | None,
    answer: Any,
    title: str,
    said: Sequence[Text],
    texts: Sequence[Text],
    facts: Mapping[str, str],
    out: Path | str,
) -> Inspected:
    """Write the page of what `model` reads, and say what the `answer` rests on.

    `said` is the answer as the page tells it, and `texts` are the one or two that were read. A text is hidden as
    pretraining hides words: by the mask, of which a model knows that it says nothing; where there is none, by what stands
    for the unknown. Zeros, the other baseline in use, suit no model with norms before its layers, which undo how long a
    vector is: on weft's own encoder 128 steps from there were too few for 36 texts of 40, and from the mask 16 were enough
    for all. What stands around the texts is never hidden, so it adds nothing.
    """
    found, explained, marks = None, None, tuple[Sequence[Mark], ...]()
    tokens = tokenizer.tokens(read.ids)
    if question is not None:
        hidden = tokenizer.unk_id if tokenizer.mask_id is None else tokenizer.mask_id
        away = [hidden if text else id_ for id_, text in zip(read.ids, read.texts, strict=True)]
        found = attribute(model, read.ids, segments=read.segments, hidden=away, target=question.target)
        scores = found.scores.tolist()
        marks = tuple(
            find_marks(read, scores, tokens=tokens, text=number) for number in range(1, len(texts) + 1)
        )
        texts = [text._replace(marks=each) for text, each in zip(texts, marks, strict=True)]
        explained = Explained(question.name, _sums(found, question.name))
    weights = self_attention(model, read.ids, segments=read.segments)
    groups = [reading_group(weights, tokens=tokens)]
    write_page(Path(out), groups, title=title, texts=[*said, *texts], facts=facts, explained=explained)
    told = "\n".join(f"{text.label}: {text.text}" for text in said)
    return Inspected(answer, told, question.name if question else "", marks, found)


def _sums(found: Attribution, name: str) -> dict[str, str]:
    """The number that is explained, and whether the scores add up to it."""
    difference = found.value - found.baseline
    share = f"{abs(found.residual / difference):.2%}" if difference else "all"
    short = "" if found.complete else ", more than it should be: read them with care"
    return {
        "with the text hidden": signed(found.baseline),
        "its tokens": signed(float(found.scores.sum())),
        name: signed(found.value),
        "the sum is off by": f"{share}{short}",
    }
