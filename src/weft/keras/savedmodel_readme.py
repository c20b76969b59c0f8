"""The page that goes with a SavedModel: what its functions take and give, and a program that uses them."""

from collections.abc import Mapping
from typing import Any

from weft.readme import Frame, Reading

__all__ = ["readme"]

PAGE = """\
# A model for the task `{task}`, as a TensorFlow SavedModel

It was written by weft {weft}, and needs TensorFlow alone: token ids go in, and {given} come out.
Text becomes token ids outside of it, by the files of the tokenizer that lie here, which the library `{library}` reads.

{functions}

All inputs are named. {around} A row has at most {longest:,} tokens. `weft.json` says all of this for programs.

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
    rows = [about["before"] + {tag}ids(text) + about["after"] for text in texts]
    return tf.ragged.constant(rows, tf.int32).to_tensor(about["special"]["pad"])


"""

WRITES = """\
found = model.translate(padded(["Ein Hund läuft."]))
for row, length, score in zip(*(found[name].numpy() for name in ("ids", "lengths", "scores"))):
    print(text_of(row[:length].tolist()), score)"""

CONTINUES = """\
prompts = [about["before"] + ids(text) for text in ["Once upon a time", "The"]]
read = tf.ragged.constant(prompts, tf.int32)
lengths = tf.cast(read.row_lengths(), tf.int32)
found = model.sample(read.to_tensor(), lengths, 30, 0.8, 0, 0.95, 1)
for prompt, row, length in zip(prompts, found["ids"].numpy(), found["lengths"].numpy()):
    print(text_of(prompt + row[:length].tolist()))"""

READS = """\
read = padded(["A dog runs."])
found = model.{name}(read{more})["{output}"].numpy()
print({shown})"""


def readme(about: Mapping[str, Any], *, frame: Frame, reading: Reading) -> str:
    """The page, in Markdown, from what `weft.json` says."""
    return PAGE.format(
        task=about["task"],
        weft=about["weft"],
        given=GIVEN[about["task"]],
        library=reading.library,
        functions="\n\n".join(_function(name, each) for name, each in about["signatures"].items()),
        around=frame.describe() + _tags(about),
        longest=about["longest"],
        imports=reading.imports,
        lines=reading.lines,
        program=_program(about),
    )


def _function(name: str, said: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"`{name}`"]
    for side, heading in (("inputs", "takes"), ("outputs", "gives")):
        lines += [f"- {heading} `{each}`, {meaning}" for each, meaning in said[side].items()]
    return "\n".join([lines[0], "", *lines[1:]])


def _tags(about: Mapping[str, Any]) -> str:
    return f" A text's first id says what language to write: {about['tags']}." if "tags" in about else ""


def _program(about: Mapping[str, Any]) -> str:
    if about["task"] == "language-model":
        return CONTINUES
    tag = f'[about["tags"]["{next(iter(about["tags"]))}"]] + ' if about.get("tags") else ""
    rows = ROWS.format(tag=tag)
    if about["task"] in ("translate", "summarize"):
        return rows + WRITES
    name, said = next(iter(about["signatures"].items()))
    shown = 'about["labels"], found' if "labels" in about else "found"
    more = ", segments=tf.zeros_like(read)" if "segments" in said["inputs"] else ""
    output = next(iter(said["outputs"]))
    return rows + READS.format(name=name, output=output, more=more, shown=shown)
