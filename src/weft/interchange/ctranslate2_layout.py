"""A model in the variables of CTranslate2's specification, and back: what it can express, and by which names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import FARTHEST, ModelConfig
from weft.families.positions import position_table
from weft.families.table import Rule, departures, expand, to_ours, to_theirs

__all__ = ["ACTIVATIONS", "ENCODINGS", "known_variables", "obstacles", "to_variables", "to_weights"]

Array = NDArray[Any]

ACTIVATIONS = ("relu", "gelu_tanh", "silu", "gelu")
"""In the order of its enumeration. A squared ReLU is there as a gated one whose two matrices are the same."""

ENCODINGS = "position_encodings/encodings"
"""A stack's table of positions."""

_TABLES = ("sinusoidal", "sinusoidal_halves", "none")

# Weights by the specification's names, {i} a layer's number, {s} the stack. {p} is weight and bias where there is one, {q}
# the same of queries, keys and values. Parts of one variable are numbered behind a #.
_ATTENTION = (
    Rule("{s}/layer_{i}/self_attention/linear_0/{q}#0", "{s}.blocks.{i}.attention.query.{q}"),
    Rule("{s}/layer_{i}/self_attention/linear_0/{q}#1", "{s}.blocks.{i}.attention.key.{q}"),
    Rule("{s}/layer_{i}/self_attention/linear_0/{q}#2", "{s}.blocks.{i}.attention.value.{q}"),
    Rule("{s}/layer_{i}/self_attention/linear_1/{p}", "{s}.blocks.{i}.attention.output.{p}"),
)
_HEAD_NORMS = (
    Rule("{s}/layer_{i}/self_attention/q_norm/gamma", "{s}.blocks.{i}.attention.query_norm.weight"),
    Rule("{s}/layer_{i}/self_attention/k_norm/gamma", "{s}.blocks.{i}.attention.key_norm.weight"),
)
_CROSS = (
    Rule("{s}/layer_{i}/attention/linear_0/{q}", "{s}.blocks.{i}.cross.query.{q}"),
    Rule("{s}/layer_{i}/attention/linear_1/{q}#0", "{s}.blocks.{i}.cross.key.{q}"),
    Rule("{s}/layer_{i}/attention/linear_1/{q}#1", "{s}.blocks.{i}.cross.value.{q}"),
    Rule("{s}/layer_{i}/attention/linear_2/{p}", "{s}.blocks.{i}.cross.output.{p}"),
)
_DOWN = (Rule("{s}/layer_{i}/ffn/linear_1/{p}", "{s}.blocks.{i}.feed_forward.down.{p}"),)
_UP = (Rule("{s}/layer_{i}/ffn/linear_0/{p}", "{s}.blocks.{i}.feed_forward.up.{p}"),)
_GATED = (
    Rule("{s}/layer_{i}/ffn/linear_0/{p}", "{s}.blocks.{i}.feed_forward.gate.{p}"),
    Rule("{s}/layer_{i}/ffn/linear_0_noact/{p}", "{s}.blocks.{i}.feed_forward.up.{p}"),
)
_SQUARED = (*_UP, Rule("{s}/layer_{i}/ffn/linear_0_noact/{p}", "{s}.blocks.{i}.feed_forward.up.{p}"))
_BUCKETS = (Rule("{s}/layer_{i}/self_attention/relative_attention_bias", "{s}.position.table.weight"),)


def obstacles(config: ModelConfig) -> list[str]:
    """What of a model CTranslate2 cannot express, in words; nothing where it can all of it."""
    needed: dict[str, Any] = {"ngrams": None, "pointer": False, "recurrence": None}
    if config.window is not None and config.window < config.max_length:
        needed["window"] = None
    if config.architecture == "seq2seq":
        needed["query_key_norm"] = (
            False  # it normalises cross-attention's queries before they are split into heads
        )
    if config.architecture != "decoder" and config.position == "alibi":
        needed["position"] = "rotary"
    if config.segments:
        needed["scale_embedding"] = False  # it scales the sum of both vectors
    if config.gated and config.activation == "relu_squared":
        needed["activation"] = "relu"
    if config.kv_heads == 1 and config.head_size is not None:
        needed["head_size"] = None
    problems = departures(config.model_dump(), needed)
    if config.rotary_scaling is not None and config.rotary_scaling.kind != "linear":
        problems.append(f'rotary_scaling.kind = "{config.rotary_scaling.kind}" (not "linear")')
    return problems


def to_variables(config: ModelConfig, weights: Mapping[str, Array]) -> dict[str, Array]:
    """All variables of a model but its settings, from its weights by our names."""
    rules = _rules(config)
    ours = {rule.ours for rule in rules}
    parts = to_theirs(rules, {name: value for name, value in weights.items() if name in ours})
    joined: dict[str, list[Array]] = {}
    for name, value in parts.items():  # parts follow each other in the table
        joined.setdefault(name.partition("#")[0], []).append(value)
    found = {name: each[0] if len(each) == 1 else np.concatenate(each) for name, each in joined.items()}
    return found | _computed(config, weights)


def to_weights(config: ModelConfig, variables: Mapping[str, Array]) -> dict[str, Array]:
    """The weights by our names, all of the model's state, from its variables.

    Raises UserError where one is missing, or two disagree that have to be the same.
    """
    rules = _rules(config)
    wanted = {rule.theirs for rule in rules}
    whole = {name.partition("#")[0] for name in wanted}
    parts: dict[str, Array] = {}
    for name in whole & set(variables):
        value = variables[name]
        if name in wanted:
            parts[name] = value
            continue
        count = sum(each.startswith(f"{name}#") for each in wanted)
        bounds = _bounds(config, count)
        parts |= {f"{name}#{number}": part for number, part in enumerate(np.split(value, bounds))}
    weights = to_ours(rules, parts)
    if config.position == "learned":
        for stack in _stacks(config):
            unused = np.zeros((config.position_offset, config.width), np.float32)
            weights[f"{stack}.position.table.weight"] = np.concatenate(
                [unused, variables[f"{stack}/{ENCODINGS}"]]
            )
    made = {id(value): np.array(value, np.float32) for value in weights.values()}  # tied ones are one array
    return {name: made[id(value)] for name, value in weights.items()}


def known_variables(config: ModelConfig) -> set[str]:
    """The names of all variables that weights are read from."""
    names = {rule.theirs.partition("#")[0] for rule in _rules(config)}
    return names | {f"{stack}/{ENCODINGS}" for stack in _stacks(config)}


def _bounds(config: ModelConfig, count: int) -> list[int]:
    """Where a matrix of queries, keys and values, or of the last two alone, falls into its parts."""
    queries, keys = (heads * config.head_width for heads in (config.heads, config.groups))
    return [queries, queries + keys] if count == 3 else [keys]


def _rules(config: ModelConfig) -> list[Rule]:
    """The whole weight table of one model, but for positions."""
    embedding = "encoder/embeddings_0/weight" if config.encoder_layers else "decoder/embeddings/weight"
    rules = [
        rule for stack, layers in _stacks(config).items() for rule in _stack_rules(config, stack, layers)
    ]
    if config.architecture == "seq2seq":
        rules.append(Rule(embedding, "source_embedding.tokens.weight"))
        rules.append(Rule("decoder/embeddings/weight", "target_embedding.tokens.weight"))
    else:
        rules.append(Rule(embedding, "embedding.tokens.weight"))
    if config.segments:
        rules.append(Rule("encoder/embeddings_1/weight", "segments.weight"))
    if config.decoder_layers:
        rules.append(Rule("decoder/projection/weight", "output.weight"))
        rules += [Rule("decoder/projection/bias", "output.bias")] * config.output_bias
    return rules


def _stacks(config: ModelConfig) -> dict[str, int]:
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    return {stack: count for stack, count in layers.items() if count}


def _stack_rules(config: ModelConfig, stack: str, layers: int) -> list[Rule]:
    biased = config.bias if config.query_key_value_bias is None else config.query_key_value_bias
    up = _GATED if config.gated else _SQUARED if config.activation == "relu_squared" else _UP
    rules = [*_ATTENTION, *up, *_DOWN]
    rules += _CROSS if _has_cross(config, stack) else ()
    rules += _HEAD_NORMS if config.query_key_norm else ()
    rules += _BUCKETS if config.position == "t5" else ()
    if config.norm_scale:
        parts = {"gamma": "weight", "beta": "bias"} if config.norm == "layer" else {"gamma": "weight"}
        rules += [
            Rule(f"{{s}}/{theirs}/{part}", f"{{s}}.{ours}.{name}")
            for theirs, ours in _norms(config, stack).items()
            for part, name in parts.items()
        ]
    pair, alone = ("weight", "bias"), ("weight",)
    return expand(
        rules,
        s=[stack],
        i=range(layers),
        p=pair if config.bias else alone,
        q=pair if biased else alone,
    )


def _has_cross(config: ModelConfig, stack: str) -> bool:
    return config.architecture == "seq2seq" and stack == "decoder"


def _norms(config: ModelConfig, stack: str) -> dict[str, str]:
    """The norms of a stack, {i} a layer's number: their names, and ours."""
    branches = {"self_attention": "attention", "ffn": "feed_forward"}
    branches |= {"attention": "cross"} if _has_cross(config, stack) else {}
    norms = {
        f"layer_{{i}}/{theirs}/layer_norm": f"blocks.{{i}}.{ours}_residual.{config.norm_place}"
        for theirs, ours in branches.items()
    }
    norms |= {"layer_norm": "norm"} if config.norm_place == "before" else {}
    return norms | ({"layernorm_embedding": "embedding_norm"} if config.embedding_norm else {})


def _computed(config: ModelConfig, weights: Mapping[str, Array]) -> dict[str, Array]:
    """What is a variable there, and here is computed or not there at all: positions, and norms without parameters."""
    found: dict[str, Array] = {}
    for stack, layers in _stacks(config).items():
        if config.position == "learned":
            table = weights[f"{stack}.position.table.weight"]
            found[f"{stack}/{ENCODINGS}"] = table[config.position_offset :]
        elif config.position in _TABLES:
            found[f"{stack}/{ENCODINGS}"] = position_table(
                config.position, width=config.width, length=config.max_length
            )
        if config.position == "t5":
            far = np.array(FARTHEST, np.int32)
            attention = "self_attention/relative_attention_max_distance"
            found |= {f"{stack}/layer_{i}/{attention}": far for i in range(layers)}
        if not config.norm_scale:
            names = [Rule(f"{stack}/{name}", "") for name in _norms(config, stack)]
            for name, *_ in expand(names, i=range(layers)):
                found[f"{name}/gamma"] = np.ones(config.width, np.float32)
                if config.norm == "layer":
                    found[f"{name}/beta"] = np.zeros(config.width, np.float32)
    return found
