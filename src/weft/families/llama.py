"""Llama (Touvron et al. 2023) and its kin as Hugging Face holds them: Mistral, Qwen2 and Qwen3.

Rotary positions, RMSNorm before each branch, gated SiLU, grouped heads. Mistral (Jiang et al. 2023) has a window, Qwen2
(Yang et al. 2024) biases on queries, keys and values, Qwen3 (Yang et al. 2025) norms on queries and keys.
"""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from weft.config import ModelConfig
from weft.families.decoders import Family
from weft.families.rotary import read_rotary, write_rotary
from weft.families.table import ACTIVATIONS, Field, Rule

__all__ = ["FAMILIES", "LLAMA", "MISTRAL", "QWEN2", "QWEN3"]

_BLOCK = "decoder.blocks.{i}."
_RULES = (
    Rule("{base}embed_tokens.weight", "embedding.tokens.weight"),
    Rule("{base}layers.{i}.input_layernorm.weight", _BLOCK + "attention_residual.before.weight"),
    Rule("{base}layers.{i}.self_attn.q_proj.{q}", _BLOCK + "attention.query.{q}"),
    Rule("{base}layers.{i}.self_attn.k_proj.{q}", _BLOCK + "attention.key.{q}"),
    Rule("{base}layers.{i}.self_attn.v_proj.{q}", _BLOCK + "attention.value.{q}"),
    Rule("{base}layers.{i}.self_attn.o_proj.{p}", _BLOCK + "attention.output.{p}"),
    Rule("{base}layers.{i}.post_attention_layernorm.weight", _BLOCK + "feed_forward_residual.before.weight"),
    Rule("{base}layers.{i}.mlp.gate_proj.{p}", _BLOCK + "feed_forward.gate.{p}"),
    Rule("{base}layers.{i}.mlp.up_proj.{p}", _BLOCK + "feed_forward.up.{p}"),
    Rule("{base}layers.{i}.mlp.down_proj.{p}", _BLOCK + "feed_forward.down.{p}"),
    Rule("{base}norm.weight", "decoder.norm.weight"),
)
_QUERY_KEY_NORM = (
    Rule("{base}layers.{i}.self_attn.q_norm.weight", _BLOCK + "attention.query_norm.weight"),
    Rule("{base}layers.{i}.self_attn.k_norm.weight", _BLOCK + "attention.key_norm.weight"),
)

# Configuration: config.json, where a key that is left out has the default of each family's configuration.

_FIELDS = (
    Field("vocab_size", "vocabulary", None),
    Field("hidden_size", "width", 4096),
    Field("num_hidden_layers", "decoder_layers", 32),
    Field("num_attention_heads", "heads", 32),
    Field("intermediate_size", "feed_forward", None),
    Field("hidden_act", "activation", "silu", ACTIVATIONS),
    Field("max_position_embeddings", "max_length", None),
    Field("attention_dropout", "attention_dropout", 0.0),
)
_OUR_ONLY = {
    "norm": "rms",
    "gated": True,
    "position": "rotary",
}
_DEFAULTS = {
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
}

Fields = tuple[dict[str, Any], list[str]]


def _read(theirs: Mapping[str, Any]) -> Fields:
    """What all four say of heads, norms and positions."""
    fields, problems = read_rotary(theirs)
    heads, width, size = (theirs.get(name) for name in ("num_attention_heads", "hidden_size", "head_dim"))
    groups = theirs.get("num_key_value_heads")
    whole = isinstance(heads, int) and isinstance(width, int) and heads > 0
    fields["kv_heads"] = None if groups == heads else groups
    fields["head_size"] = None if whole and size is not None and size * heads == width else size
    fields["norm_epsilon"] = theirs.get("rms_norm_eps")
    return {**fields, "window": None}, problems


def _write(model: ModelConfig) -> Fields:
    written = {
        "num_key_value_heads": model.groups,
        "head_dim": model.head_width,
        "rms_norm_eps": model.epsilon,
        **write_rotary(model),
    }
    return written, []


def _read_llama(theirs: Mapping[str, Any]) -> Fields:
    fields, problems = _read(theirs)
    attention, others = (theirs.get(name, False) for name in ("attention_bias", "mlp_bias"))
    if attention != others:
        problems.append(f"attention_bias = {json.dumps(attention)} beside mlp_bias = {json.dumps(others)}")
    return {**fields, "bias": others}, problems


def _write_llama(model: ModelConfig) -> Fields:
    written, problems = _write(model)
    problems = problems + _unlike(model, biased=model.bias) + _windowed(model)
    if model.width % model.heads:  # which transformers refuses here, whatever head_dim says
        problems.append(f"width = {model.width} beside heads = {model.heads}")
    return {**written, "attention_bias": model.bias, "mlp_bias": model.bias}, problems


def _read_mistral(theirs: Mapping[str, Any]) -> Fields:
    fields, problems = _read(theirs)
    kinds = theirs.get("layer_types")
    if kinds and len(set(kinds)) > 1:
        problems.append(f"layer_types = {json.dumps(kinds)}")
    return {**fields, "window": theirs.get("sliding_window")}, problems


def _write_mistral(model: ModelConfig) -> Fields:
    written, problems = _write(model)
    problems = problems + _unlike(model, biased=False)
    if not all(_slides(model)):
        problems += _windowed(model)
    return {**written, "sliding_window": model.window}, problems


def _read_qwen(theirs: Mapping[str, Any]) -> Fields:
    fields, problems = _read(theirs)
    window = theirs.get("sliding_window")
    if not theirs.get("use_sliding_window", False) or window is None:
        return fields, problems
    layers, first = theirs.get("num_hidden_layers", 32), theirs.get("max_window_layers", 28)
    whole = isinstance(layers, int) and isinstance(first, int)
    implied = ["full_attention" if i < first else "sliding_attention" for i in range(layers)] if whole else []
    kinds = theirs.get("layer_types") or implied
    pattern = [kind == "sliding_attention" for kind in kinds]
    every = _every(pattern)
    if every is None or len(pattern) != layers:
        problems.append(
            f"layer_types = {json.dumps(kinds)} (weft's are each nth layer from the first on, or none)"
        )
    return {**fields, "window": window if any(pattern) else None, "global_every": every}, problems


def _write_qwen(model: ModelConfig) -> Fields:
    written, problems = _write(model)
    slides = _slides(model)
    window = {
        "use_sliding_window": any(slides),
        "sliding_window": model.window if any(slides) else None,
        "max_window_layers": slides.index(True) if any(slides) else len(slides),
        "layer_types": ["sliding_attention" if each else "full_attention" for each in slides],
    }
    return {**written, **window}, problems


def _write_qwen3(model: ModelConfig) -> Fields:
    written, problems = _write_qwen(model)
    return written, problems + _unlike(model, biased=False)


def _slides(model: ModelConfig) -> list[bool]:
    """Of each layer whether it has the window."""
    every = model.global_every
    return [
        model.window is not None and not (every and layer % every == 0)
        for layer in range(model.decoder_layers)
    ]


def _every(pattern: Sequence[bool]) -> int | None:
    """The `global_every` that gives a pattern of windows; None where there is none.

    >>> _every([False, True, True, False]), _every([True, True]), _every([True, False])
    (3, 0, None)
    """
    layers = range(len(pattern))
    choices = (0, *range(1, len(pattern) + 1))
    fit = (n for n in choices if all(pattern[i] != bool(n and i % n == 0) for i in layers))
    return next(fit, None)


def _windowed(model: ModelConfig) -> list[str]:
    if not any(_slides(model)):
        return []
    return [f"window = {model.window} with global_every = {model.global_every}"]


def _unlike(model: ModelConfig, *, biased: bool) -> list[str]:
    """Where queries, keys and values have biases, and should not, or the other way round."""
    found = model.bias if model.query_key_value_bias is None else model.query_key_value_bias
    return (
        [] if found == biased else [f"query_key_value_bias = {json.dumps(found)} (not {json.dumps(biased)})"]
    )


def _family(name: str, title: str, **fields: Any) -> Family:
    rules, defaults, ours = (fields.pop(key, {}) for key in ("rules", "defaults", "our_only"))
    return Family(
        name=name,
        title=title,
        architecture=f"{title}ForCausalLM",
        base="model.",
        rules=(*_RULES, *rules),
        buffers=("layers.{i}.self_attn.rotary_emb.inv_freq",),
        fields=_FIELDS,
        defaults=MappingProxyType({**_DEFAULTS, **defaults}),
        our_only=MappingProxyType({**_OUR_ONLY, **ours}),
        **{"their_only": MappingProxyType({}), "read": _read, **fields},
    )


LLAMA = _family(
    "llama",
    "Llama",
    defaults={
        "vocab_size": 32000,
        "intermediate_size": 11008,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    our_only={"query_key_norm": False},
    read=_read_llama,
    write=_write_llama,
)
MISTRAL = _family(
    "mistral",
    "Mistral",
    defaults={
        "vocab_size": 32000,
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    our_only={"query_key_norm": False, "bias": False},
    read=_read_mistral,
    write=_write_mistral,
)
_QWEN = {
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "max_position_embeddings": 32768,
    "num_key_value_heads": 32,
    "sliding_window": 4096,
}
QWEN2 = _family(
    "qwen2",
    "Qwen2",
    defaults=_QWEN,
    our_only={"query_key_norm": False, "bias": False, "query_key_value_bias": True},
    read=_read_qwen,
    write=_write_qwen,
)
QWEN3 = _family(
    "qwen3",
    "Qwen3",
    rules=_QUERY_KEY_NORM,
    defaults={**_QWEN, "head_dim": 128},
    their_only=MappingProxyType({"attention_bias": False}),
    our_only={"query_key_norm": True, "bias": False},
    read=_read_qwen,
    write=_write_qwen3,
)

FAMILIES = (LLAMA, MISTRAL, QWEN2, QWEN3)
