"""How a Hugging Face folder wants its model to be searched, by the fields of `generate.SearchConfig`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weft.config import ModelConfig
from weft.families.huggingface import read_json
from weft.families.table import Field, departures, only, read_fields, write_fields

__all__ = ["read_generation", "read_settings", "write_generation"]

_FILE = "generation_config.json"

_FIELDS = (
    Field("num_beams", "beams", 1),
    Field("num_return_sequences", "nbest", 1),
    Field("min_length", "min_length", 0),
    Field("length_penalty", "length_penalty", 1.0),
    Field("early_stopping", "early_stopping", False),
    Field("repetition_penalty", "repetition_penalty", 1.0),
    Field("no_repeat_ngram_size", "no_repeat_ngram", 0),
    Field("num_beam_groups", "groups", 1),
    Field("diversity_penalty", "diversity", 0.0),
    Field("renormalize_logits", "renormalise", False),
)

# Ways to search that weft has not: each must be off.
_THEIR_ONLY = {
    "do_sample": False,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "force_words_ids": None,
    "forced_bos_token_id": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
}


def read_settings(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What `generation_config.json` sets; what `config.json` does in folders from before there was one.

    The ids of special tokens fall back to `config`.
    """
    path = folder / _FILE
    if not path.is_file():
        return dict(config)
    ids = {
        name: value for name, value in config.items() if name.endswith("_token_id") and "forced" not in name
    }
    return ids | {name: value for name, value in read_json(path).items() if value is not None}


def read_generation(theirs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a SearchConfig that are set, and what weft cannot express."""
    theirs = {name: value for name, value in theirs.items() if value is not None}
    ours, problems = read_fields([field for field in _FIELDS if field.theirs in theirs], theirs)
    problems += departures(theirs, _THEIR_ONLY)
    groups, diversity = ours.get("groups", 1), ours.get("diversity", 0.0)
    if (groups != 1) != (diversity != 0):
        problems.append(
            f"num_beam_groups = {json.dumps(groups)} beside diversity_penalty = {json.dumps(diversity)}"
        )
    for name, start in (("max_length", 1), ("max_new_tokens", 0)):  # the second, where both are set
        if isinstance(length := theirs.get(name, 0), int) and length > start:
            ours["max_length"] = length - start  # max_length counts the start token
        elif name in theirs:
            problems.append(f"{name} = {json.dumps(length)}")
    end, forced = only(theirs.get("eos_token_id")), only(theirs.get("forced_eos_token_id"))
    words = theirs.get("bad_words_ids", [])
    if isinstance(words, list) and all(isinstance(word, list) for word in words):
        # As theirs has it, the end itself cannot be banned.
        ours["banned"] = tuple(tuple(word) for word in words if word != [end])
    else:
        problems.append(f"bad_words_ids = {json.dumps(words)}")
    ours["force_end"] = forced is not None
    if forced not in (None, end):
        problems.append(f"forced_eos_token_id = {json.dumps(forced)} beside eos_token_id = {json.dumps(end)}")
    return ours, problems


def write_generation(ours: Mapping[str, Any], config: ModelConfig) -> tuple[dict[str, Any], list[str]]:
    """The content of `generation_config.json`, and the settings that have no place in it."""
    known = {field.ours for field in _FIELDS} | {"max_length", "banned", "force_end"}
    problems = [f"{name} = {json.dumps(value)}" for name, value in ours.items() if name not in known]
    theirs, more = write_fields([field for field in _FIELDS if field.ours in ours], ours)
    theirs["max_length"] = (ours.get("max_length") or config.max_length - 1) + 1
    if ours.get("banned"):
        theirs["bad_words_ids"] = [list(word) for word in ours["banned"]]
    if ours.get("force_end"):
        theirs["forced_eos_token_id"] = config.special.end
    special = config.special
    ids = {"pad_token_id": special.pad, "decoder_start_token_id": special.start, "eos_token_id": special.end}
    return theirs | ids, problems + more
