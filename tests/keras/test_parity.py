"""Keras's models give what PyTorch's give, in float32, on random small configurations of all families."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from weft.config import ModelConfig, NgramVectors
from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.seq2seq import Seq2Seq
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


def test_every_variable_has_a_name_and_every_name_a_variable() -> None:
    model = make(Seq2Seq, SEQ2SEQ, SHARED["learned"], DECODERS["n-grams"])
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
