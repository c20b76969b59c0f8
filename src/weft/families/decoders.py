"""Decoders as Hugging Face holds GPT-2, Llama and their kin: a table for the weights and one for config.json, both ways."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import FolderConfig, GeneratorConfig, ModelConfig
from weft.errors import UserError
from weft.families.decoder_generation import read_ends, read_search, write_search
from weft.families.decoder_tokenizer import Read, check_size, read_tokenizer, write_tokenizer
from weft.families.huggingface import Imported, encode_json, encode_weights, read_json, read_weights
from weft.families.table import (
    Field,
    Op,
    Rule,
    check_their_shapes,
    departures,
    expand,
    make_config,
    read_fields,
    to_ours,
    to_theirs,
    write_fields,
)

__all__ = ["Family", "export_decoder", "import_decoder", "weight_rules"]

Fields = tuple[dict[str, Any], list[str]]
"""The fields that are expressed, and what stands in the way."""


class Family(NamedTuple):
    """What one family of decoders has of its own.

    `name` is its model_type, and `base` stands before the names of its weights, but for the output's. `defaults` say what
    a key left out of config.json means, `their_only` and `our_only` what each side has to hold for the other to express
    it. `read` and `write` do what the table of `fields` cannot say. `buffers` are stored by old versions of transformers.
    """

    name: str
    title: str
    architecture: str
    base: str
    rules: tuple[Rule, ...]
    buffers: tuple[str, ...]
    fields: tuple[Field, ...]
    defaults: Mapping[str, Any]
    their_only: Mapping[str, Any]
    our_only: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], Fields]
    write: Callable[[ModelConfig], Fields]
    byte_pairs: bool = False


_TOKENS, _OUTPUT = "embedding.tokens.weight", "output.weight"


def weight_rules(model: ModelConfig, *, family: Family, base: str) -> list[Rule]:
    """The whole weight table of one model. {q} is weight, and bias where queries, keys and values have one; {p} the same of
    the other matrices; {n} of the norms."""
    pair, alone = ("weight", "bias"), ("weight",)
    biased = model.bias if model.query_key_value_bias is None else model.query_key_value_bias
    tied = model.tie != "none"
    output = Rule("lm_head.weight", _TOKENS, Op.TIED) if tied else Rule("lm_head.weight", _OUTPUT)
    return expand(
        [*family.rules, output],
        base=[base],
        i=range(model.decoder_layers),
        q=pair if biased else alone,
        p=pair if model.bias else alone,
        n=pair if model.norm == "layer" else alone,
    )


# What transformers itself knows of every family.
_THEIR_ONLY = {"quantization_config": None, "is_encoder_decoder": False, "add_cross_attention": False}
_OUR_ONLY = {
    "architecture": "decoder",
    "ngrams": None,
    "norm_scale": True,
    "norm_place": "before",
    "embedding_norm": False,
    "scale_embedding": False,
    "output_bias": False,
}


def import_decoder(folder: Path, *, family: Family) -> Imported:
    """Read a folder of the family's.

    Where there is no padding, rows are filled up with the end; where there is no start, it is the end, too. Raises
    UserError that lists the fields in the way where weft cannot express the model, and for weights that are missing,
    unknown, misshapen or a pickle, or that are not the tokenizer's.
    """
    path = folder / "config.json"
    told = read_json(path)
    theirs = {**family.defaults, **told}
    fields, problems = _read_model(theirs, family)
    search, more = read_search(folder)
    if problems or more:
        raise UserError(
            f"{folder}: weft cannot express this {family.title} model: {'; '.join([*problems, *more])}"
        )
    model = make_config(fields, path)
    tokenizer = read_tokenizer(folder, byte_pairs=family.byte_pairs)
    if tokenizer is not None:
        check_size(tokenizer, model, folder)
    special, ends = _read_special(theirs, tokenizer, model, folder=folder)
    model = model.model_copy(update={"special": model.special.model_copy(update=special)})
    weights = read_weights(folder, loader=family.architecture, without=_buffers(model, family))
    try:
        ours = _to_ours(weights, model, family)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    described = GeneratorConfig(
        family=family.name,
        model=model,
        prefix=tokenizer.prefix if tokenizer is not None else (),
        ends=ends,
        generation=search,
    )
    return Imported(described, ours, {} if tokenizer is None else tokenizer.files)


def export_decoder(
    config: FolderConfig,
    weights: Mapping[str, NDArray[Any]],
    *,
    tokenizer: Mapping[str, bytes],
    families: Sequence[Family],
) -> dict[str, bytes]:
    """The files of a folder of one of the families', by name; the rest is as in `Imported`.

    Of several that can express the model, it is the one that it came from, or else the first. Dropout that a family has
    no place for is for training alone, and is left out. Raises UserError that lists the fields in the way of the closest.
    """
    assert isinstance(config, GeneratorConfig)
    own_first = sorted(families, key=lambda each: each.name != config.family)
    written = [(family, *_write_model(config, family)) for family in own_first]
    family, theirs, problems = min(written, key=lambda each: len(each[2]))
    search, more = write_search(config)
    if problems or more:
        raise UserError(
            f"Hugging Face's {family.title} layout, the closest, cannot express this model: "
            f"{'; '.join([*problems, *more])}; one that it can is trained by --preset gpt2"
        )
    model = config.model
    own = {name: value for name, value in weights.items() if model.tie == "none" or name != _OUTPUT}
    rules = weight_rules(model, family=family, base=family.base)
    return {
        "config.json": encode_json(theirs),
        "generation_config.json": encode_json(search),
        "model.safetensors": encode_weights(to_theirs(rules, own, join=np.concatenate)),
        **write_tokenizer(tokenizer, model, prefix=config.prefix),
    }


def _read_model(theirs: Mapping[str, Any], family: Family) -> Fields:
    """The fields of a ModelConfig, and what weft cannot express."""
    known = {name: value for name, value in theirs.items() if value is not None}
    fields, problems = read_fields(family.fields, known)
    further, more = family.read(theirs)
    problems += more + departures(known, {**_THEIR_ONLY, **family.their_only})
    tied = theirs.get("tie_word_embeddings")
    if not isinstance(tied, bool):
        problems.append(f"tie_word_embeddings = {json.dumps(tied)}")
    ours = {**_OUR_ONLY, **family.our_only, "global_every": 0, **fields, **further}
    return {**ours, "tie": "two" if tied else "none", "initialisation": "normal"}, problems


def _write_model(config: GeneratorConfig, family: Family) -> Fields:
    model = config.model
    ours = model.model_dump()
    theirs, problems = write_fields(family.fields, ours)
    further, more = family.write(model)
    problems += more + departures(ours, {**_OUR_ONLY, **family.our_only})
    special = model.special
    ids = {
        "bos_token_id": special.start,
        "eos_token_id": [special.end, *config.ends] if config.ends else special.end,
        "pad_token_id": None if special.pad == special.end else special.pad,
    }
    fixed = {
        "model_type": family.name,
        "architectures": [family.architecture],
        "tie_word_embeddings": model.tie != "none",
    }
    return {**fixed, **family.their_only, **theirs, **further, **ids}, problems


def _read_special(
    theirs: Mapping[str, Any], tokenizer: Read | None, model: ModelConfig, *, folder: Path
) -> tuple[dict[str, int], tuple[int, ...]]:
    """The ids of the special tokens, and further tokens that end a text.

    Of several ends the first one is, or the one that is the tokenizer's.
    """
    named = {} if tokenizer is None else tokenizer.special
    ends = read_ends(folder, theirs) or [named[key] for key in ("eos_token",) if key in named]
    if not ends:
        raise UserError(f"{folder / 'config.json'}: no eos_token_id: weft needs to know what ends a text")
    end = named["eos_token"] if named.get("eos_token") in ends else ends[0]
    start, pad = (
        named.get(f"{key}_token", end) if (told := theirs.get(f"{key}_token_id")) is None else told
        for key in ("bos", "pad")
    )
    special = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": pad}
    for key, number in [*special.items(), *(("eos_token_id", each) for each in ends)]:
        if type(number) is not int or not 0 <= number < model.vocabulary:
            raise UserError(
                f"{folder / 'config.json'}: {key} = {json.dumps(number)}, but vocab_size = {model.vocabulary}"
            )
    return {"start": start, "end": end, "pad": pad}, tuple(each for each in ends if each != end)


def _buffers(model: ModelConfig, family: Family) -> list[str]:
    rules = expand([Rule(name, "") for name in family.buffers], i=range(model.decoder_layers))
    return [base + rule.theirs for base in ("", family.base) for rule in rules]


def _to_ours(
    weights: Mapping[str, NDArray[np.float32]], model: ModelConfig, family: Family
) -> dict[str, NDArray[np.float32]]:
    rules = weight_rules(model, family=family, base=_base(weights, family))
    check_their_shapes(rules, weights, model)
    ours = to_ours(rules, weights)
    return ours | ({} if model.tie == "none" else {_OUTPUT: ours[_TOKENS]})


def _base(weights: Iterable[str], family: Family) -> str:
    return family.base if any(name.startswith(family.base) for name in weights) else ""
