"""Keras's models give what PyTorch's give, in float32, on random small configurations of all families."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from weft.config import ModelConfig, NgramVectors
from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL
from weft.nn.masks import Mask
from weft.nn.ngram_embedding import NgramEmbedding

pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("weft.keras")
from weft.keras.weights import fill, variables  # noqa: E402

TOLERANCE = 1e-4
BASE = {"vocabulary": 31, "width": 32, "heads": 4, "feed_forward": 48, "max_length": 64}
SEQ2SEQ = {"architecture": "seq2seq", "encoder_layers": 2, "decoder_layers": 2}
DECODER = {"architecture": "decoder", "decoder_layers": 3}
ENCODER = {"architecture": "encoder", "encoder_layers": 3}

SHARED: dict[str, dict[str, Any]] = {
    "vaswani": {"norm_place": "after"},
    "ours": {
        "norm": "rms",
        "norm_scale": False,
        "bias": False,
        "position": "rotary",
        "activation": "relu_squared",
        "scale_embedding": False,
        "query_key_norm": True,
    },
    "halves, two tables": {"position": "sinusoidal_halves", "norm": "rms", "tie": "two", "output_bias": True},
    "learned": {"position": "learned", "activation": "gelu", "embedding_norm": True, "norm_place": "after"},
    "offset": {"position": "learned", "position_offset": 2, "activation": "gelu_tanh"},
    "no positions": {"position": "none", "tie": "none"},
    "buckets": {"position": "t5", "norm": "rms", "bias": False},
    "alibi": {"position": "alibi", "output_bias": True, "tie": "none"},
    "gated": {"gated": True, "activation": "silu", "norm_epsilon": 1e-3},
    "grouped": {"kv_heads": 2, "query_key_value_bias": False, "position": "rotary", "query_key_norm": True},
    "wide heads": {"head_size": 16, "position": "rotary", "rotary_base": 500.0},
    "stretched": {
        "position": "rotary",
        "rotary_scaling": {"kind": "linear", "factor": 2.0, "original_length": 32},
    },
}
DECODERS = SHARED | {
    "n-grams": {"ngrams": {"longest": 4, "rows": 97}, "position": "rotary", "tie": "two"},
    "pairs": {"ngrams": {"longest": 2, "rows": 1000}},
    "no n-grams": {"ngrams": {"longest": 1}},
}
ENCODERS = SHARED | {
    "segments": {"segments": 2, "position": "learned", "embedding_norm": True, "norm_place": "after"},
    "windows": {"window": 3, "global_every": 2, "position": "rotary"},
}


def make(kind: type[nn.Module], *fields: dict[str, Any], **heads: Any) -> Any:
    """A model with random weights, its norms and biases not as they begin."""
    torch.manual_seed(0)
    joined: dict[str, Any] = dict(BASE)
    for each in fields:
        joined |= each
    model = kind(ModelConfig.model_validate(joined), **heads).eval()
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.2
    return model


def twin(model: Any, **heads: Any) -> Any:
    """The same model in Keras."""
    made = keras.make_model(model.config, **heads)
    fill(made, {name: tensor.numpy() for name, tensor in model.state_dict().items()})
    return made


def ids(*shape: int) -> torch.Tensor:
    return torch.randint(4, 31, shape, generator=torch.Generator().manual_seed(1))


def same(found: Any, expected: torch.Tensor) -> None:
    np.testing.assert_allclose(np.asarray(found), expected.numpy(), atol=TOLERANCE, rtol=1e-4)


@pytest.mark.parametrize("name", DECODERS)
@torch.inference_mode()
def test_encoder_decoders(name: str) -> None:
    model = make(Seq2Seq, SEQ2SEQ, DECODERS[name])
    other = twin(model)
    source, target = ids(3, 9), ids(3, 7)
    source[1, 5:] = 0  # padding
    keep = source != 0
    expected = model.logits(model(source, target, source_keep=keep))
    same(other({"source": source.numpy(), "target": target.numpy()}), expected)
    kept, real = other.encode(source.numpy())
    caches, found = other.new_caches(3, 10), []
    for at in range(7):
        scores, caches = other.step(target[:, at : at + 1].numpy(), kept, real, caches)
        found.append(np.asarray(scores))
    same(np.stack(found, axis=1), expected)


@pytest.mark.parametrize("name", DECODERS)
@torch.inference_mode()
def test_decoders(name: str) -> None:
    model = make(Decoder, DECODER, DECODERS[name])
    other, read = twin(model), ids(3, 9)
    expected = model.logits(model(read))
    same(other(read.numpy()), expected)
    caches = other.new_caches(3, 12)
    scores, caches = other.step(read[:, :5].numpy(), caches)
    same(scores, expected[:, 4])
    for at in range(5, 9):
        scores, caches = other.step(read[:, at : at + 1].numpy(), caches)
        same(scores, expected[:, at])


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("name", ENCODERS)
@torch.inference_mode()
def test_encoders_and_their_heads(name: str, pooling: str) -> None:
    heads: dict[str, Any] = {"heads": ("masked", "pooler", "next", "tag"), "labels": 5, "pooling": pooling}
    model = make(Encoder, ENCODER, ENCODERS[name], **heads)
    other, read = twin(model, **heads), ids(3, 9)
    read[2, 6:] = 0
    keep = read != 0
    segments = (torch.arange(9) >= 4).long().expand(3, 9)
    more = {"segments": segments} if model.config.segments else {}
    expected = model(read, mask=Mask(keep=keep), **more)
    found = other({"ids": read.numpy(), **{name: each.numpy() for name, each in more.items()}})
    real = keep.numpy()
    np.testing.assert_allclose(np.asarray(found)[real], expected.numpy()[real], atol=TOLERANCE, rtol=1e-4)
    same(other.pooled(found, read.numpy()), model.pooled(expected, keep=keep))
    tags = np.asarray(other.heads["tag"](found))[real]
    np.testing.assert_allclose(tags, model.heads["tag"](expected).numpy()[real], atol=TOLERANCE, rtol=1e-4)
    masked = np.asarray(other.masked_logits(found))[real]
    ours = model.masked.logits(model.masked(expected)).numpy()[real]
    np.testing.assert_allclose(masked, ours, atol=2 * TOLERANCE, rtol=1e-4)


RECURRENT: dict[str, Any] = {
    "architecture": "transformer-xl",
    "decoder_layers": 3,
    "position": "none",
    "recurrence": {"memory": 6},
}
NGRAMS = {"longest": 4, "rows": 97}
CLUSTERS = {"cutoffs": (9, 20), "divide": 2}
RECURRENTS: dict[str, dict[str, Any]] = {
    "the paper's": {"norm_place": "after", "output_bias": True},
    "norms before": {
        "norm_place": "before",
        "norm": "rms",
        "norm_scale": False,
        "bias": False,
        "tie": "none",
    },
    "same length": {"recurrence": {"memory": 6, "same_length": True}},
    "clamped, biases of each layer": {"recurrence": {"memory": 9, "clamp": 4, "shared_biases": False}},
    "adaptive": {"adaptive": CLUSTERS, "output_bias": True, "norm_place": "after"},
    "adaptive, nothing tied": {"adaptive": {**CLUSTERS, "tie_projections": False}, "tie": "none"},
    "adaptive, of one width": {"adaptive": {"cutoffs": (9, 20)}, "scale_embedding": False},
    "adaptive, narrow": {"adaptive": {"cutoffs": (9, 30), "width": 12, "tie_projections": False}},
    "a single cluster": {"adaptive": {"divide": 2}, "gated": True, "activation": "silu"},
    "n-grams": {"ngrams": NGRAMS, "head_size": 16},
    "a pointer": {"recurrence": {"memory": 5, "pointer": 9}, "ngrams": NGRAMS},
    "a short pointer": {"recurrence": {"memory": 6, "pointer": 2, "same_length": True}, "adaptive": CLUSTERS},
}


@pytest.mark.parametrize("name", RECURRENTS)
@torch.inference_mode()
def test_transformer_xl(name: str) -> None:
    model = make(TransformerXL, RECURRENT, RECURRENTS[name])
    other, memory, theirs = twin(model), None, None
    for segment in torch.split(ids(3, 21), [4, 7, 1, 1, 8], dim=1):
        before = theirs
        states, memory = model(segment, memory)
        inputs = segment.numpy() if theirs is None else {"ids": segment.numpy(), "memory": theirs}
        scores, theirs = other(inputs)
        if model.pointer is None:
            same(scores, model.logits(states))
        else:
            written = model.output.token_losses(states.flatten(0, 1), segment.flatten()).view(segment.shape)
            losses = model.pointer.token_losses(states, segment, written=-written, past=memory.past)
            picked = np.take_along_axis(np.asarray(scores), segment.numpy()[..., None], axis=-1)[..., 0]
            same(picked, -losses)
            same(np.asarray(scores)[:, -1], model.logits(states[:, -1], memory.past))
        for ours, each in zip(memory.layers, theirs.layers, strict=True):
            same(each, ours)
        kept = memory.past.tokens.numpy()
        assert (np.asarray(theirs.tokens)[:, theirs.tokens.shape[1] - kept.shape[1] :] == kept).all()
        same(theirs.keys, memory.past.keys)
        if before is not None:
            last, after = other.step(segment.numpy(), before)
            same(last, torch.from_numpy(np.array(scores)[:, -1]))
            same(after.layers[-1], memory.layers[-1])


@pytest.mark.parametrize("longest", [2, 5])
def test_ngrams_stand_in_the_same_rows(longest: int) -> None:
    ours = NgramEmbedding(NgramVectors(longest=longest, rows=1009), width=8)
    theirs = keras.NgramEmbedding(8, longest=longest, rows=1009)
    read = torch.randint(0, 2**31 - 1, (3, 11), generator=torch.Generator().manual_seed(2))
    for cut in (1, 3, 8):
        before, rest = read[:, :cut], read[:, cut:]
        expected = ours.find(rest, before=before).numpy()
        assert (np.asarray(theirs.find(rest.numpy(), before.numpy())) == expected).all()
        nothing = np.full((3, 9), -1, np.int32)
        assert (np.asarray(theirs.find(rest.numpy(), nothing)) == ours.find(rest).numpy()).all()


def encoder_decoder() -> Any:
    return make(Seq2Seq, SEQ2SEQ, SHARED["learned"], DECODERS["n-grams"])


def recurrent(name: str) -> Any:
    return make(TransformerXL, RECURRENT, RECURRENTS[name])


EVERY: list[Callable[[], Any]] = [encoder_decoder, *(partial(recurrent, name) for name in RECURRENTS)]


@pytest.mark.parametrize("made", EVERY)
def test_every_variable_has_a_name_and_every_name_a_variable(made: Callable[[], Any]) -> None:
    model = made()
    other = twin(model)
    named = variables(other)
    assert {each.name for each in named} == set(model.state_dict())
    assert {id(each.variable) for each in named} == {id(each) for each in other.weights}


def test_torch_is_not_loaded() -> None:
    program = "import sys, weft.keras; sys.exit('torch is loaded' if 'torch' in sys.modules else 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("backend", "message"), [("torch", "runs on tensorflow and jax"), ("cobol", "runs on")]
)
def test_a_backend_that_is_already_another_is_named(backend: str, message: str) -> None:
    program = "import weft.errors\ntry:\n import weft.keras\nexcept weft.errors.UserError as e: print(e)"
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert message in done.stdout, done.stderr
