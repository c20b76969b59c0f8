"""Reading a model that CTranslate2 runs: what it is, by its variables, in weft's terms."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from weft.config import FolderConfig, ModelConfig, TranslatorConfig
from weft.description import DESCRIPTION, read_description
from weft.errors import UserError
from weft.families.huggingface import Imported, read_json
from weft.families.table import make_config
from weft.families.tokenizer_files import SENTENCEPIECE_FILES
from weft.interchange.ctranslate2_file import read_model
from weft.interchange.ctranslate2_layout import ACTIVATIONS, ENCODINGS, known_variables, to_weights
from weft.text.tokenizer import SPECIAL_TOKENS

__all__ = ["TOKENIZER", "describe_ctranslate2", "import_ctranslate2", "is_ctranslate2"]

Array = NDArray[Any]


TOKENIZER = "tokenizer.json"

_BINARY = "model.bin"
_TOKENIZERS = ((TOKENIZER,), SENTENCEPIECE_FILES)  # the files of each kind
_SPECIFICATIONS = ("TransformerSpec", "TransformerBase", "TransformerBig")  # of encoder-decoders
_LENGTH = 1024  # positions, where the model computes them and so takes any number
_NEVER = -1e9  # the score of a token that the source's vocabulary alone has

_SOURCE, _TARGET = "encoder/embeddings_0/weight", "decoder/embeddings/weight"
_OUTPUT, _OUTPUT_BIAS = "decoder/projection/weight", "decoder/projection/bias"

# Settings among the variables, and what it means there to leave them out.
_SETTINGS = {"num_heads": 8, "pre_norm": 1, "activation": 0, "scale_embeddings": 1}

# Those that say nothing of what the model computes.
_IDLE = {"alignment_heads", "alignment_layer", "embeddings_merge", "rotary_interleave", "scale_alibi"}
_IDLE |= {"alibi_use_positive_positions"}


def is_ctranslate2(folder: Path) -> bool:
    """Whether a folder holds a model for CTranslate2."""
    return (folder / _BINARY).is_file()


def describe_ctranslate2(folder: Path) -> tuple[FolderConfig, dict[str, bytes]]:
    """What the model in a folder is, and its tokenizer's files; no more is read than that takes."""
    if not (folder / DESCRIPTION).is_file():
        imported = import_ctranslate2(folder)
        return imported.config, imported.tokenizer
    config = read_description(folder / DESCRIPTION)
    kinds = [names for names in _TOKENIZERS if all((folder / name).is_file() for name in names)]
    if not kinds:
        raise UserError(f"{folder}: no {TOKENIZER} in it, nor {', '.join(SENTENCEPIECE_FILES)}")
    return config, {name: (folder / name).read_bytes() for name in kinds[0]}


def import_ctranslate2(folder: Path) -> Imported:
    """Read a CTranslate2 folder: one that weft wrote, or any encoder-decoder whose pieces are characters.

    Raises UserError where the folder is damaged or incomplete, and where weft cannot express the model or cut a text into
    its pieces.
    """
    contents = read_model(folder / _BINARY)
    if (folder / DESCRIPTION).is_file():
        config, tokenizer = describe_ctranslate2(folder)
        return Imported(config, _weights(config.model, contents.variables, folder), tokenizer)
    if contents.specification not in _SPECIFICATIONS:
        raise UserError(
            f"{folder}: a {contents.specification} without a {DESCRIPTION}: beside what it wrote itself, weft reads "
            "encoder-decoders"
        )
    return _of_others(folder, contents.variables)


def _of_others(folder: Path, variables: dict[str, Array]) -> Imported:
    settings = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if settings.get("add_source_bos"):
        raise UserError(f"{folder}: weft cannot express this model: add_source_bos = true")
    if "encoder/embeddings/weight" in variables:  # as older files call it
        variables[_SOURCE] = variables.pop("encoder/embeddings/weight")
    if missing := {_SOURCE, _TARGET, _OUTPUT} - set(variables):
        raise UserError(f"{folder / _BINARY}: missing variables: {', '.join(sorted(missing))}")
    unknown = str(settings.get("unk_token", "<unk>"))
    start = str(settings.get("decoder_start_token") or settings.get("bos_token") or "<s>")
    special = (start, str(settings.get("eos_token", "</s>")), unknown)
    sides = [
        _vocabulary(folder, side, size=len(variables[name]), unknown=unknown)
        for side, name in (("source", _SOURCE), ("target", _TARGET))
    ]
    pieces = _join_vocabularies(variables, *sides, special=special)
    if long := [piece for piece in pieces[len(SPECIAL_TOKENS) :] if len(piece) != 1]:
        raise UserError(
            f'{folder}: pieces such as "{long[0]}" are no single characters, and how a text is cut into them is nowhere '
            "told: weft takes the model from where it was trained, or one that it exported itself"
        )
    _make_positions(variables)
    model = _read_model(variables, settings, folder=folder)
    config = TranslatorConfig(
        family="ctranslate2",
        directions=(("source", "target"),),
        tags=False,
        ends_source=bool(settings.get("add_source_eos", False)),
        model=model,
    )
    return Imported(config, _weights(model, variables, folder), {"tokenizer.json": _tokenizer(pieces)})


def _vocabulary(folder: Path, side: str, *, size: int, unknown: str) -> list[str]:
    """A side's pieces, the unknown one included."""
    for name in (f"{side}_vocabulary", "shared_vocabulary"):
        if (path := folder / f"{name}.json").is_file():
            try:
                pieces = [str(piece) for piece in json.loads(path.read_text("utf-8"))]
            except ValueError as error:
                raise UserError(f"{path}: not readable as a JSON list ({error})") from error
        elif (path := folder / f"{name}.txt").is_file():
            pieces = path.read_text("utf-8").removesuffix("\n").split("\n")
        else:
            continue
        if unknown not in pieces:
            pieces.append(unknown)  # as CTranslate2 does
        if len(pieces) != size:
            raise UserError(f"{path}: has {len(pieces):,} pieces, where the model has {size:,}")
        return pieces
    raise UserError(f"{folder}: no {side}_vocabulary.json, no shared_vocabulary.json, and neither as .txt")


def _join_vocabularies(
    variables: dict[str, Array], source: Sequence[str], target: Sequence[str], *, special: Sequence[str]
) -> list[str]:
    """The pieces of both sides in one order, weft's special tokens first, by which the matrices are then put.

    A piece that one side lacks has there the vector of the unknown, as it had; one that the target lacks is never written.
    """
    blank = next(
        (piece for piece in ("<blank>", "<pad>") if piece in source and piece not in special), special[2]
    )
    first = (blank, *special)
    pieces = [*first, *dict.fromkeys(piece for piece in (*source, *target) if piece not in first)]
    read, written = ({piece: number for number, piece in enumerate(side)} for side in (source, target))
    variables[_SOURCE] = variables[_SOURCE][[read.get(piece, read[special[2]]) for piece in pieces]]
    columns = [written.get(piece, written[special[2]]) for piece in pieces]
    bias = variables.get(_OUTPUT_BIAS, np.zeros(len(target), np.float32))[columns]
    never = [piece not in written for piece in pieces]
    variables[_TARGET], variables[_OUTPUT] = variables[_TARGET][columns], variables[_OUTPUT][columns]
    variables[_OUTPUT_BIAS] = np.where(never, np.float32(_NEVER), bias)
    return [*SPECIAL_TOKENS, *pieces[len(first) :]]


def _tokenizer(pieces: Sequence[str]) -> bytes:
    """A tokenizer.json of these characters."""
    ids = {piece: number for number, piece in enumerate(pieces)}
    backend = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens(list(SPECIAL_TOKENS))
    return backend.to_str().encode()


def _make_positions(variables: dict[str, Array]) -> None:
    """Tables of one length for both stacks. Where there is none, CTranslate2 computes one: all sines before all cosines,
    and the first position is 1."""
    width = variables[_SOURCE].shape[1]
    rates = np.exp(np.arange(width // 2) * (-math.log(10_000.0) / (width // 2 - 1)))
    angles = np.arange(1, _LENGTH + 1)[:, None] * rates
    computed = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)
    names = [f"{stack}/{ENCODINGS}" for stack in ("encoder", "decoder")]
    tables = [variables.get(name, computed) for name in names]
    length = min(map(len, tables))
    variables |= {name: table[:length] for name, table in zip(names, tables, strict=True)}


def _read_model(variables: Mapping[str, Array], settings: Mapping[str, Any], *, folder: Path) -> ModelConfig:
    """The shape of a model, read off its variables."""
    first = "encoder/layer_0"
    found = {
        name: variables.get(f"encoder/{name}", np.array(usual)).item() for name, usual in _SETTINGS.items()
    }
    problems: set[str] = set()
    width, scale = variables[_SOURCE].shape[1], found["scale_embeddings"]
    scaled = scale == 1 if isinstance(scale, int) else math.isclose(scale, math.sqrt(width), rel_tol=1e-6)
    if not scaled and scale not in (0, 1.0):  # a flag, or the factor itself
        problems.add(f"scale_embeddings = {scale:g}")
    if found["activation"] >= len(ACTIVATIONS):
        problems.add(f"activation = {found['activation']}")
    for name in _SETTINGS:
        if variables.get(f"decoder/{name}", found[name]) != found[name]:
            problems.add(f"decoder/{name} = {variables[f'decoder/{name}']}, in the encoder {found[name]}")
    if problems:
        raise UserError(f"{folder}: weft cannot express this model: {', '.join(sorted(problems))}")
    up, gate = (variables.get(f"{first}/ffn/{name}/weight") for name in ("linear_0", "linear_0_noact"))
    if up is None:
        raise UserError(f"{folder / _BINARY}: missing variables: {first}/ffn/linear_0/weight")
    squared = gate is not None and found["activation"] == 0 and np.array_equal(up, gate)
    fields = {
        "architecture": "seq2seq",
        "vocabulary": len(variables[_SOURCE]),
        "width": width,
        "heads": found["num_heads"],
        "feed_forward": len(up),
        "encoder_layers": _layers(variables, "encoder"),
        "decoder_layers": _layers(variables, "decoder"),
        "activation": "relu_squared" if squared else ACTIVATIONS[found["activation"]],
        "gated": gate is not None and not squared,
        "norm": "layer" if f"{first}/ffn/layer_norm/beta" in variables else "rms",
        "norm_place": "before" if found["pre_norm"] else "after",
        "norm_epsilon": settings.get("layer_norm_epsilon"),
        "embedding_norm": "encoder/layernorm_embedding/gamma" in variables,
        "bias": f"{first}/ffn/linear_0/bias" in variables,
        "query_key_value_bias": f"{first}/self_attention/linear_0/bias" in variables,
        "position": "learned",
        "max_length": len(variables[f"encoder/{ENCODINGS}"]),
        "scale_embedding": scaled,
        "tie": "none",
        "output_bias": True,
    }
    model = make_config(fields, folder / _BINARY)
    left = (
        set(variables)
        - known_variables(model)
        - {f"{stack}/{name}" for stack in ("encoder", "decoder") for name in _SETTINGS}
    )
    # A flag that is off asks for nothing.
    left = {
        name
        for name in left
        if name.split("/")[-1] not in _IDLE and (variables[name].ndim or variables[name] != 0)
    }
    if left:
        named = sorted({re.sub(r"\d+", "*", name) for name in left})
        raise UserError(f"{folder}: weft cannot express this model: {', '.join(named)}")
    return model


def _layers(variables: Mapping[str, Array], stack: str) -> int:
    return len({match[0] for name in variables if (match := re.match(rf"{stack}/layer_\d+/", name))})


def _weights(config: ModelConfig, variables: Mapping[str, Array], folder: Path) -> dict[str, Array]:
    try:
        return to_weights(config, variables)
    except UserError as error:
        raise UserError(f"{folder / _BINARY}: {error}") from error
