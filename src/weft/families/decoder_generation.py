"""How a Hugging Face folder wants its decoder to generate, by the fields of `generate.SearchConfig`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.config import GeneratorConfig
from weft.families.generation import read_generation
from weft.families.huggingface import read_json
from weft.families.table import Field, read_fields, write_fields

__all__ = ["read_ends", "read_search", "write_search"]

_FILE = "generation_config.json"

_SAMPLING = (
    Field("temperature", "temperature", 1.0),
    Field("top_k", "top_k", 50),
    Field("top_p", "top_p", 1.0),
    Field("min_p", "min_p", 0.0),
)
_SEARCH = (
    Field("num_beams", "beams", 1),
    Field("num_return_sequences", "nbest", 1),
    Field("min_new_tokens", "min_length", 0),
    Field("max_new_tokens", "max_length", None),
    Field("length_penalty", "length_penalty", 1.0),
    Field("early_stopping", "early_stopping", False),
    Field("repetition_penalty", "repetition_penalty", 1.0),
    Field("no_repeat_ngram_size", "no_repeat_ngram", 0),
    Field("num_beam_groups", "groups", 1),
    Field("diversity_penalty", "diversity", 0.0),
    Field("renormalize_logits", "renormalise", False),
)
_KNOWN = {field.ours for field in (*_SAMPLING, *_SEARCH)} | {"sample", "banned"}

# What bounds a prompt and its continuation together is no length of the continuation's; the end is never forced.
_OVER_ALL = ("max_length", "min_length", "forced_eos_token_id")


def read_ends(folder: Path, config: Mapping[str, Any]) -> list[Any]:
    """What ends a text: what `config.json` says of it, then what `generation_config.json` does."""
    ends: list[Any] = []
    for told in (config, _read(folder)):
        end = told.get("eos_token_id")
        ends += [each for each in (end if isinstance(end, list) else [end]) if each is not None]
    return list(dict.fromkeys(ends))


def read_search(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields of a SearchConfig that `generation_config.json` sets, and what weft cannot express."""
    theirs = {name: value for name, value in _read(folder).items() if value is not None}
    sample = theirs.get("do_sample", False)
    if not isinstance(sample, bool):
        return {}, [f"do_sample = {json.dumps(sample)}"]
    # What weft has not must be off: `read_generation` sees to it.
    seen = {name: value for name, value in theirs.items() if name not in ("do_sample", *_OVER_ALL)}
    general, problems = read_generation(seen)
    ours, _ = read_fields([field for field in _SEARCH if field.theirs in theirs], theirs)
    if general.get("banned"):
        ours["banned"] = general["banned"]
    if not sample:
        return ours, problems
    if (beams := theirs.get("num_beams", 1)) != 1:
        problems.append(f"num_beams = {json.dumps(beams)} beside do_sample = true")
    drawn, _ = read_fields(_SAMPLING, theirs)
    return {**ours, "sample": True, **drawn}, problems


def write_search(config: GeneratorConfig) -> tuple[dict[str, Any], list[str]]:
    """The content of `generation_config.json`, and the settings that have no place in it."""
    ours, special = config.generation, config.model.special
    problems = [f"{name} = {json.dumps(value)}" for name, value in ours.items() if name not in _KNOWN]
    theirs, more = write_fields([field for field in (*_SAMPLING, *_SEARCH) if field.ours in ours], ours)
    if ours.get("sample"):
        theirs["do_sample"] = True
    if ours.get("banned"):
        theirs["bad_words_ids"] = [list(word) for word in ours["banned"]]
    ids = {
        "bos_token_id": special.start,
        "eos_token_id": [special.end, *config.ends] if config.ends else special.end,
        "pad_token_id": special.pad,  # as transformers has it where a model has no padding of its own
    }
    return theirs | ids, problems + more


def _read(folder: Path) -> dict[str, Any]:
    return read_json(folder / _FILE) if (folder / _FILE).is_file() else {}
