"""The pointer to the past: what is copied from the text itself, in training, evaluation and search."""

from typing import Any

import pytest
import torch
from torch import Tensor

from weft.config import ModelConfig
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.models.transformer_xl import TransformerXL

SHAPE: dict[str, Any] = {
    "architecture": "transformer-xl",
    "vocabulary": 40,
    "width": 16,
    "heads": 2,
    "feed_forward": 32,
    "decoder_layers": 2,
    "position": "none",
    "tie": "two",
    "initialisation": "normal",
}


def made(*, memory: int = 64, pointer: int = 64, **fields: Any) -> TransformerXL:
    torch.manual_seed(0)
    shape = {**SHAPE, "recurrence": {"memory": memory, "pointer": pointer}, **fields}
    model = TransformerXL(ModelConfig.model_validate(shape)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.4)
    return model


def ids(rows: int, length: int) -> Tensor:
    return torch.randint(0, 40, (rows, length), generator=torch.Generator().manual_seed(length))


def by_definition(model: TransformerXL, text: list[int], *, reach: int) -> Tensor:
    """The logarithms of all tokens' probabilities after the text, of which the pointer sees so many earlier places."""
    pointer = model.pointer
    assert pointer is not None
    hidden = model(torch.tensor([text]))[0][0]
    written = model.output(hidden[-1:])[0].softmax(-1)
    if len(text) == 1:
        return written.log()
    places = range(max(0, len(text) - 1 - reach), len(text) - 1)
    suits = torch.stack(
        [pointer.query(hidden[-1]) @ pointer.key(hidden[at]) * pointer.scale for at in places]
    )
    copied = torch.zeros(40)
    for share, place in zip(suits.softmax(0), places, strict=True):
        copied[text[place + 1]] += share
    gate = pointer.gate(hidden[-1]).sigmoid()
    return ((1 - gate) * written + gate * copied).log()


@pytest.mark.parametrize("adaptive", [None, {"cutoffs": (10, 25), "divide": 2}])
@torch.inference_mode()
def test_the_loss_is_that_of_the_mixture(adaptive: dict[str, Any] | None) -> None:
    model, text = made(adaptive=adaptive), ids(1, 30)[0]
    expected = [-by_definition(model, text[:end].tolist(), reach=64)[text[end]] for end in range(1, 30)]
    found, memory = [], None
    for begin, end in ((0, 7), (7, 8), (8, 20), (20, 29)):
        hidden, memory = model(text[None, begin:end], memory)
        labels = text[None, begin + 1 : end + 1]
        found.append(model.token_losses(hidden, labels, memory.past)[0])
        torch.testing.assert_close(model.loss(hidden, labels, memory.past).total, found[-1].sum())
        last = model.logits(hidden[:, -1], memory.past)[0]
        torch.testing.assert_close(last.exp().sum(), torch.tensor(1.0))
        torch.testing.assert_close(-last[labels[0, -1]], found[-1][-1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.cat(found), torch.stack(expected), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_it_reaches_as_far_as_it_is_told() -> None:
    """Beside what stands in the segment itself; and further than the layers do."""
    model, text = made(pointer=5, memory=64), ids(1, 30)
    _, memory = model(text[:, :20])
    hidden, memory = model(text[:, 20:21], memory)
    expected = by_definition(model, text[0, :21].tolist(), reach=5)
    torch.testing.assert_close(model.logits(hidden[:, -1], memory.past)[0], expected, atol=1e-4, rtol=1e-4)
    far = made(pointer=50, memory=2)
    _, memory = far(text)
    assert memory.past.keys.shape[1] == memory.past.tokens.shape[1] == 30
    assert far(text, memory)[1].past.keys.shape[1] == 60


@pytest.mark.parametrize(
    ("remember", "pointer", "layers"), [(10, 10, 6), (4, 4, 4), (40, 40, 6), (None, 20, 6)]
)
@torch.inference_mode()
def test_what_is_remembered_bounds_the_pointer_and_the_layers(
    remember: int | None, pointer: int, layers: int
) -> None:
    """Beyond what they were trained for, the pointer alone sees further."""
    model, same, memory, others = made(memory=6, pointer=20), made(memory=layers, pointer=pointer), None, None
    for segment in torch.split(ids(2, 60), 4, dim=1):
        hidden, memory = model(segment, memory, remember=remember)
        states, others = same(segment, others)
        torch.testing.assert_close(hidden, states)
        torch.testing.assert_close(
            model.logits(hidden[:, -1], memory.past), same.logits(states[:, -1], others.past)
        )


@torch.inference_mode()
def test_a_segment_that_is_read_by_itself_is_remembered_after_the_others() -> None:
    model, text = made(memory=6, pointer=9, ngrams={"longest": 4, "rows": 64}), ids(2, 20)
    _, memory = model(text[:, :12])
    _, segment = model(text[:, 12:])
    after = model.after(memory, segment)
    assert torch.equal(after.past.tokens, text[:, -17:])
    assert torch.equal(after.past.keys, torch.cat([memory.past.keys[:, -9:], segment.past.keys], dim=1))
    assert all(
        torch.equal(layer, torch.cat([old, new], dim=1)[:, -6:])
        for layer, old, new in zip(after.layers, memory.layers, segment.layers, strict=True)
    )


@pytest.mark.parametrize(("beams", "reach"), [(1, 64), (3, 64), (1, 4), (3, 4)])
@torch.inference_mode()
def test_search_is_by_the_mixture(beams: int, reach: int) -> None:
    """After a prompt of one segment, so that all that it sees is as in one reading of the whole."""
    model = made(pointer=reach, ngrams={"longest": 3, "rows": 64})
    prompts = [[5, 6, 7, 5, 6], [8, 9, 3, 8, 9], [7, 7, 7]]
    found = continue_prompts(model, prompts, SearchConfig(beams=beams, max_length=12))
    for prompt, (best,) in zip(prompts, found, strict=True):
        texts = [[*prompt, *best.tokens[:place]] for place in range(len(best.tokens))]
        reaches = [64, *[reach] * (len(texts) - 1)]  # the first token's prompt is a segment
        expected = [
            float(by_definition(model, text, reach=most)[token])
            for text, token, most in zip(texts, best.tokens, reaches, strict=True)
        ]
        assert best.logprobs == pytest.approx(expected, abs=1e-3)


def test_it_learns_to_copy_from_before_the_layers_memory() -> None:
    """Random tokens, said twice, 24 apart: neither a segment of 8 nor a memory of 8 reaches back to the first time."""
    torch.manual_seed(0)
    shape = {**SHAPE, "width": 32, "initialisation": "xavier", "recurrence": {"memory": 8, "pointer": 64}}
    model = TransformerXL(ModelConfig.model_validate(shape))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(100):
        text = torch.randint(0, 40, (16, 24)).repeat(1, 2)
        memory, losses = None, []
        for begin in range(0, 40, 8):
            hidden, memory = model(text[:, begin : begin + 8], memory)
            losses.append(model.token_losses(hidden, text[:, begin + 1 : begin + 9], memory.past))
        every = torch.cat(losses, dim=1)
        optimizer.zero_grad()
        every.mean().backward()
        optimizer.step()
    first, again = every[:, :23].mean().item(), every[:, 24:].mean().item()
    assert again < first - 0.6, (first, again)
