"""The page that goes with a SavedModel: what its functions take and give, and a program that uses them."""

from collections.abc import Mapping
from typing import Any

from weft.config import AnswererConfig, FillerConfig, FolderConfig, GeneratorConfig, TranslatorConfig
from weft.families.marian_tokenizer import MarianTokenizer
from weft.readme import EXAMPLE, Frame, example, joined, reading_of
from weft.text.tokenizer import Tokenizer

__all__ = ["savedmodel_readme"]

PAGE = """\
# A model for the task `{task}`, as a TensorFlow SavedModel

It was written by weft {weft}, and needs TensorFlow alone: token ids go in, and {given} come out.
Text becomes token ids outside of it, by the files of the tokenizer that lie here, which the library `{library}` reads.

{functions}

{around} The padding is the id {pad}. A row has at most {longest:,} tokens. `weft.json` says all of this for programs.

In this folder, with `pip install tensorflow {library}`:

```python
import json

import tensorflow as tf
{imports}

about = json.load(open("weft.json", encoding="utf-8"))
model = tf.saved_model.load(".")
{lines}

{program}
```
"""

GIVEN = {
    "translate": "token ids and their scores",
    "summarize": "token ids and their scores",
    "language-model": "scores or further token ids",
    "embed": "vectors",
    "classify": "probabilities or numbers",
    "tag": "probabilities",
    "answer": "scores",
    "masked-lm": "probabilities",
}

ROWS = """\
def padded(texts):
    rows = [{text} for text in texts]
    return tf.ragged.constant(rows, tf.int32).to_tensor({pad})


"""

WRITES = """\
found = model.translate(source=padded(["{example}"]))
for row, length, score in zip(*(found[name].numpy() for name in ("ids", "lengths", "scores"))):
    print(text_of(row[:length].tolist()), score)"""

CONTINUES = """\
texts = ["Once upon a time", "The"]
prompts = tf.ragged.constant([{text} for text in texts], tf.int32)
found = model.sample(
    prompts=prompts.to_tensor(),
    lengths=tf.cast(prompts.row_lengths(), tf.int32),
    max_tokens=30,
    temperature=0.8,
    top_k=0,
    top_p=0.95,
    seed=1,
)
for text, row, length in zip(texts, found["ids"].numpy(), found["lengths"].numpy()):
    print(text, "→", text_of(row[:length].tolist()))"""

READS = """\
read = padded(["{example}"])
found = model.{name}(ids=read{segments})["{output}"].numpy()
{shown}"""

TAGS = """\
for token, chances in zip(read[0].numpy().tolist(), found[0]):
    print(tokenizer.id_to_token(token), about["labels"][chances.argmax()])"""

ANSWERS = """\
question, text = {question}, {context}
read = tf.constant([question + text], tf.int32)
scores = model.scores(ids=read{segments})["scores"].numpy()[0]
first = len(question) + scores[len(question) :, 0].argmax()
last = first + scores[first:, 1].argmax()
print(text_of((question + text)[first : last + 1]))"""

FILLS = """\
read = padded(["{example}"]).numpy()
read[0, {place}] = {mask}  # what is to be filled in
found = model.probabilities(ids=tf.constant(read){segments})["probabilities"].numpy()
print(tokenizer.id_to_token(int(found[0, {place}].argmax())))"""


def savedmodel_readme(
    folder: FolderConfig, about: Mapping[str, Any], *, frame: Frame, tokenizer: Tokenizer | MarianTokenizer
) -> str:
    """The page, in Markdown, of a model that `weft.json` says this `about`."""
    reading = reading_of(tokenizer)
    return PAGE.format(
        task=folder.task,
        weft=about["weft"],
        given=GIVEN[folder.task],
        library=reading.library,
        functions="\n\n".join(_function(name, each) for name, each in about["signatures"].items()),
        around=frame.describe(),
        pad=frame.pad,
        longest=about["longest"],
        imports=reading.imports,
        lines=reading.lines,
        program=_program(folder, about, frame, mask=getattr(tokenizer, "mask_id", None)),
    )


def _function(name: str, said: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"`{name}`"]
    for side, heading in (("inputs", "takes"), ("outputs", "gives")):
        lines += [f"- {heading} `{each}`, {meaning}" for each, meaning in said[side].items()]
    return "\n".join([lines[0], "", *lines[1:]])


def _program(folder: FolderConfig, about: Mapping[str, Any], frame: Frame, *, mask: int | None) -> str:
    """What stands behind the tokenizer's lines."""
    if isinstance(folder, GeneratorConfig):
        return CONTINUES.format(text=joined(frame.before, "ids(text)"))
    tag = []
    if isinstance(folder, TranslatorConfig) and frame.tags:
        tag.append(frame.tags[folder.directions[0][1]])
    rows = ROWS.format(text=joined(tag, frame.before, "ids(text)", frame.after), pad=frame.pad)
    if folder.model.architecture == "seq2seq":
        return rows + WRITES.format(example=example(folder))
    name, said = next(iter(about["signatures"].items()))
    segmented = "segments" in said["inputs"]
    if isinstance(folder, AnswererConfig):
        return ANSWERS.format(
            question=joined(frame.before, 'ids("Who runs?")', frame.between),
            context=joined(f'ids("{EXAMPLE}")', frame.after),
            segments=", segments=tf.constant([[0] * len(question) + [1] * len(text)])" if segmented else "",
        )
    segments = ", segments=tf.zeros_like(read)" if segmented else ""
    if isinstance(folder, FillerConfig):
        place = len(frame.before)
        return rows + FILLS.format(example=EXAMPLE, place=place, mask=mask, segments=segments)
    shown = 'print(about["labels"], found)' if "labels" in about else "print(found)"
    return rows + READS.format(
        example=EXAMPLE,
        name=name,
        segments=segments,
        output=next(iter(said["outputs"])),
        shown=TAGS if folder.task == "tag" else shown,
    )
