"""The pointer: what is copied, from where, in training and in search."""

from typing import Any

import pytest
import torch
from torch import Tensor

from weft.config import ModelConfig, TrainConfig
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.training.optimizers import make_optimizers

SHAPE: dict[str, Any] = {
    "vocabulary": 50,
    "width": 32,
    "heads": 2,
    "feed_forward": 64,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "pointer": True,
}


def made(**fields: Any) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(ModelConfig.model_validate({**SHAPE, **fields})).eval()


def logprobs(model: Seq2Seq, source: Tensor, target: Tensor) -> Tensor:
    """Of every token at every place, by the definition."""
    assert model.pointer is not None
    memory = model.encode(source)
    hidden = model.decode(target, memory)
    written = model.logits(hidden).softmax(-1)
    pointer = model.pointer
    scores = pointer.query(hidden) @ pointer.key(memory.states).transpose(1, 2) * pointer.scale
    one_hot = torch.nn.functional.one_hot(source, 50).float()
    gate = pointer.gate(hidden).sigmoid()
    return ((1 - gate) * written + gate * (scores.softmax(-1) @ one_hot)).log()


def loss(model: Seq2Seq, source: Tensor, target: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Any:
    assert model.pointer is not None
    keep, counted = source != 0, labels != 0
    memory = model.encode(source, keep=keep)
    hidden = model.decode(target, memory)
    return model.pointer.loss(
        hidden,
        labels,
        memory=memory.states,
        source=source,
        keep=keep,
        counted=counted,
        logits=model.logits(hidden[counted]),
        smoothing=smoothing,
    )


@torch.inference_mode()
def test_the_loss_is_that_of_the_mixture() -> None:
    model = made()
    source, target = torch.tensor([[7, 8, 9, 8, 2]]), torch.tensor([[1, 8, 30]])
    labels = torch.tensor([[8, 30, 2]])
    every = logprobs(model, source, target)
    found = loss(model, source, target, labels)
    assert found.count == 3
    assert float(found.total) == pytest.approx(-float(every.gather(2, labels[..., None]).sum()), abs=1e-4)
    scores = model.logits(model(source, target)).log_softmax(-1)
    smoothed = 0.9 * float(found.total) - 0.1 * float(scores.mean(-1).sum())
    assert float(loss(model, source, target, labels, smoothing=0.1).total) == pytest.approx(
        smoothed, abs=1e-4
    )


@torch.inference_mode()
def test_padding_changes_nothing() -> None:
    model = made()
    source, target, labels = torch.tensor([[7, 8, 2]]), torch.tensor([[1, 8]]), torch.tensor([[8, 2]])
    padded = [torch.nn.functional.pad(each, (0, 3)) for each in (source, target, labels)]
    assert float(loss(model, *padded).total) == pytest.approx(
        float(loss(model, source, target, labels).total), abs=1e-4
    )


@pytest.mark.parametrize("beams", [1, 3])
def test_search_is_by_the_mixture(beams: int) -> None:
    model = made()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.4)
    sources = [[7, 8, 2], [30, 31, 32, 33, 2], [9, 2], [7, 9, 2], [40, 41, 2]]
    search = SearchConfig(beams=beams, nbest=beams, max_length=6)
    with torch.inference_mode():
        together = generate(model, sources, search)
        for source, hypotheses in zip(sources, together, strict=True):
            alone = generate(model, [source], search)[0]
            assert [each.tokens for each in alone] == [each.tokens for each in hypotheses]
            for each in hypotheses:
                target = torch.tensor([[1, *each.tokens]])
                scores = logprobs(model, torch.tensor([source]), target)[0]
                expected = [float(scores[place, token]) for place, token in enumerate(each.tokens)]
                assert each.logprobs[: len(expected)] == pytest.approx(expected, abs=1e-4)


def test_it_learns_to_copy_what_it_never_wrote() -> None:
    """Of tokens 10 to 29 each is learned to be copied; 30 to 49 stand in no training example."""
    model, chance = made().train(), torch.Generator().manual_seed(0)
    optimizers = make_optimizers(model, TrainConfig(learning_rate=5e-3))
    for _ in range(250):
        words = torch.randint(10, 30, (32, 4), generator=chance)
        end = torch.full((32, 1), 2)
        source, labels = torch.cat([words, end], 1), torch.cat([words[:, :1], end], 1)
        target = torch.cat([torch.ones_like(end), words[:, :1]], 1)
        found = loss(model, source, target, labels)
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        (found.total / found.count).backward()
        for optimizer in optimizers.values():
            optimizer.step()
    assert float(found.total.detach()) / found.count < 0.3
    unseen = [[30 + number, 49 - number, 35, 40, 2] for number in range(0, 12, 2)]
    said = generate(model.eval(), unseen, SearchConfig(max_length=3))
    copied = sum(
        bool(each.tokens) and each.tokens[0] in source for source, (each,) in zip(unseen, said, strict=True)
    )
    assert copied >= 4


def test_decoders_have_none() -> None:
    shape = {**SHAPE, "architecture": "decoder", "encoder_layers": 0}
    with pytest.raises(ValueError, match="pointer does not suit the architecture decoder"):
        ModelConfig.model_validate(shape)
