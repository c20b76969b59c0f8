"""Encoders as Hugging Face holds BERT and its kin: one table for the weights and one for config.json, both ways."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import FOLDERS, ClassifierConfig, FolderConfig, HeadName, ModelConfig, ReaderConfig
from weft.errors import UserError
from weft.families.heads import fit_task, read_task, write_task, write_vectors
from weft.families.huggingface import Imported, encode_json, encode_weights, read_json, read_weights
from weft.families.reader_tokenizer import read_tokenizer, write_tokenizer
from weft.families.table import (
    ACTIVATIONS,
    Field,
    Op,
    Rule,
    check_shapes,
    departures,
    expand,
    make_config,
    only,
    read_fields,
    to_ours,
    to_theirs,
    write_fields,
)

__all__ = ["Architecture", "Family", "export_reader", "import_reader", "weight_rules"]


class Architecture(NamedTuple):
    """One of Hugging Face's classes: the task it is for, the heads it always has, and their weights."""

    task: str
    heads: tuple[HeadName, ...]
    rules: tuple[Rule, ...]


class Family(NamedTuple):
    """What one family of encoders has of its own.

    `name` is its model_type, and stands before the names of the encoder's weights where a head is beside it; the first
    of the `architectures` is the bare encoder. `further` heads may be in any checkpoint. `defaults` say what a key left
    out of config.json means, and `fixed` what our fields have to be for a head. `counts_from_padding`: the first
    position has the row behind the padding's id.
    """

    name: str
    title: str
    architectures: Mapping[str, Architecture]
    further: Mapping[HeadName, tuple[Rule, ...]]
    defaults: Mapping[str, Any]
    fixed: Mapping[HeadName, Mapping[str, Any]]
    counts_from_padding: bool


# Weights. {base} is the encoder's name or nothing, {i} a layer's number, {p} weight and bias.

_ENCODER = (
    Rule("{base}embeddings.word_embeddings.weight", "embedding.tokens.weight"),
    Rule("{base}embeddings.position_embeddings.weight", "encoder.position.table.weight"),
    Rule("{base}embeddings.token_type_embeddings.weight", "segments.weight"),
    Rule("{base}embeddings.LayerNorm.{p}", "encoder.embedding_norm.{p}"),
    Rule("{base}encoder.layer.{i}.attention.self.query.{p}", "encoder.blocks.{i}.attention.query.{p}"),
    Rule("{base}encoder.layer.{i}.attention.self.key.{p}", "encoder.blocks.{i}.attention.key.{p}"),
    Rule("{base}encoder.layer.{i}.attention.self.value.{p}", "encoder.blocks.{i}.attention.value.{p}"),
    Rule("{base}encoder.layer.{i}.attention.output.dense.{p}", "encoder.blocks.{i}.attention.output.{p}"),
    Rule(
        "{base}encoder.layer.{i}.attention.output.LayerNorm.{p}",
        "encoder.blocks.{i}.attention_residual.after.{p}",
    ),
    Rule("{base}encoder.layer.{i}.intermediate.dense.{p}", "encoder.blocks.{i}.feed_forward.up.{p}"),
    Rule("{base}encoder.layer.{i}.output.dense.{p}", "encoder.blocks.{i}.feed_forward.down.{p}"),
    Rule(
        "{base}encoder.layer.{i}.output.LayerNorm.{p}", "encoder.blocks.{i}.feed_forward_residual.after.{p}"
    ),
)

# Stored by transformers up to version 4.30: 0, 1, 2… and zeros, as integers.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")

# As the first checkpoints have it.
_OLD_NORMS = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}

_TABLE, _TOKENS = "encoder.position.table.weight", "embedding.tokens.weight"
_ALIAS = "heads.masked.output.weight"  # the name under which our models also know the tokens' embeddings


def weight_rules(
    config: ReaderConfig, architecture: Architecture, *, family: Family, base: str
) -> list[Rule]:
    """The whole weight table of one model."""
    further = [head for head in config.heads if head not in architecture.heads]
    rules = [*_ENCODER, *architecture.rules, *(rule for head in further for rule in family.further[head])]
    return expand(rules, base=[base], i=range(config.model.encoder_layers), p=("weight", "bias"))


# Configuration: config.json, where a key that is left out has the default of BertConfig or its kin.

_FIELDS = (
    Field("vocab_size", "vocabulary", None),
    Field("hidden_size", "width", 768),
    Field("num_hidden_layers", "encoder_layers", 12),
    Field("num_attention_heads", "heads", 12),
    Field("intermediate_size", "feed_forward", 3072),
    Field("hidden_act", "activation", "gelu", ACTIVATIONS),
    Field("hidden_dropout_prob", "dropout", 0.1),
    Field("attention_probs_dropout_prob", "attention_dropout", 0.1),
    Field("max_position_embeddings", "max_length", 512),
    Field("type_vocab_size", "segments", 2),
    Field("layer_norm_eps", "norm_epsilon", 1e-12),
)

_CLASSIFIER_DROPOUT = (
    Field("hidden_dropout_prob", "dropout", 0.1),
    Field("classifier_dropout", "dropout", None),
)

_SPECIAL = (
    Field("pad_token_id", "pad", None),
    Field("bos_token_id", "start", 1),
    Field("eos_token_id", "end", 2),
)

# What each side has to hold for the other to express it.
_THEIR_ONLY = {
    "is_decoder": False,
    "add_cross_attention": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
}
_OUR_ONLY = {
    "architecture": "encoder",
    "norm": "layer",
    "norm_scale": True,
    "norm_place": "after",
    "embedding_norm": True,
    "query_key_norm": False,
    "query_key_value_bias": None,
    "head_size": None,
    "gated": False,
    "bias": True,
    "position": "learned",
    "window": None,
    "scale_embedding": False,
    "output_bias": True,
    "activation_dropout": 0.0,
}


def import_reader(folder: Path, *, family: Family) -> Imported:
    """Read a folder of one of the family's architectures.

    Raises UserError that lists the fields in the way where weft cannot express the model, and for weights that are
    missing, unknown, misshapen or a pickle, or that are not the tokenizer's.
    """
    given = {name: value for name, value in read_json(folder / "config.json").items() if value is not None}
    theirs = {**family.defaults, **given}
    name = _named(folder, theirs, family)
    architecture = family.architectures[name]
    fields, problems = _read_model(theirs, architecture, family=family)
    asked, more = read_task(theirs, task=architecture.task, folder=folder)
    _refuse([*problems, *more], folder, family)
    path = folder / "config.json"
    model = _place(make_config(fields, path), path, family=family)
    weights = _read_named(folder, loader=name, family=family)
    heads = (*architecture.heads, *_further(weights, architecture, family))
    _refuse(_unsuited(model, heads, family), folder, family)
    tokenizer, special = read_tokenizer(folder, model)
    kind = FOLDERS[architecture.task]
    assert issubclass(kind, ReaderConfig)
    described = kind(
        family=family.name,
        model=model.model_copy(update={"special": special}),
        heads=heads,
        **fit_task(asked, task=architecture.task, max_length=model.max_length),
    )
    try:
        ours = _to_ours(weights, described, architecture, family=family)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    return Imported(described, ours, tokenizer)


def export_reader(
    config: FolderConfig,
    weights: Mapping[str, NDArray[Any]],
    *,
    tokenizer: Mapping[str, bytes],
    family: Family,
) -> dict[str, bytes]:
    """The files of a folder of the family's, by name; the rest is as in `Imported`.

    What a classifier's scores are multiplied by and added to, a calibration included, goes into its weights. How a
    context is cut and which answers are given at all have no place there. Raises UserError that lists the fields in the
    way where the layout cannot express the model.
    """
    assert isinstance(config, ReaderConfig)
    theirs, problems = _write_model(config.model, config.heads, family=family)
    name, more = _fitting(config, family)
    if name is None or problems or more:
        raise UserError(
            f"Hugging Face's {family.title} layout cannot express this model: {'; '.join([*problems, *more])}; "
            "one that it can is trained by --preset bert-mini, or another of the presets that begin with bert-"
        )
    architecture = family.architectures[name]
    base = "" if name == next(iter(family.architectures)) else f"{family.name}."
    own = {each: value for each, value in weights.items() if each != _ALIAS}
    own = {**own, **_settled(own, config), _TABLE: _moved(own[_TABLE], config.model, family)}
    rules = weight_rules(config, architecture, family=family, base=base)
    return {
        "config.json": encode_json({**theirs, "architectures": [name], **write_task(config)}),
        "model.safetensors": encode_weights(to_theirs(rules, own)),
        **write_vectors(config),
        **write_tokenizer(tokenizer, config.model, length=config.maximum),
    }


def _refuse(problems: list[str], folder: Path, family: Family) -> None:
    if problems:
        raise UserError(f"{folder}: weft cannot express this {family.title} model: {'; '.join(problems)}")


def _named(folder: Path, theirs: Mapping[str, Any], family: Family) -> str:
    """The first architecture of the family's that config.json names, or else the largest that the weights have all of.

    Raises UserError where they could be of several.
    """
    told = [name for name in theirs.get("architectures", ()) if name in family.architectures]
    if told:
        return str(told[0])
    bare = next(iter(family.architectures))
    weights = _read_named(folder, loader=bare, family=family)
    found = _further(weights, family.architectures[bare], family)
    if unclear := [name for name in sorted(weights) if name.startswith(("classifier.", "qa_outputs."))]:
        raise UserError(
            f"{folder / 'config.json'}: names no architecture, and {unclear[0]} may be of several: say which under "
            f"architectures (known: {', '.join(family.architectures)})"
        )
    whole = [name for name, each in family.architectures.items() if set(each.heads) <= set(found)]
    return max(whole, key=lambda name: len(family.architectures[name].heads))


def _read_named(folder: Path, *, loader: str, family: Family) -> dict[str, NDArray[np.float32]]:
    """The weights by the names that they have today, without buffers."""
    buffers = [base + name for base in ("", f"{family.name}.") for name in _BUFFERS]
    weights = read_weights(folder, loader=loader, without=buffers)
    return {_today(name): value for name, value in weights.items()}


def _today(name: str) -> str:
    """A weight's name without the spelling of the first checkpoints.

    >>> _today("bert.embeddings.LayerNorm.gamma")
    'bert.embeddings.LayerNorm.weight'
    """
    for old, new in _OLD_NORMS.items():
        name = name.replace(old, new)
    return name


def _base(weights: Iterable[str], family: Family) -> str:
    prefix = f"{family.name}."
    return prefix if any(name.startswith(prefix) for name in weights) else ""


def _further(weights: Collection[str], architecture: Architecture, family: Family) -> list[HeadName]:
    """The heads whose weights are there though the architecture would not need them."""
    held = {name.removeprefix(f"{family.name}.") for name in weights}
    return [
        head
        for head, rules in family.further.items()
        if head not in architecture.heads
        and any(
            rule.theirs in held
            for rule in expand(rules, base=[""], p=("weight", "bias"))
            if rule.op is not Op.TIED
        )
    ]


def _to_ours(
    weights: Mapping[str, NDArray[np.float32]],
    config: ReaderConfig,
    architecture: Architecture,
    *,
    family: Family,
) -> dict[str, NDArray[np.float32]]:
    rules = weight_rules(config, architecture, family=family, base=_base(weights, family))
    ours = to_ours(rules, weights)
    names = {rule.ours: rule.theirs for rule in reversed(rules)}
    labels = len(config.labels) if config.task in ("classify", "tag") else 0
    check_shapes(ours, config.model, labels=labels, names=names)
    return ours | ({_ALIAS: ours[_TOKENS]} if "masked" in config.heads else {})


def _read_model(
    theirs: Mapping[str, Any], architecture: Architecture, *, family: Family
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a ModelConfig, and what weft cannot express."""
    fields, problems = read_fields(_FIELDS, theirs)
    special, _ = read_fields(_SPECIAL, {**theirs, "eos_token_id": only(theirs.get("eos_token_id", 2))})
    problems += departures(theirs, _THEIR_ONLY)
    if "masked" in architecture.heads:
        problems += departures(theirs, {"tie_word_embeddings": True})
    if architecture.task in ("classify", "tag") and "classifier_dropout" in theirs:
        _, more = read_fields(_CLASSIFIER_DROPOUT, theirs)
        problems += more
    return {**_OUR_ONLY, **fields, "tie": "two", "initialisation": "normal", "special": special}, problems


def _place(model: ModelConfig, path: Path, *, family: Family) -> ModelConfig:
    """The model whose `max_length` is still the rows of its table, with the positions that these rows are for."""
    pad, rows = model.special.pad, model.max_length
    if not 0 <= pad < model.vocabulary:
        raise UserError(f"{path}: pad_token_id = {pad}, but vocab_size = {model.vocabulary}")
    if (offset := _offset(model, family)) >= rows:
        raise UserError(
            f"{path}: max_position_embeddings = {rows}, of which the first {offset} are never used"
        )
    return model.model_copy(update={"position_offset": offset, "max_length": rows - offset})


def _offset(model: ModelConfig, family: Family) -> int:
    return model.special.pad + 1 if family.counts_from_padding else 0


def _fitting(config: ReaderConfig, family: Family) -> tuple[str | None, list[str]]:
    """The architecture with most of the model's heads, and what stands in the way of it."""
    fit = {name: each for name, each in family.architectures.items() if each.task == config.task}
    whole = [name for name, each in fit.items() if set(each.heads) <= set(config.heads)]
    if not whole:
        needed = min((each.heads for each in fit.values()), key=len)
        return None, departures({"heads": list(config.heads)}, {"heads": list(needed)})
    name = max(whole, key=lambda name: len(fit[name].heads))
    unknown = set(config.heads) - set(fit[name].heads) - set(family.further)
    problems = [f'heads with "{head}"' for head in sorted(unknown)]
    if {"classify", "next"} & set(config.heads):
        problems += departures({"pooling": config.pooling}, {"pooling": "first"})
    return name, problems


def _unsuited(model: ModelConfig, heads: Iterable[HeadName], family: Family) -> list[str]:
    """What some of the heads do not allow."""
    ours = model.model_dump()
    return [problem for head in heads for problem in departures(ours, family.fixed.get(head, {}))]


def _write_model(
    model: ModelConfig, heads: Sequence[HeadName], *, family: Family
) -> tuple[dict[str, Any], list[str]]:
    ours = model.model_dump() | {"norm_epsilon": model.epsilon}
    theirs, problems = write_fields(_FIELDS, ours)
    special, _ = write_fields(_SPECIAL, ours["special"])
    problems += departures(ours, _OUR_ONLY) + _unsuited(model, heads, family)
    if model.kv_heads not in (None, model.heads):
        problems.append(f"kv_heads = {model.kv_heads} beside heads = {model.heads}")
    if model.tie == "none" and "masked" in heads:
        problems.append('tie = "none"')
    if not model.segments:
        problems.append("segments = 0")
    rows = {"max_position_embeddings": model.max_length + _offset(model, family)}
    fixed = {"model_type": family.name, **_THEIR_ONLY, "tie_word_embeddings": True}
    return {**fixed, **theirs, **special, **rows}, problems


def _settled(weights: Mapping[str, NDArray[Any]], config: ReaderConfig) -> dict[str, NDArray[Any]]:
    """A classifier's last layer so that its scores need nothing more done to them."""
    if not isinstance(config, ClassifierConfig):
        return {}
    scale = config.deviation / config.temperature
    weight, bias = (weights[f"heads.classify.output.{part}"] for part in ("weight", "bias"))
    if (scale, config.mean) == (1.0, 0.0):
        return {}
    return {
        "heads.classify.output.weight": weight * np.float32(scale),
        "heads.classify.output.bias": bias * np.float32(scale) + np.float32(config.mean),
    }


def _moved(table: NDArray[Any], model: ModelConfig, family: Family) -> NDArray[Any]:
    """The table of positions with as many unused rows at its beginning as the layout has."""
    wanted, unused = _offset(model, family), model.position_offset
    missing = np.zeros((max(0, wanted - unused), table.shape[1]), table.dtype)
    return np.concatenate([missing, table[max(0, unused - wanted) :]])
