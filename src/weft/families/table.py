"""A published layout beside weft's, as data: one table for both directions, NumPy's arrays and torch's."""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from pydantic import ValidationError

from weft.config import ModelConfig
from weft.errors import UserError

__all__ = [
    "ACTIVATIONS",
    "Array",
    "Field",
    "Op",
    "Preset",
    "Rule",
    "check_shapes",
    "check_their_shapes",
    "departures",
    "expand",
    "make_config",
    "only",
    "read_fields",
    "to_ours",
    "to_theirs",
    "write_fields",
]


class Array(Protocol):
    """What a table asks of an array, and what NumPy's and torch's have in common."""

    @property
    def shape(self) -> Any: ...
    @property
    def T(self) -> Self: ...  # noqa: N802
    def __getitem__(self, key: Any, /) -> Any: ...
    def __eq__(self, other: object, /) -> Any: ...


A = TypeVar("A", bound=Array)


class Op(Enum):
    """What lies between a weight there and the same weight here."""

    SAME = "same"
    TRANSPOSE = "transpose"  # theirs is (in, out), as in GPT-2
    ROW = "row"  # theirs has one more axis in front, of length one
    TIED = "tied"  # one more name for what another rule carries: agrees where it is there, and is not written
    COMPUTED = "computed"  # weft computes it: may be there, and is not written


class Rule(NamedTuple):
    """One weight's name there and here. Names may hold placeholders, `{i}`, for `expand` to fill.

    With a `part` (k, n), theirs holds n of ours of one size, one after the other on our first axis, and this is number k.
    """

    theirs: str
    ours: str
    op: Op = Op.SAME
    part: tuple[int, int] | None = None


class Field(NamedTuple):
    """One configuration value's name there and here, and what it means there to leave it out.

    `values` translates where the two sides also spell the value differently; of several spellings of one
    value the first is the one to write.
    """

    theirs: str
    ours: str
    default: Any
    values: Mapping[Any, Any] | None = None

    def read(self, value: Any) -> Any:
        """Their value as ours; KeyError where there is no such value here."""
        return value if self.values is None else self.values[value]

    def write(self, value: Any) -> Any:
        """Our value as theirs; IndexError where there is no such value there."""
        if self.values is None:
            return value
        spellings = [theirs for theirs, ours in self.values.items() if ours == value]
        return spellings[0]


class Preset(NamedTuple):
    """The fields of a ModelConfig, all but the vocabulary, and where they are published."""

    source: str
    fields: Mapping[str, Any]


# Hugging Face's names, of several for one function the one to write first.
ACTIVATIONS = MappingProxyType(
    {
        "relu": "relu",
        "gelu": "gelu",
        "gelu_python": "gelu",
        "gelu_new": "gelu_tanh",
        "gelu_pytorch_tanh": "gelu_tanh",
        "gelu_fast": "gelu_tanh",
        "silu": "silu",
        "swish": "silu",
        "relu2": "relu_squared",
    }
)


def expand(rules: Iterable[Rule], **values: Iterable[object]) -> list[Rule]:
    """Each rule once for every combination of the placeholders that it holds.

    >>> [tuple(rule)[:2] for rule in expand([Rule("fc.{i}", "up.{i}"), Rule("b", "bias")], i=range(2))]
    [('fc.0', 'up.0'), ('fc.1', 'up.1'), ('b', 'bias')]
    """
    choices = {name: list(options) for name, options in values.items()}
    expanded = []
    for rule in rules:
        held = [name for name in choices if f"{{{name}}}" in rule.theirs]
        for picked in product(*(choices[name] for name in held)):
            filled = dict(zip(held, picked, strict=True))
            theirs, ours = (name.format(**filled) for name in (rule.theirs, rule.ours))
            expanded.append(rule._replace(theirs=theirs, ours=ours))
    return expanded


def read_fields(fields: Iterable[Field], theirs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Our values by our names, and what stands in the way: unknown values, and some that should agree.

    >>> fields = [Field("act", "activation", "tanh", {"swish": "silu"}), Field("d_model", "width", 8)]
    >>> read_fields(fields, {"d_model": 4})
    ({'width': 4}, ['act = "tanh" (known: "swish")'])
    """
    ours: dict[str, Any] = {}
    first: dict[str, Field] = {}
    problems = []
    for field in fields:
        value = theirs.get(field.theirs, field.default)
        try:
            read = field.read(value)
        except (KeyError, TypeError):  # TypeError: a list or an object where a word is expected
            known = ", ".join(json.dumps(name) for name in field.values or ())
            problems.append(f"{field.theirs} = {json.dumps(value)} (known: {known})")
            continue
        if field.ours in first and ours[field.ours] != read:
            other = first[field.ours].theirs
            beside = theirs.get(other, first[field.ours].default)
            problems.append(f"{field.theirs} = {json.dumps(value)} beside {other} = {json.dumps(beside)}")
        ours.setdefault(field.ours, read)
        first.setdefault(field.ours, field)
    return ours, problems


def write_fields(fields: Iterable[Field], ours: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Their values by their names, and what stands in the way: our values that they do not have."""
    theirs: dict[str, Any] = {}
    problems = []
    for field in fields:
        value = ours[field.ours]
        try:
            theirs[field.theirs] = field.write(value)
        except IndexError:
            problems.append(f"{field.ours} = {json.dumps(value)}")
    return theirs, problems


def departures(values: Mapping[str, Any], required: Mapping[str, Any]) -> list[str]:
    """Which values are set otherwise than they have to be.

    >>> departures({"norm": "rms", "bias": True}, {"norm": "layer", "bias": True, "gated": False})
    ['norm = "rms" (not "layer")']
    """
    return [
        f"{name} = {json.dumps(values[name])} (not {json.dumps(needed)})"
        for name, needed in required.items()
        if name in values and values[name] != needed
    ]


def only(value: Any) -> Any:
    """The one item of a list of one; else the value itself."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def to_ours(rules: Iterable[Rule], weights: Mapping[str, A]) -> dict[str, A]:
    """Their weights by our names.

    Raises UserError where weights are missing or not in the table, or where two names of one weight disagree.
    """
    rules = list(rules)
    _refuse_names("weights that this family does not have", set(weights) - {rule.theirs for rule in rules})
    ours: dict[str, A] = {}
    for rule in rules:
        if rule.op is Op.COMPUTED or rule.theirs not in weights:
            continue
        value = _read(weights[rule.theirs], rule)
        if rule.ours not in ours:
            ours[rule.ours] = value
        elif not _equal(ours[rule.ours], value):
            raise UserError(
                f"{rule.theirs} differs from the weight that it is said to be one and the same with"
            )
    carried = [rule for rule in rules if rule.op not in (Op.COMPUTED, Op.TIED)]
    _refuse_names("missing weights", {rule.theirs for rule in carried if rule.ours not in ours})
    return ours


def to_theirs(
    rules: Iterable[Rule], weights: Mapping[str, A], *, join: Callable[[list[A]], A] | None = None
) -> dict[str, A]:
    """Our weights by their names: the inverse of `to_ours`, up to the names that need not be written.

    A table with parts needs `join`, which puts arrays one after the other on their first axis: `numpy.concatenate`, say.
    Raises UserError where weights are missing or not in the table.
    """
    carried = [rule for rule in rules if rule.op not in (Op.COMPUTED, Op.TIED)]
    names = {rule.ours for rule in carried}
    _refuse_names("weights that the other layout does not have", set(weights) - names)
    _refuse_names("missing weights", names - set(weights))
    theirs: dict[str, A] = {}
    parts: dict[str, dict[int, A]] = {}
    for rule in carried:
        value = weights[rule.ours]
        if rule.part is not None:
            assert join is not None
            held = parts.setdefault(rule.theirs, {})
            held[rule.part[0]] = value
            if len(held) < rule.part[1]:
                continue
            value = join([held[number] for number in sorted(held)])
        theirs[rule.theirs] = _write(value, rule.op)
    return theirs


def _read(value: A, rule: Rule) -> A:
    whole = _turned(value, rule)
    if rule.part is None:
        return whole
    number, count = rule.part
    size, over = divmod(whole.shape[0], count)
    if over:
        raise UserError(f"{rule.theirs} has shape {tuple(value.shape)}: it cannot hold {count} of one size")
    part: A = whole[number * size : (number + 1) * size]
    return part


def _turned(value: A, rule: Rule) -> A:
    match rule.op:
        case Op.TRANSPOSE:
            return value.T
        case Op.ROW:
            if value.shape[0] != 1:
                raise UserError(f"{rule.theirs} has shape {tuple(value.shape)}: its first axis must be 1")
            row: A = value[0]
            return row
        case _:
            return value


def _write(value: A, op: Op) -> A:
    match op:
        case Op.TRANSPOSE:
            return value.T
        case Op.ROW:
            row: A = value[None]
            return row
        case _:
            return value


def _equal(one: Array, other: Array) -> bool:
    return tuple(one.shape) == tuple(other.shape) and bool((one == other).all())


def _refuse_names(what: str, names: set[str], shown: int = 5) -> None:
    if names:
        listed = sorted(names)
        more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
        raise UserError(f"{what}: {', '.join(listed[:shown])}{more}")


# The axes of each matrix and vector of the models: V, D, F and K as everywhere, Q the width of all heads' queries and G of
# their keys, P the rows of a table of positions, S segments, L labels. By the last of the modules that hold it; those
# that another module's name ends in, by the whole.
_AXES = {
    "tokens.weight": "VD",
    **{"query.weight": "QD", "key.weight": "GD", "value.weight": "GD", "output.weight": "DQ"},
    **{"query.bias": "Q", "key.bias": "G", "value.bias": "G", "dense.weight": "DD"},
    **{f"{name}.bias": "D" for name in ("output", "dense", "down", "before", "after", "norm")},
    **{"query_norm.weight": "K", "key_norm.weight": "K"},
    **{f"{name}.weight": "D" for name in ("before", "after", "norm")},
    **{"up.weight": "FD", "gate.weight": "FD", "up.bias": "F", "gate.bias": "F", "down.weight": "DF"},
    **{"table.weight": "PD", "segments.weight": "SD"},
    **{"embedding_norm.weight": "D", "embedding_norm.bias": "D"},
}
_OUTPUT_AXES = {
    "output.weight": "VD",
    "output.bias": "V",
    "heads.masked.output.weight": "VD",
    "heads.masked.output.bias": "V",
    **{f"heads.{name}.output.weight": "2D" for name in ("next", "answer")},
    **{f"heads.{name}.output.bias": "2" for name in ("next", "answer")},
    **{f"heads.{name}.output.weight": "LD" for name in ("classify", "tag")},
    **{f"heads.{name}.output.bias": "L" for name in ("classify", "tag")},
}


def check_shapes(
    weights: Mapping[str, Array],
    config: ModelConfig,
    *,
    labels: int = 0,
    names: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raise UserError where a weight, by our name, has not the shape that the configuration gives it.

    Told here, without torch. `names` are those that the user knows the weights by.
    """
    sizes = _sizes(config, labels)
    for name, value in weights.items():
        _compare(names.get(name, name), value, _shape(name, sizes))


def check_their_shapes(rules: Iterable[Rule], weights: Mapping[str, Array], config: ModelConfig) -> None:
    """The same for weights by their names, in the shapes that they have there."""
    sizes = _sizes(config, labels=0)
    for rule in rules:
        if rule.op is Op.COMPUTED or rule.theirs not in weights:
            continue
        first, *rest = _shape(rule.ours, sizes)
        shape = (first if rule.part is None else first * rule.part[1], *rest)
        match rule.op:
            case Op.TRANSPOSE:
                shape = shape[::-1]
            case Op.ROW:
                shape = (1, *shape)
        _compare(rule.theirs, weights[rule.theirs], shape)


def _sizes(config: ModelConfig, labels: int) -> dict[str, int]:
    return {
        "V": config.vocabulary,
        "D": config.width,
        "F": config.feed_forward,
        "K": config.head_width,
        "Q": config.heads * config.head_width,
        "G": config.groups * config.head_width,
        "P": config.max_length + config.position_offset,
        "S": config.segments,
        "L": labels,
        "2": 2,
    }


def _shape(name: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
    axes = _OUTPUT_AXES.get(name) or _AXES[".".join(name.split(".")[-2:])]
    return tuple(sizes[axis] for axis in axes)


def _compare(name: str, value: Array, expected: tuple[int, ...]) -> None:
    if tuple(value.shape) != expected:
        raise UserError(f"{name} has shape {tuple(value.shape)}, but the configuration says {expected}")


def make_config(fields: Mapping[str, Any], path: Path) -> ModelConfig:
    """The configuration with these fields, which were read from a file; a UserError where one is impossible."""
    try:
        return ModelConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place}: {first['msg']}" if place else f"{path}: {first['msg']}") from error
