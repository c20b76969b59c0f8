"""What an encoder is asked, as Hugging Face's folders say it: labels, kinds of classification, and how vectors are made."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from weft.config import AnswererConfig, ClassifierConfig, EncoderConfig, ReaderConfig, TaggerConfig
from weft.errors import UserError
from weft.families.huggingface import encode_json, read_json
from weft.families.table import Field, read_fields, write_fields

__all__ = ["fit_task", "read_task", "write_task", "write_vectors"]

_KIND = Field(
    "problem_type",
    "kind",
    None,
    {
        "single_label_classification": "single",
        "multi_label_classification": "multiple",
        "regression": "number",
    },
)


_MOST_LABELS = 1_000_000  # that are not named


def read_task(theirs: Mapping[str, Any], *, task: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields that the task's configuration has beside a model's, and what weft cannot express."""
    if task == "embed":
        return _read_vectors(folder)
    if task == "masked-lm":
        return {}, []
    labels, problems = _read_labels(theirs)
    if problems:
        return {}, problems
    if task == "answer":
        few = f"{len(labels)} labels (not 2, for an answer's first token and its last)"
        return {}, [few] if len(labels) != 2 else []
    if task == "tag":
        return {"labels": labels}, _odd_tags(labels)
    implied = "regression" if len(labels) == 1 else "single_label_classification"  # as in transformers
    fields, problems = read_fields([_KIND], {"problem_type": theirs.get("problem_type", implied)})
    if fields.get("kind") == "number" and len(labels) != 1:
        problems.append(f'problem_type = "regression" beside {len(labels)} labels (weft predicts one number)')
    return {"labels": labels, **fields}, problems


def fit_task(fields: Mapping[str, Any], *, task: str, max_length: int) -> dict[str, Any]:
    """The same fields, with windows to read a context in that are no longer than the model takes."""
    usual: int = AnswererConfig.model_fields["length"].default
    if task != "answer" or max_length >= usual:
        return dict(fields)
    return {**fields, "length": max_length, "stride": 3 * max_length // 8}


def _odd_tags(labels: Sequence[str]) -> list[str]:
    odd = [label for label in labels if label != "O" and f"B-{label[2:]}" not in labels]
    if odd:
        shown = ", ".join(json.dumps(label, ensure_ascii=False) for label in odd[:3])
        return [f"id2label with {shown} (a tagger's labels are O, B-…, and with its B-… an I-…)"]
    return [] if "O" in labels else ['id2label without "O"']


def write_task(config: ReaderConfig) -> dict[str, Any]:
    """The keys of config.json that the task asks for."""
    if not isinstance(config, ClassifierConfig | TaggerConfig):
        return {}
    named = {
        "id2label": {str(number): label for number, label in enumerate(config.labels)},
        "label2id": {label: number for number, label in enumerate(config.labels)},
    }
    kind, _ = (
        write_fields([_KIND], {"kind": config.kind}) if isinstance(config, ClassifierConfig) else ({}, [])
    )
    return {**named, **kind}


def _read_labels(theirs: Mapping[str, Any]) -> tuple[tuple[str, ...], list[str]]:
    """The labels in the order of their numbers, which JSON has as strings."""
    count = theirs.get("num_labels", theirs.get("_num_labels", 2))
    named = theirs.get("id2label")
    if named is None and type(count) is int and 0 < count <= _MOST_LABELS:
        return tuple(f"LABEL_{number}" for number in range(count)), []
    names = named if isinstance(named, dict) else {}
    labels = tuple(names.get(str(number)) for number in range(len(names)))
    if not labels or not all(isinstance(label, str) for label in labels):
        key, value = ("num_labels", count) if named is None else ("id2label", named)
        shown = json.dumps(value, ensure_ascii=False)
        return (), [f"{key} = {shown[:60]} (not a name for each number from 0)"]
    return tuple(map(str, labels)), []


# The layout of sentence-transformers (Reimers and Gurevych 2019): modules that follow each other.

_MODULES, _POOLING = "modules.json", "1_Pooling"
_POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}
_TYPES = "sentence_transformers.models."
_LIMIT = "sentence_bert_config.json"


def _read_vectors(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """How a folder of sentence-transformers makes vectors, and what weft cannot express.

    A folder without its modules.json has a first token's vector as it is.
    """
    if not (folder / _MODULES).is_file():
        return {"pooling": "first", "normalise": False}, []
    modules = _read_modules(folder / _MODULES)
    kinds = [kind for kind, _ in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return {}, [
            f"{_MODULES} with {', '.join(kinds)} (not Transformer, Pooling, and Normalize or nothing)"
        ]
    pooling = read_json(folder / modules[1][1] / "config.json")
    on = [name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True]
    if len(on) != 1 or on[0] not in _POOLINGS:
        return {}, [
            f"{modules[1][1]}/config.json with {' and '.join(on) or 'no pooling'} (known: {', '.join(_POOLINGS)})"
        ]
    path = folder / modules[0][1] / _LIMIT
    length = read_json(path).get("max_seq_length") if path.is_file() else None
    if length is not None and (type(length) is not int or length < 1):
        return {}, [f"{_LIMIT} with max_seq_length = {json.dumps(length)} (not a number of tokens)"]
    return {"pooling": _POOLINGS[on[0]], "normalise": kinds[-1] == "Normalize", "length": length}, []


def _read_modules(path: Path) -> list[tuple[str, str]]:
    """Each module's class and folder."""
    try:
        modules = [
            (str(each["type"]).rpartition(".")[2], str(each["path"]))
            for each in json.loads(path.read_bytes())
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not a list of modules, each with its type and path") from error
    for _, where in modules:
        if where != Path(where).name:  # of which "." and ".." have none
            raise UserError(f"{path}: {where!r} is not the plain name of a folder")
    return modules


def write_vectors(config: ReaderConfig) -> dict[str, bytes]:
    """The files by which sentence-transformers makes the same vectors."""
    if not isinstance(config, EncoderConfig):
        return {}
    if (config.pooling, config.normalise, config.length) == ("first", False, None):
        return {}  # what a folder without these files means
    kinds = [("Transformer", ""), ("Pooling", _POOLING)]
    kinds += [("Normalize", "2_Normalize")] if config.normalise else []
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": _TYPES + kind}
        for number, (kind, path) in enumerate(kinds)
    ]
    modes = {name: ours == config.pooling for name, ours in _POOLINGS.items()}
    limit = {"max_seq_length": config.length, "do_lower_case": False}
    return {
        _MODULES: (json.dumps(modules, indent=2) + "\n").encode(),
        f"{_POOLING}/config.json": encode_json({"word_embedding_dimension": config.model.width, **modes}),
        _LIMIT: encode_json(limit),
    }
