"""Write docs/reference/configuration.md from the models in weft.config and the presets in weft.recipes.

The facts (names, types, defaults) are the code's own; a test sees to it that the words below cover each
setting.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from weft.config import AnswerRun, ClassifyRun, LanguageRun, MaskedRun, SummarizeRun, TagRun, TranslateRun
from weft.recipes import PRESETS

RUNS = (TranslateRun, SummarizeRun, MaskedRun, ClassifyRun, TagRun, AnswerRun, LanguageRun)
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "configuration.md"

MEANING = {
    "task": "What the model is for.",
    "preset": "The preset that the other settings were made from.",
    "data.train": "Training text: patterns and files, as `--train` takes them.",
    "data.valid": "Held-out text, to choose the best weights by.",
    "data.columns": "Names for the columns of a table that has no header.",
    "data.max_tokens": "A pair with a longer side is left out, and counted; a longer text is cut (classify) or split (tag).",
    "tokenizer.kind": "What the pieces are: byte-level BPE, Unigram, WordPiece, words or characters.",
    "tokenizer.size": "How many pieces; without it, as many as suit the training text.",
    "tokenizer.path": "A tokenizer.json to use as it is; kind and size then count for nothing. Language tags are added.",
    "model.architecture": "An encoder with a decoder, an encoder alone, or a decoder alone.",
    "model.vocabulary": "How many pieces the tokenizer has: nobody sets it.",
    "model.width": "The size of a token's vector. Set alone, heads and feed_forward grow with it.",
    "model.encoder_layers": "Layers that read.",
    "model.decoder_layers": "Layers that write; each runs for every token written.",
    "model.heads": "Attention heads of a layer; they divide the width.",
    "model.kv_heads": "Heads of keys and values: fewer than heads for grouped attention; by default as many.",
    "model.head_size": "The width of a head; by default what the heads share of the model's.",
    "model.feed_forward": "The inner size of the feed-forward layers.",
    "model.activation": "The feed-forward layers' activation.",
    "model.gated": "Whether the feed-forward layers multiply with a gate (GLU and its kin).",
    "model.norm": "LayerNorm or RMSNorm.",
    "model.norm_scale": "Whether the norms have a scale (and LayerNorm a shift) to learn.",
    "model.norm_place": "Norms before each branch, or after each sum as in the paper.",
    "model.norm_epsilon": "What is added below a norm's root; without it, what is usual for the norm.",
    "model.embedding_norm": "Whether the embeddings are normalised.",
    "model.query_key_norm": "Whether queries and keys are normalised.",
    "model.bias": "Whether the linear layers have biases.",
    "model.query_key_value_bias": "Whether queries, keys and values have biases, where that is not as `model.bias` says.",
    "model.position": "How a token's place enters.",
    "model.position_offset": "Rows at the beginning of learned positions that no token uses.",
    "model.rotary_base": "What the angles of rotary positions are powers of: the greater, the farther they reach.",
    "model.rotary_scaling.kind": "How rotary positions reach further than the length that they were trained for.",
    "model.rotary_scaling.factor": "By how much they reach further.",
    "model.rotary_scaling.original_length": "The length that they were trained for.",
    "model.rotary_scaling.slow": "Angles that turn less often than this in the original length are divided by the factor.",
    "model.rotary_scaling.fast": "Angles that turn more often than this in the original length stay as they are.",
    "model.rotary_scaling.attention": "What queries and keys are multiplied by.",
    "model.max_length": "The longest text the model takes, in tokens.",
    "model.window": "With it, most layers' tokens see only those less than so many positions away.",
    "model.global_every": "Of how many layers, with a window, one sees everything; 0: none does.",
    "model.segments": "Vectors that tell a pair's texts apart.",
    "model.scale_embedding": "Whether embeddings are multiplied by the square root of the width.",
    "model.tie": "One matrix for both embeddings and the output, for the two that write (an encoder's too), or for none.",
    "model.output_bias": "Whether the output layer has a bias.",
    "model.initialisation": "How weights are drawn at the start.",
    "model.zero_output": "Whether each branch starts at zero.",
    "model.recurrence.memory": "Transformer-XL: how many positions before a segment are remembered.",
    "model.recurrence.pointer": "Of how many positions before a segment what followed may be copied; 0: none.",
    "model.recurrence.same_length": "No position sees more of them than another.",
    "model.recurrence.clamp": "Distances from here on are one and the same.",
    "model.recurrence.shared_biases": "All layers have the same biases of attention.",
    "model.adaptive.cutoffs": "The first id of each further cluster of an adaptive vocabulary.",
    "model.adaptive.divide": "By how much each cluster's vectors are narrower than those of the one before.",
    "model.adaptive.width": "The width of the first cluster's vectors, if not the model's.",
    "model.adaptive.tie_projections": "What widens a vector also narrows a state for the softmax.",
    "model.ngrams.longest": "The last two to so many tokens together have vectors of their own; 1: there are none.",
    "model.ngrams.rows": "How many vectors there are for each length, which n-grams that hash alike share.",
    "model.ngrams.dropout": "The share of n-grams that is left out in training.",
    "model.pointer": "A summarizer or translator may copy tokens from its source.",
    "model.dropout": "Dropout on each branch's output and on the embeddings.",
    "model.attention_dropout": "Dropout on attention weights.",
    "model.activation_dropout": "Dropout inside the feed-forward layers.",
    "model.special.pad": "The id of padding.",
    "model.special.start": "The id that the decoder starts from, and that stands before a text that is read.",
    "model.special.end": "The id that ends a sequence.",
    "model.special.mask": "The id that hides a token.",
    "train.seed": "For the weights, the order of the data, and dropout.",
    "train.minutes": "Wall-clock minutes from the start of the command to its end.",
    "train.steps": "Optimizer steps.",
    "train.epochs": "Passes over the training text.",
    "train.batch_tokens": "Tokens of a step, padding included, on the batch's larger side.",
    "train.accumulate": "Parts that a batch is worked on in, to save memory; else it changes only rounding.",
    "train.optimizer": "Muon for matrices with AdamW for the rest, or AdamW alone.",
    "train.learning_rate": "The highest learning rate.",
    "train.weight_decay": "Decoupled weight decay.",
    "train.clip": "The largest norm of the gradient.",
    "train.schedule": "How the learning rate falls after the warm-up.",
    "train.warmup": "Steps in which the learning rate rises.",
    "train.decay": "The share of the run, at its end, in which a linear schedule falls.",
    "train.smoothing": "Label smoothing.",
    "train.layer_decay": "What a layer's learning rate is multiplied by for the layer below.",
    "train.average": "The share of the run, at its end, whose weights are averaged; 0 for none.",
    "train.validations": "Validations in the whole run.",
    "train.patience": "Validations without a gain that end the run early; without it, none do.",
    "train.precision": "The numbers that matrices are multiplied in; auto is bfloat16 where that is fast.",
    "train.tensorboard": "Whether to write events for TensorBoard, into the run's folder `tensorboard`.",
    "translate.from_language": "The source's language. Without a direction the model learns all of them.",
    "translate.to_language": "The language to translate into.",
    "translate.masked": "The weight of a second loss, masked language modelling on the sources.",
    "hold_out": "The share of the training examples that is held out where there is no held-out text.",
    "summarize.source": "The column of the texts.",
    "summarize.target": "The columns of the summaries: the first is learned, all are references.",
    "from_checkpoint": "The folder of an encoder, or a decoder, to begin with, weft's or Hugging Face's.",
    "masked.rate": "The share of tokens that is hidden.",
    "masked.whole_words": "Whether whole words are hidden.",
    "masked.fixed": "Whether the same tokens of a text are hidden each time.",
    "masked.next_sentence": "Whether the model also learns to say which text follows another.",
    "masked.length": "The tokens of a row that texts are packed into.",
    "classify.kind": "One label for each text, several, or a number.",
    "classify.text_column": "The column of the text.",
    "classify.pair_column": "The column of a second text.",
    "classify.label_column": "The column of the label.",
    "classify.label_until": "What ends the label in front of a text.",
    "classify.label_names": "Names for labels that are numbers from 1: a list, or a file with a line each.",
    "classify.separator": "What stands between several labels.",
    "classify.class_weights": "Whether each class counts alike, however rare it is.",
    "classify.ngrams": "Whether a linear model on words and pairs of words votes beside the network.",
    "classify.pooling": "How a text's tokens become one vector; by default as the checkpoint has it, else the mean.",
    "tag.scheme": "How entities are marked.",
    "answer.length": "The tokens of a window, the question included.",
    "answer.stride": "How many tokens of the text a window has in common with the one before.",
    "answer.longest": "The most tokens of an answer.",
    "language.length": "The tokens of a row.",
    "language.texts": "All texts as one stream, or apart: packed into rows in which none sees another.",
    "language.text_column": "The column of a table's text.",
    "language.prompt_column": "The column of prompts, which are read and not learned to be written.",
    "language.completion_column": "The column of what is to follow the prompts, which alone is learned.",
}

INTRODUCTION = """\
# Configuration

Every setting of a run. Set one on the command line, `--set model.width=384`, or in a TOML file that
`--config` names:

```toml
[model]
width = 384
dropout = 0.2

[train]
learning_rate = 1e-3
```

Settings come from a preset, then the file, then `--set`, then the command line's own options, the later ones
winning; a line `preset = "NAME"` at the top of the file stands for `--preset NAME`. The resolved configuration and
the preset that it was made from are kept as `run.json` in the run's folder, and `weft info RUN` shows them. A key
that does not exist is an error, with the file, the line, and the nearest key that does.

This page is written by `python tools/configuration_reference.py` from the code itself.
"""

PRESETS_INTRODUCTION = """
## Presets

What `--preset NAME` sets; an empty cell is the default above. Without `--preset` weft takes one of its own
that suits the size of the training text, the time there is, and the machine.
"""


class Setting(NamedTuple):
    """One line of the reference."""

    key: str
    type: str
    default: str


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[Setting]:
    """Every setting of a configuration and of those inside it."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        # A configuration inside it, or one that may be left out.
        inner = next(
            (hint for hint in (field.annotation, *get_args(field.annotation)) if is_model(hint)), None
        )
        if inner is not None:
            yield from settings(inner, f"{key}.")
        else:
            yield Setting(key, described(field), default(field))


def is_model(hint: Any) -> bool:
    """Whether a type is that of a configuration."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def every_setting() -> Iterator[Setting]:
    """Every setting of any task, those that tasks share once."""
    seen = set()
    for run in RUNS:
        for setting in settings(run):
            if setting.key not in seen:
                seen.add(setting.key)
                yield setting._replace(default="required") if setting.key == "task" else setting


def described(field: FieldInfo) -> str:
    """A field's type and limits in words.

    >>> from weft.config import TrainConfig
    >>> described(TrainConfig.model_fields["smoothing"]), described(TrainConfig.model_fields["optimizer"])
    ('number ≥ 0, < 1', '`muon`, `adamw`')
    """
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    limits = [
        f"{sign} {getattr(limit, attribute):g}"
        for limit in field.metadata
        for attribute, sign in signs.items()
        if hasattr(limit, attribute)
    ]
    return f"{named(field.annotation)} {', '.join(limits)}".strip()


def named(hint: Any) -> str:
    """A type in words."""
    words = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}
    if hint in words:
        return words[hint]
    if get_origin(hint) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(hint))
    inner = [part for part in get_args(hint) if part not in (type(None), ...)]
    return f"list of {named(inner[0])}s" if get_origin(hint) is tuple else named(inner[0])


def default(field: FieldInfo) -> str:
    """A field's default as TOML writes it."""
    if field.is_required():
        return "set by the preset" if field.annotation is int else "required"
    return "none" if field.default in (None, ()) else f"`{json.dumps(field.default)}`".replace('"', "")


def preset_rows(architecture: str) -> Iterator[str]:
    """The presets side by side: a row for each setting that one of them sets."""
    columns = {name: dict(flat(preset)) for name, preset in PRESETS[architecture].items()}
    keys = sorted({key for column in columns.values() for key in column}, key=list(MEANING).index)
    yield f"### {architecture}"
    yield ""
    yield f"| | {' | '.join(columns)} |"
    yield f"| --- |{' --- |' * len(columns)}"
    for key in keys:
        cells = [json.dumps(column[key]).strip('"') if key in column else "" for column in columns.values()]
        yield f"| `{key}` | {' | '.join(cells)} |"
    yield ""


def flat(tables: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """A preset's settings by their whole names."""
    for table, fields in tables.items():
        for name, value in fields.items():
            if isinstance(value, Mapping):
                yield from flat({f"{table}.{name}": value})
            elif value is not None:
                yield f"{table}.{name}", value


def page() -> str:
    """The whole page."""
    lines = [
        INTRODUCTION,
        "## Settings",
        "",
        "| setting | type | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{setting.key}` | {setting.type} | {setting.default} | {MEANING[setting.key]} |"
        for setting in every_setting()
    ]
    presets = [row for architecture in PRESETS for row in preset_rows(architecture)]
    return "\n".join([*lines, PRESETS_INTRODUCTION, *presets])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
