"""Looking into a language model: its attention, and how likely it finds each token."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pipelines.test_generator import generator

from weft.cli.inspect import refuse_unfit
from weft.config import GeneratorConfig, ModelConfig
from weft.errors import UserError
from weft.inspect.maps import causal_attention
from weft.models.transformer_xl import TransformerXL
from weft.pipelines.generator import Generator
from weft.tasks.perplexity import segment_losses, token_losses

TEXT = "The old dog sleeps, and a cat runs"


def recurrent(*, pointer: int = 0) -> Generator:
    """Random weights."""
    plain = generator()
    shape = {"width": 32, "heads": 2, "feed_forward": 64, "decoder_layers": 2, "tie": "none"}
    model = ModelConfig.model_validate(
        {
            "architecture": "transformer-xl",
            "vocabulary": plain.tokenizer.vocab_size,
            "position": "none",
            **shape,
        }
        | {"recurrence": {"memory": 8, "pointer": pointer}}
    )
    torch.manual_seed(0)
    return Generator(GeneratorConfig(model=model), model=TransformerXL(model), tokenizer=plain.tokenizer)


@pytest.mark.parametrize(
    "it", [generator(), generator(prefix=[1]), recurrent()], ids=["plain", "prefixed", "recurrent"]
)
def test_every_token_is_scored_given_those_before_it(it: Generator) -> None:
    found = it.score(TEXT)
    (ids,) = it._read([TEXT])
    if isinstance(it.model, TransformerXL):
        losses = segment_losses(it.model, torch.tensor(ids), length=len(ids))
    else:
        losses = token_losses(it.model, torch.tensor(ids), length=len(ids))
    known = [value for value in found.logprobs if value is not None]
    assert known == pytest.approx((-losses).tolist(), abs=1e-4)
    assert found.logprobs.count(None) == (0 if it.config.prefix else 1)
    assert len(found.tokens) == len(found.logprobs)
    assert it.score([TEXT, "a"])[0].logprobs[1:] == pytest.approx(found.logprobs[1:], abs=1e-5)


@pytest.mark.parametrize("it", [generator(), recurrent()], ids=["plain", "recurrent"])
def test_all_attention_is_on_the_page(it: Generator, tmp_path: Path) -> None:
    (ids,) = it._read([TEXT])
    weights, _ = causal_attention(it.model, ids)
    assert weights.shape == (2, 2, len(ids), len(ids))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert np.triu(weights, k=1).max() == 0
    found = it.inspect(TEXT, out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    (group,) = json.loads(data)["groups"]
    assert (group["layers"], group["heads"], len(group["rows"])) == (2, 2, len(ids))
    assert found.said.startswith("Least expected: ")
    assert found.answer == it.score(TEXT)
    rarest = min(value for value in found.answer.logprobs if value is not None)
    assert f"({np.exp(rarest):.1%})" in found.said


def test_what_a_pointer_would_copy_is_on_the_page(tmp_path: Path) -> None:
    it = recurrent(pointer=4)
    (ids,) = it._read([TEXT])
    _, copied = causal_attention(it.model, ids)
    assert copied is not None and copied.shape == (1, 1, len(ids), len(ids))
    assert isinstance(it.model, TransformerXL) and it.model.pointer is not None
    with torch.inference_mode():
        gate = it.model.pointer.gate(it.model(torch.tensor([ids]))[0])[0, :, 0].sigmoid()
    np.testing.assert_allclose(copied[0, 0].sum(-1), [0, *gate[1:].tolist()], atol=1e-5)
    assert np.triu(copied, k=1).max() == copied[..., 0].max() == 0
    it.inspect(TEXT, out=tmp_path / "page.html")
    assert "What may be copied" in (tmp_path / "page.html").read_text()
    assert causal_attention(recurrent().model, ids)[1] is causal_attention(generator().model, ids)[1] is None
    with pytest.raises(UserError, match="more than the 1,024 that a page shows"):
        it.inspect("The old dog " * 400, out=tmp_path / "page.html")


def test_wrong_calls(tmp_path: Path) -> None:
    it = generator()
    for text in ("", "dog " * 100, 5):
        with pytest.raises(UserError):
            it.inspect(text, out=tmp_path / "page.html")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--label is nothing to"):
        refuse_unfit({"label": "x"}, task="language-model", run=tmp_path)
