"""A model as TensorFlow's SavedModel: functions of token ids that run where weft is not installed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from weft import __version__
from weft.config import (
    AnswererConfig,
    ClassifierConfig,
    EncoderConfig,
    FillerConfig,
    FolderConfig,
    GeneratorConfig,
    ReaderConfig,
    SummarizerConfig,
    TaggerConfig,
    TranslatorConfig,
)
from weft.description import DESCRIPTION
from weft.errors import UserError
from weft.families.marian_tokenizer import MarianTokenizer
from weft.keras.generation import Rules, Translator, draw
from weft.keras.models import Decoder, Encoder, Model, obstacles
from weft.keras.prompts import continue_prompts
from weft.keras.savedmodel_readme import savedmodel_readme
from weft.keras.weights import fill, make_model
from weft.readme import Frame, frame_of
from weft.runs.folder import PAGE
from weft.text.tokenizer import Tokenizer

__all__ = ["export_savedmodel", "lacking"]

BEAMS = 5  # of a folder that says nothing, as in `weft translate`

FREE: dict[str, Any] = {
    "nbest": 1,
    "scoring": "power",
    "repetition_penalty": 1.0,
    "groups": 1,
    "diversity": 0.0,
}
"""Settings of a search that it has one way of here."""
SEARCH = {"beams", "max_length", "length_penalty", "early_stopping", *Rules._fields}

IDS = {"ids": "int32 (B, T): token ids, short rows filled up with the padding"}
SEGMENTS = {
    "segments": "int32 (B, T): 0 at the tokens of the first text and around it, 1 at those of a second one"
}
PROMPTS = {
    "prompts": "int32 (B, P): token ids, short rows filled up with anything",
    "lengths": "int32 (B): how many tokens of each row count, 1 or more",
    "max_tokens": "int32: the most tokens to write",
}
WRITTEN = {
    "ids": "int32 (B, L): what is written, without the end token, filled up with the padding",
    "lengths": "int32 (B): how many tokens of each row are written",
    "scores": "float32 (B): the mean of their log-probabilities, that of an end token included",
}


class Signature(NamedTuple):
    """A function of the model's, and what each of its inputs and outputs is: type, shape and meaning."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    run: Callable[..., dict[str, Any]]


def export_savedmodel(
    folder: FolderConfig,
    weights: Mapping[str, NDArray[Any]],
    *,
    tokenizer: Tokenizer | MarianTokenizer,
    files: Mapping[str, bytes],
) -> dict[str, bytes]:
    """The files of a SavedModel by name, the tokenizer's `files` and a description beside it.

    Raises UserError for a model or a search that the layers here have not, with the fields that stand in the way.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"KERAS_BACKEND is {keras.backend.backend()}: a SavedModel is made on tensorflow: unset it"
        )
    if problems := lacking(folder):
        raise UserError(f"a SavedModel cannot express this model: {', '.join(problems)}")
    heads: dict[str, Any] = {}
    if isinstance(folder, ReaderConfig):
        heads = {"heads": tuple(folder.heads), "labels": folder.outputs, "pooling": folder.pooling}
    model = make_model(folder.model, **heads)
    fill(model, dict(weights))
    signatures = _signatures(folder, model)
    frame = frame_of(folder, tokenizer)
    described = _description(folder, signatures, frame)
    written = {
        DESCRIPTION: json.dumps(described, indent=2, ensure_ascii=False).encode(),
        PAGE: savedmodel_readme(folder, described, frame=frame, tokenizer=tokenizer).encode(),
    }
    return _save(model, signatures) | written | dict(files)


def lacking(folder: FolderConfig) -> list[str]:
    """The fields of a folder that say what there is no way to say here."""
    config = folder.model
    found = [f"architecture = {config.architecture}"] * (config.architecture == "transformer-xl")
    found += obstacles(config)
    if isinstance(folder, TranslatorConfig | SummarizerConfig):
        for name, value in folder.generation.items():
            if (name in FREE and value != FREE[name]) or (name not in FREE and name not in SEARCH):
                found.append(f"generation.{name} = {json.dumps(value)}")
        if folder.generation.get("early_stopping") == "never":
            found.append('generation.early_stopping = "never"')
    return found


def _save(model: Model, signatures: Mapping[str, Signature]) -> dict[str, bytes]:
    """The files that TensorFlow writes; the first signature is also the default one of a server."""
    module = tf.Module()
    module.weights = list(model.variables)
    compiled = {}
    for name, signature in signatures.items():
        specs = [_specification(each, said) for each, said in signature.inputs.items()]
        compiled[name] = tf.function(signature.run, input_signature=specs, autograph=False)
        setattr(module, name, compiled[name])
    served = {"serving_default": next(iter(compiled.values())), **compiled}
    with TemporaryDirectory() as aside:
        tf.saved_model.save(module, aside, signatures=served)
        paths = [path for path in sorted(Path(aside).rglob("*")) if path.is_file()]
        return {path.relative_to(aside).as_posix(): path.read_bytes() for path in paths}


def _specification(name: str, said: str) -> Any:
    """An input as it is described: "int32 (B, T): …"."""
    kind, _, shape = said.partition(":")[0].partition(" ")
    axes = [axis for axis in shape.strip("()").split(",") if axis]
    return tf.TensorSpec([None] * len(axes), kind, name=name)


def _signatures(folder: FolderConfig, model: Model) -> dict[str, Signature]:
    match folder:
        case TranslatorConfig() | SummarizerConfig():
            return {"translate": _translate(folder, model)}
        case GeneratorConfig():
            assert isinstance(model, Decoder)
            return _of_decoder(folder, model)
        case ReaderConfig():
            assert isinstance(model, Encoder)
            return _of_encoder(folder, model)
    raise UserError(f"a SavedModel has no function for the task {folder.task}")


def _translate(folder: TranslatorConfig | SummarizerConfig, model: Any) -> Signature:
    """Beam search with the folder's settings, as `weft translate` has it."""
    config, wanted = model.config, folder.generation
    rules = Rules(**{name: wanted[name] for name in Rules._fields if name in wanted})
    beams = wanted.get("beams", BEAMS)

    def translate(source: Any) -> dict[str, Any]:
        sizes = ops.sum(ops.cast(ops.not_equal(source, config.special.pad), "int32"), axis=1)
        longest = wanted.get("max_length") or 2 * sizes + 50
        limits = ops.minimum(ops.zeros_like(sizes) + longest, config.max_length)
        tokens, scores, lengths = Translator(model).search(
            source,
            limits,
            beams=beams,
            limit=ops.max(limits),
            penalty=wanted.get("length_penalty", 1.0),
            early=wanted.get("early_stopping", False),
            rules=rules,
        )
        best, length = tokens[:, 0], lengths[:, :1]  # (B, L + 1), (B, 1)
        last = ops.take_along_axis(best, length, axis=1)
        count = length - ops.cast(ops.equal(last, config.special.end), "int32")
        places = ops.arange(ops.shape(best)[1] - 1)[None]
        ids = ops.where(places < count, best[:, 1:], config.special.pad)
        return {"ids": ids, "lengths": count[:, 0], "scores": scores[:, 0]}

    sources = "int32 (B, S): token ids, short rows filled up with the padding"
    score = f"float32 (B): Σ log p / length ** {wanted.get('length_penalty', 1.0):g}, the end token included"
    return Signature({"source": sources}, WRITTEN | {"scores": score}, translate)


def _of_decoder(folder: GeneratorConfig, model: Decoder) -> dict[str, Signature]:
    ends = (folder.model.special.end, *folder.ends)

    def logits(ids: Any) -> dict[str, Any]:
        return {"logits": model(ids, training=False)}

    def write(
        prompts: Any, lengths: Any, max_tokens: Any, choose: Callable[[Any, Any], Any]
    ) -> dict[str, Any]:
        found = continue_prompts(model, prompts, lengths, limit=max_tokens, ends=ends, choose=choose)
        return dict(zip(WRITTEN, found, strict=True))

    def generate(prompts: Any, lengths: Any, max_tokens: Any) -> dict[str, Any]:
        return write(prompts, lengths, max_tokens, lambda logits, at: ops.argmax(logits, axis=-1))

    def sample(
        prompts: Any, lengths: Any, max_tokens: Any, temperature: Any, top_k: Any, top_p: Any, seed: Any
    ) -> dict[str, Any]:
        known = folder.model.vocabulary

        def choose(logits: Any, at: Any) -> Any:
            uniforms = tf.random.stateless_uniform([tf.shape(logits)[0]], seed=tf.stack([seed, at]))
            k = ops.where(top_k > 0, top_k, known)
            return draw(logits, uniforms, temperature=temperature, k=k, p=top_p)

        return write(prompts, lengths, max_tokens, choose)

    knobs = {
        "temperature": "float32: above 0; what logits are divided by",
        "top_k": "int32: how many of the likeliest tokens to draw from; 0: all",
        "top_p": "float32: and of these, those that together have this probability; 1: all",
        "seed": "int32: the same seed draws the same tokens",
    }
    ids = {"ids": "int32 (B, T): token ids; what stands behind a row's own changes nothing before it"}
    return {
        "logits": Signature(ids, {"logits": "float32 (B, T, V): of the token after each"}, logits),
        "generate": Signature(PROMPTS, WRITTEN, generate),
        "sample": Signature(PROMPTS | knobs, WRITTEN, sample),
    }


def _of_encoder(folder: ReaderConfig, model: Encoder) -> dict[str, Signature]:
    segmented = bool(folder.model.segments)

    def signature(outputs: dict[str, str], run: Callable[[Any, Any], dict[str, Any]]) -> Signature:
        if segmented:
            return Signature(IDS | SEGMENTS, outputs, run)
        return Signature(IDS, outputs, lambda ids: run(ids, None))

    def read(ids: Any, segments: Any) -> Any:
        return model(ids if segments is None else {"ids": ids, "segments": segments}, training=False)

    def states(ids: Any, segments: Any) -> dict[str, Any]:
        return {"states": read(ids, segments)}

    def vectors(ids: Any, segments: Any) -> dict[str, Any]:
        found = model.pool(read(ids, segments), ids)
        normalise = isinstance(folder, EncoderConfig) and folder.normalise
        return {"vectors": ops.normalize(found, epsilon=1e-12) if normalise else found}

    def classify(ids: Any, segments: Any) -> dict[str, Any]:
        assert isinstance(folder, ClassifierConfig)
        scores = model.heads["classify"](model.pooled(read(ids, segments), ids))  # (B, L)
        if folder.kind == "number":
            return {"numbers": scores[:, 0] * folder.deviation + folder.mean}
        scaled = scores / folder.temperature
        single = folder.kind == "single"
        return {"probabilities": ops.softmax(scaled) if single else ops.sigmoid(scaled)}

    def tag(ids: Any, segments: Any) -> dict[str, Any]:
        return {"probabilities": ops.softmax(model.heads["tag"](read(ids, segments)))}

    def answer(ids: Any, segments: Any) -> dict[str, Any]:
        return {"scores": model.heads["answer"](read(ids, segments))}

    def words(ids: Any, segments: Any) -> dict[str, Any]:
        return {"probabilities": ops.softmax(model.masked_logits(read(ids, segments)))}

    match folder:
        case ClassifierConfig(kind="number"):
            return {"numbers": signature({"numbers": "float32 (B)"}, classify)}
        case ClassifierConfig():
            said = "float32 (B, L): of each label, in the order of `labels`"
            return {"probabilities": signature({"probabilities": said}, classify)}
        case TaggerConfig():
            said = "float32 (B, T, L): of each token's label, in the order of `labels`; a word's is its first token's"
            return {"probabilities": signature({"probabilities": said}, tag)}
        case AnswererConfig():
            said = "float32 (B, T, 2): of each token as the answer's first and as its last; at the first token: no answer"
            return {"scores": signature({"scores": said}, answer)}
        case FillerConfig():
            said = "float32 (B, T, V): of each token of the vocabulary, at each place"
            return {"probabilities": signature({"probabilities": said}, words)}
        case _:
            return {
                "vectors": signature({"vectors": "float32 (B, D): one for each row"}, vectors),
                "states": signature({"states": "float32 (B, T, D): one for each token"}, states),
            }


def _description(folder: FolderConfig, signatures: Mapping[str, Signature], frame: Frame) -> dict[str, Any]:
    """What there is to know about the functions and their token ids, as JSON."""
    config = folder.model
    found: dict[str, Any] = {
        "form": "TensorFlow SavedModel",
        "weft": __version__,
        "task": folder.task,
        "signatures": {
            name: {"inputs": each.inputs, "outputs": each.outputs} for name, each in signatures.items()
        },
        "longest": folder.maximum if isinstance(folder, ReaderConfig) else config.max_length,
        "vocabulary": config.vocabulary,
        "special": config.special.model_dump(),
        "before": frame.before,
        "between": frame.between,
        "after": frame.after,
    }
    if isinstance(folder, TranslatorConfig):
        found["directions"] = [list(pair) for pair in folder.directions]
        if frame.tags:
            found["tags"] = dict(sorted(frame.tags.items()))
    if isinstance(folder, ReaderConfig) and folder.labels:
        found["labels"] = list(folder.labels)
    return found | {"config": folder.model_dump(mode="json")}
