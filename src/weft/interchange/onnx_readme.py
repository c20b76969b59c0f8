"""The page that goes with a model for ONNX Runtime: its files, what they take and give, and a program that uses them."""

from weft import __version__
from weft.config import (
    AnswererConfig,
    ClassifierConfig,
    FillerConfig,
    FolderConfig,
    GeneratorConfig,
    ReaderConfig,
    TaggerConfig,
    TranslatorConfig,
)
from weft.families.marian_tokenizer import MarianTokenizer
from weft.interchange.onnx_graph import OPSET
from weft.readme import EXAMPLE, Frame, example, frame_of, joined, reading_of
from weft.text.tokenizer import Tokenizer

__all__ = ["onnx_readme"]

PAGE = """\
# A model for the task `{task}`, for ONNX Runtime

It was written by weft {weft} in {precision}, in the operators of opset {opset} alone. With weft installed, its commands and
`weft.load` take this folder. Without it, token ids go in and numbers come out: the tokenizer's files lie here, for the
library `{library}`. Batches and lengths are free{padding}. Numbers are float32, ids and the like int64.

{files}

{around} A row has at most {longest:,} tokens. What the model is stands in `weft.json`.{beside}

In this folder, with `pip install onnxruntime {library}`:

```python
{program}
```
"""

ENCODER = """\
`model.onnx`

- takes `ids` (B, T){segments}{places}
- gives `states` (B, T, D), one for each token{head}"""

SEGMENTS = (
    ", and `segments` (B, T), 0 at the tokens of a first text and around it, 1 at those of a second one"
)
PLACES = ", and `places` (M, 2), row and column of the tokens to fill in"
HEADS = {
    "classify": ", and `classify` (B, L), the scores of the rows",
    "tag": ", and `tag` (B, T, L), the scores of each token's labels; a word's are its first token's",
    "answer": ", and `answer` (B, T, 2), each token's scores as an answer's first and last; at the first token: no answer",
    "masked": ", and `masked` (M, V), the scores of what may stand there",
}

DECODES = """\
- takes the new `ids` (B, T), the `past.*` that the call before gave as `present.*` (of length 0 at first; `past.tokens`, if
  there is such, zeros), and `scored` (1), after how many of the last tokens scores are wanted{memory}
- gives `logits` (B, scored, V), the scores of what comes after these, and `present.*`{attention}"""

DECODER = "`model.onnx`\n\n" + DECODES.format(memory="", attention="")

SEQ2SEQ = """\
`encoder.onnx`

- takes `source` (M, S)
- gives `memory.*`

`decoder.onnx`

""" + DECODES.format(
    memory=";\n  with them `source` and `memory.*`, where B is M or a multiple of it",
    attention=", and `attention.*`, what each layer's tokens look at",
)

VOTES = """
With weft, the linear model in `ngrams.safetensors` votes, too: the program's probabilities are the network's alone, not
those of weft. A model that is trained with `--set classify.ngrams=false` has none."""

BEGIN = """\
{json}import numpy as np
import onnxruntime
{imports}

{lines}
"""

PADDED = """
def padded(rows):
    read = np.full((len(rows), max(map(len, rows))), {pad}, np.int64)
    for row, tokens in zip(read, rows):
        row[: len(tokens)] = tokens
    return read


model = onnxruntime.InferenceSession("model.onnx")
"""

READS = """\
read = padded([{text} for text in ["{example}", "It rains."]])
(found,) = model.run(["{output}"], {{"ids": read{segments}}})
{shown}"""

SOFTMAX = """\
odds = np.exp((found - found.max(axis=1, keepdims=True)) / {temperature})
print({labels}, odds / odds.sum(axis=1, keepdims=True))"""

SIGMOID = """\
print({labels}, 1 / (1 + np.exp(-found / {temperature})))"""

TAGS = """\
labels = {labels}
for token, scores in zip(read[0].tolist(), found[0]):
    print(tokenizer.id_to_token(token), labels[scores.argmax()])"""

ANSWERS = """\
question, text = {question}, {context}
read = np.array([question + text])
{segmented}(found,) = model.run(["answer"], {{"ids": read{segments}}})
first = len(question) + found[0, len(question) :, 0].argmax()
last = first + found[0, first:, 1].argmax()
print(text_of(read[0, first : last + 1].tolist()))"""

FILLS = """\
read = padded([{text}])
read[0, {place}] = {mask}  # what is to be filled in
(found,) = model.run(["masked"], {{"ids": read, "places": np.array([[0, {place}]]){segments}}})
print(tokenizer.id_to_token(int(found[0].argmax())))"""

WRITES = """
{sessions}
past = {{}}
for each in decoder.get_inputs():
    if each.name.startswith("past."):  # one row, nothing read
        shape = [{{"B": 1, "P": 0}}.get(size, size) for size in each.shape]
        past[each.name] = np.zeros(shape, np.int64 if "int64" in each.type else np.float32)
present = [name.replace("past.", "present.") for name in past]

{begin}
written = []
while len(written) < {most}:
    given = {{"ids": new, "scored": np.ones(1, np.int64), **past{memory}}}
    logits, *read = decoder.run(["logits", *present], given)
    past = dict(zip(past, read))
    token = int(logits[0, -1].argmax())
    if token in {ends}:
        break
    written.append(token)
    new = np.array([[token]])
print(text_of(written))"""

TRANSLATES = """\
source = np.array([{text}])
names = [each.name for each in encoder.get_outputs()]
memory = {{"source": source, **dict(zip(names, encoder.run(names, {{"source": source}})))}}
new = np.array([[{start}]])"""


def onnx_readme(folder: FolderConfig, *, tokenizer: Tokenizer | MarianTokenizer, precision: str) -> str:
    """The page, in Markdown."""
    frame, reading = frame_of(folder, tokenizer), reading_of(tokenizer)
    begin = BEGIN.format(
        json="import json\n\n" if "json." in reading.lines else "",
        imports=reading.imports,
        lines=reading.lines,
    )
    decoder = isinstance(folder, GeneratorConfig)
    votes = isinstance(folder, ClassifierConfig) and folder.vote > 0
    return PAGE.format(
        task=folder.task,
        weft=__version__,
        precision=precision,
        opset=OPSET,
        library=reading.library,
        files=_files(folder),
        around=" ".join([frame.describe(), *_written(frame)]).strip(),
        padding="; the rows of a call are equally long"
        if decoder
        else f", short rows filled up with the id {frame.pad}",
        longest=folder.maximum if isinstance(folder, ReaderConfig) else folder.model.max_length,
        beside=VOTES if votes else "",
        program=begin + _program(folder, frame, tokenizer),
    )


def _written(frame: Frame) -> list[str]:
    """What a decoder begins and ends with, in sentences."""
    said = [f"A decoder's first id is {each}." for each in frame.start]
    if frame.ends:
        said.append(f"What is written ends with the id {' or '.join(map(str, frame.ends))}.")
    return said


def _files(folder: FolderConfig) -> str:
    if not isinstance(folder, ReaderConfig):
        return DECODER if folder.model.architecture == "decoder" else SEQ2SEQ
    return ENCODER.format(
        segments=SEGMENTS if folder.model.segments else "",
        places=PLACES if "masked" in folder.heads else "",
        head="".join(said for head, said in HEADS.items() if head in folder.heads),
    )


def _program(folder: FolderConfig, frame: Frame, tokenizer: Tokenizer | MarianTokenizer) -> str:
    """What stands behind the tokenizer's lines."""
    if isinstance(folder, ReaderConfig):
        assert isinstance(tokenizer, Tokenizer)
        return PADDED.format(pad=frame.pad) + _reads(folder, frame, mask=tokenizer.mask_id)
    model = folder.model
    if isinstance(folder, GeneratorConfig):
        text = joined(frame.before, 'ids("Once upon a time")')
        return WRITES.format(
            sessions='decoder = onnxruntime.InferenceSession("model.onnx")',
            begin=f"new = np.array([{text}])",
            most=min(30, model.max_length // 2),
            memory="",
            ends=frame.ends,
        )
    tag = []
    if isinstance(folder, TranslatorConfig) and frame.tags:
        tag.append(frame.tags[folder.directions[0][1]])
    text = joined(tag, frame.before, f'ids("{example(folder)}")', frame.after)
    return WRITES.format(
        sessions="\n".join(
            f'{name} = onnxruntime.InferenceSession("{name}.onnx")' for name in ("encoder", "decoder")
        ),
        begin=TRANSLATES.format(text=text, start=frame.start[0]),
        most=min(100, model.max_length - 1),
        memory=", **memory",
        ends=frame.ends,
    )


def _reads(folder: ReaderConfig, frame: Frame, *, mask: int | None) -> str:
    zeros = ', "segments": np.zeros_like(read)' if folder.model.segments else ""
    match folder:
        case AnswererConfig():
            segmented = "segments = np.array([[0] * len(question) + [1] * len(text)])\n" if zeros else ""
            segments = ', "segments": segments' if zeros else ""
            question = joined(frame.before, 'ids("Who runs?")', frame.between)
            context = joined('ids("A dog runs.")', frame.after)
            return ANSWERS.format(question=question, context=context, segmented=segmented, segments=segments)
        case FillerConfig():
            text = joined(frame.before, 'ids("A dog runs.")', frame.after)
            return FILLS.format(text=text, place=len(frame.before), mask=mask, segments=zeros)
        case ClassifierConfig(kind="number"):
            output, shown = "classify", f"print(found[:, 0] * {folder.deviation} + {folder.mean})"
        case ClassifierConfig():
            shown = SOFTMAX if folder.kind == "single" else SIGMOID
            output, shown = (
                "classify",
                shown.format(temperature=folder.temperature, labels=list(folder.labels)),
            )
        case TaggerConfig():
            output, shown = "tag", TAGS.format(labels=list(folder.labels))
        case _:
            output, shown = "states", "print(found[:, 0])  # each row's first token's"
    text = joined(frame.before, "ids(text)", frame.after)
    return READS.format(text=text, example=EXAMPLE, output=output, segments=zeros, shown=shown)
