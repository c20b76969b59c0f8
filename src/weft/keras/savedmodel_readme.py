"""The page that goes with a SavedModel: what its functions take and give, and a program that uses them."""

from collections.abc import Mapping
from typing import Any

__all__ = ["readme"]

PAGE = """\
# A model for the task `{task}`, as a TensorFlow SavedModel

It was written by weft {weft}, and needs TensorFlow alone: token ids go in, and {given} come out.
Text becomes token ids outside of it, by the files of the tokenizer that lie here{library}.

{functions}

All inputs are named. {around} A row has at most {longest:,} tokens. `weft.json` says all of this for programs.

{before_program}

```python
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

TOKENIZER = """\
import json

import tensorflow as tf
from tokenizers import Tokenizer

about = json.load(open("weft.json", encoding="utf-8"))
model = tf.saved_model.load(".")
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.encode_special_tokens = True  # a text that spells </s> means just that


def ids(text):
    return tokenizer.encode(text, add_special_tokens=False).ids
"""

MARIAN = """\
import json

import sentencepiece
import tensorflow as tf

about = json.load(open("weft.json", encoding="utf-8"))
model = tf.saved_model.load(".")
numbers = json.load(open("vocab.json", encoding="utf-8"))
source = sentencepiece.SentencePieceProcessor(model_file="source.spm")
target = sentencepiece.SentencePieceProcessor(model_file="target.spm")
pieces = {number: piece for piece, number in numbers.items()}


def ids(text):  # a language code in front, as in ">>fra<< Hello.", is one token
    code, mark, rest = text.partition("<<") if text.startswith(">>") else ("", "", text)
    split = [code + mark] * bool(code) + source.encode(rest, out_type=str)
    return [numbers.get(piece, numbers["<unk>"]) for piece in split]


def text_of(found):
    return target.decode_pieces([pieces[number] for number in found.tolist()]).replace("▁", " ").strip()
"""

ROWS = """\


def padded(texts):
    rows = [about["before"] + {tag}ids(text) + about["after"] for text in texts]
    return tf.ragged.constant(rows, tf.int32).to_tensor(about["special"]["pad"])


"""

DECODED = """\
def text_of(found):
    return tokenizer.decode(found.tolist())


"""

WRITES = """\
found = model.translate(padded(["Ein Hund läuft."]))
for row, length, score in zip(*(found[name].numpy() for name in ("ids", "lengths", "scores"))):
    print(text_of(row[:length]), score)"""

CONTINUES = """\
prompts = [about["before"] + ids(text) for text in ["Once upon a time", "The"]]
read = tf.ragged.constant(prompts, tf.int32)
lengths = tf.cast(read.row_lengths(), tf.int32)
found = model.sample(read.to_tensor(), lengths, 30, 0.8, 0, 0.95, 1)
for prompt, row, length in zip(prompts, found["ids"].numpy(), found["lengths"].numpy()):
    print(tokenizer.decode(prompt + row[:length].tolist()))"""

READS = """\
read = padded(["A dog runs."])
found = model.{name}(read{more})["{output}"].numpy()
print({shown})"""


def readme(about: Mapping[str, Any], *, marian: bool) -> str:
    """The page, in Markdown, from what `weft.json` says."""
    task = about["task"]
    library = ", which SentencePiece reads" if marian else ", which the library `tokenizers` reads"
    return PAGE.format(
        task=task,
        weft=about["weft"],
        given=GIVEN[task],
        library=library,
        functions="\n\n".join(_function(name, each) for name, each in about["signatures"].items()),
        around=_around(about),
        longest=about["longest"],
        before_program="In this folder, with `pip install tensorflow "
        + ("sentencepiece`:" if marian else "tokenizers`:"),
        program=_program(about, marian=marian),
    )


def _function(name: str, said: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f"`{name}`"]
    for side, heading in (("inputs", "takes"), ("outputs", "gives")):
        lines += [f"- {heading} `{each}`, {meaning}" for each, meaning in said[side].items()]
    return "\n".join([lines[0], "", *lines[1:]])


def _around(about: Mapping[str, Any]) -> str:
    pad = about["special"]["pad"]
    parts = [f"The padding is the id {pad}."]
    if "tags" in about:
        parts.append(f"A text's first id says what language to write: {about['tags']}.")
    if about["before"]:
        parts.append(f"Before a text stand the ids {about['before']}.")
    if about["between"]:
        parts.append(f"Between two texts stand the ids {about['between']}.")
    if about["after"]:
        parts.append(f"After a text stand the ids {about['after']}.")
    return " ".join(parts)


def _program(about: Mapping[str, Any], *, marian: bool) -> str:
    if about["task"] == "language-model":
        return f"{TOKENIZER}\n\n{CONTINUES}"
    tag = f'[about["tags"]["{next(iter(about["tags"]))}"]] + ' if about.get("tags") else ""
    rows = ROWS.format(tag=tag)
    if about["task"] in ("translate", "summarize"):
        return MARIAN + rows + WRITES if marian else TOKENIZER + rows + DECODED + WRITES
    name, said = next(iter(about["signatures"].items()))
    shown = 'about["labels"], found' if "labels" in about else "found"
    more = ", segments=tf.zeros_like(read)" if "segments" in said["inputs"] else ""
    output = next(iter(said["outputs"]))
    return TOKENIZER + rows + READS.format(name=name, output=output, more=more, shown=shown)
