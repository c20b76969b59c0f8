"""Contrastive search: what is chosen, in batches and alone, by either kind of decoder."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from weft.config import ModelConfig
from weft.errors import UserError
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.models.decoder import Decoder
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL

SMALL: dict[str, Any] = {"vocabulary": 30, "width": 16, "heads": 2, "feed_forward": 32}
WORKING = {"beams": 1, "contrast": 0.6, "max_length": 9}


def made(kind: str) -> Decoder | TransformerXL:
    torch.manual_seed(3)
    shape = {**SMALL, "decoder_layers": 2, "tie": "none"}
    if kind == "decoder":
        model: Any = Decoder(ModelConfig(architecture="decoder", position="rotary", max_length=64, **shape))
    else:
        config = {**shape, "architecture": "transformer-xl", "position": "none", "recurrence": {"memory": 40}}
        model = TransformerXL(ModelConfig.model_validate(config))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.5)
    return model.eval()


def read(model: Decoder | TransformerXL, tokens: list[int]) -> Tensor:
    ids = torch.tensor([tokens])
    return (model(ids) if isinstance(model, Decoder) else model(ids)[0])[0]


@torch.inference_mode()
def by_hand(model: Any, prompt: list[int], *, weight: float, count: int, length: int, end: int) -> list[int]:
    """Equation 5, each candidate read with everything before it."""
    tokens = list(prompt)
    while len(tokens) < len(prompt) + length:
        states = read(model, tokens)
        likely = model.logits(states[-1:]).softmax(-1)[0].topk(count)
        worth = []
        for probability, token in zip(*(each.tolist() for each in likely), strict=True):
            state = read(model, [*tokens, token])[-1]
            alike = float(cosine_similarity(states, state[None], dim=-1).max())
            worth.append((1 - weight) * probability - weight * alike)
        tokens.append(int(likely.indices[worth.index(max(worth))]))
        if tokens[-1] == end:
            break
    return tokens[len(prompt) :]


PROMPTS = [[5, 6, 7], [9, 8], [5, 6, 8], [10, 11], [4, 4, 4], [20, 21, 22, 23]]


@pytest.mark.parametrize("kind", ["decoder", "recurrent"])
@pytest.mark.parametrize(("weight", "count"), [(0.6, None), (0.2, 3), (0.9, 7)])
def test_it_is_the_papers(kind: str, weight: float, count: int | None) -> None:
    model = made(kind)
    asked = {**WORKING, "contrast": weight} | ({} if count is None else {"top_k": count})
    found = continue_prompts(model, PROMPTS, SearchConfig(**asked))
    end = model.config.special.end
    for prompt, (hypothesis,) in zip(PROMPTS, found, strict=True):
        expected = by_hand(model, prompt, weight=weight, count=count or 4, length=9, end=end)
        assert [*hypothesis.tokens, *([end] if hypothesis.ended else [])] == expected
        (alone,) = continue_prompts(model, [prompt], SearchConfig(**asked))[0]
        assert alone.tokens == hypothesis.tokens


def test_its_logarithms_are_the_models() -> None:
    model, prompt = made("decoder"), [5, 6, 7]
    ((found,),) = continue_prompts(model, [prompt], SearchConfig(**WORKING))
    with torch.inference_mode():
        every = model.logits(read(model, [*prompt, *found.tokens])).log_softmax(-1)
    expected = [float(every[2 + place, token]) for place, token in enumerate(found.tokens)]
    assert found.logprobs[: len(found.tokens)] == pytest.approx(expected, abs=1e-4)


def test_rules_come_first() -> None:
    model = made("decoder")
    ((free,),) = continue_prompts(model, [[5, 6, 7]], SearchConfig(**WORKING))
    banned = SearchConfig(**WORKING, banned=tuple((token,) for token in set(free.tokens)))
    ((found,),) = continue_prompts(model, [[5, 6, 7]], banned)
    assert not set(found.tokens) & set(free.tokens)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contrast": 0.5, "sample": True}, "suits neither sample nor beams"),
        ({"contrast": 0.5, "beams": 3}, "suits neither sample nor beams"),
        ({"contrast": 1.0}, "less than 1"),
        ({"top_k": 5}, "only sampling uses this"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchConfig(**options)


def test_translators_have_none() -> None:
    model = Seq2Seq(ModelConfig(encoder_layers=1, decoder_layers=1, **SMALL))
    with pytest.raises(UserError, match="contrastive search is for language models"):
        generate(model, [[5, 6]], SearchConfig(contrast=0.5))
