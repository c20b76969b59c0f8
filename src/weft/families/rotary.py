"""Rotary positions as Hugging Face's config.json says them, in the layouts of transformers 4 and of 5."""

import json
import math
from collections.abc import Mapping
from typing import Any

from weft.config import ModelConfig
from weft.families.table import departures

__all__ = ["read_rotary", "write_rotary"]

_BASE = 10_000.0  # what leaving it out means

# What each kind says besides the base, and our names for it.
_KINDS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "linear": {"factor": "factor"},
    "llama3": {
        "factor": "factor",
        "original_max_position_embeddings": "original_length",
        "low_freq_factor": "slow",
        "high_freq_factor": "fast",
    },
    "yarn": {
        "factor": "factor",
        "original_max_position_embeddings": "original_length",
        "beta_slow": "slow",
        "beta_fast": "fast",
        "attention_factor": "attention",
    },
}
_YARN = {"beta_slow": 1.0, "beta_fast": 32.0}  # Peng et al. 2024, section 3.2
_ONLY = {"partial_rotary_factor": 1.0, "truncate": True}


def read_rotary(theirs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """`rotary_base` and `rotary_scaling`, and what weft cannot express.

    Version 4 has `rope_theta` beside `rope_scaling`, version 5 both in `rope_parameters`.
    """
    name = "rope_scaling" if theirs.get("rope_scaling") else "rope_parameters"
    told = theirs.get(name) or {}
    if not isinstance(told, dict):
        return {}, [f"{name} = {json.dumps(told)}"]
    told = {key: value for key, value in told.items() if value is not None}
    kind = told.get("rope_type", told.get("type", "default"))
    if not isinstance(kind, str) or kind not in _KINDS:
        known = ", ".join(json.dumps(each) for each in _KINDS)
        return {}, [f"{name} with rope_type = {json.dumps(kind)} (known: {known})"]
    said = {"partial_rotary_factor": theirs.get("partial_rotary_factor") or 1.0} | told
    problems = [f"{name} with {problem}" for problem in departures(said, _ONLY)]
    read = {"rope_type", "type", "rope_theta", *_ONLY, *_KINDS[kind]}
    if kind == "yarn":
        read |= {"mscale", "mscale_all_dim"}
    further = {"original_max_position_embeddings"}  # some say it where it changes nothing
    problems += [f"{name} with {key} = {json.dumps(told[key])}" for key in told if key not in read | further]
    base = told.get("rope_theta") or theirs.get("rope_theta") or _BASE
    if kind == "default":
        return {"rotary_base": base, "rotary_scaling": None}, problems
    scaling, more = _read_scaling(kind, told, theirs)
    problems += [f"{name} without {key}" for key in more]
    return {"rotary_base": base, "rotary_scaling": {"kind": kind, **scaling}}, problems


def _read_scaling(
    kind: str, told: Mapping[str, Any], theirs: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """The fields of a RotaryScaling, and the keys that are missing."""
    longest = theirs.get("max_position_embeddings")
    original = theirs.get("original_max_position_embeddings") or told.get("original_max_position_embeddings")
    implied = {"original_max_position_embeddings": original or longest}
    if kind == "yarn":
        implied |= _YARN
        if isinstance(original, int) and isinstance(longest, int):
            implied["factor"] = longest / original
    said = {**implied, **told, "original_max_position_embeddings": original or longest}
    if kind == "yarn" and isinstance(said.get("factor"), int | float):
        said.setdefault("attention_factor", _attention(said))
    needed = {**_KINDS[kind], "original_max_position_embeddings": "original_length"}
    missing = [key for key in needed if key not in said and key != "attention_factor"]
    return {ours: said[key] for key, ours in needed.items() if key in said}, missing


def _attention(said: Mapping[str, Any]) -> float:
    """How much sharper scores are, where that is not told (Peng et al. 2024, equation 22)."""
    grown = math.log(max(1.0, said["factor"]))
    one, other = said.get("mscale"), said.get("mscale_all_dim")
    if one and other:
        return float((0.1 * one * grown + 1) / (0.1 * other * grown + 1))
    return 0.1 * grown + 1


def write_rotary(model: ModelConfig) -> dict[str, Any]:
    """The keys of config.json, in both layouts."""
    base, scaling = model.rotary_base, model.rotary_scaling
    if scaling is None:
        parameters = {"rope_type": "default", "rope_theta": base}
        return {"rope_theta": base, "rope_scaling": None, "rope_parameters": parameters}
    ours = scaling.model_dump()
    told = {"rope_type": scaling.kind} | {key: ours[name] for key, name in _KINDS[scaling.kind].items()}
    return {"rope_theta": base, "rope_scaling": told, "rope_parameters": {**told, "rope_theta": base}}
