"""The encoder: what may see what, heads, and how deep each parameter lies."""

import pytest
import torch

from weft.config import ModelConfig, TrainConfig
from weft.models.encoder import Encoder
from weft.nn import listen
from weft.nn.heads import pool
from weft.nn.masks import Mask
from weft.recipes import PRESETS
from weft.training.optimizers import make_optimizers

SMALL = ModelConfig(
    architecture="encoder",
    vocabulary=40,
    width=16,
    encoder_layers=4,
    heads=2,
    feed_forward=32,
    position="rotary",
    norm="rms",
    gated=True,
    tie="two",
    segments=2,
    embedding_norm=True,
    initialisation="xavier",
)


def ids(rows: int, length: int) -> torch.Tensor:
    return torch.randint(5, 40, (rows, length), generator=torch.Generator().manual_seed(rows * 100 + length))


@pytest.mark.parametrize("norm_place", ["before", "after"])
@pytest.mark.parametrize("position", ["rotary", "learned", "sinusoidal", "alibi", "t5"])
def test_padding_changes_nothing(position: str, norm_place: str) -> None:
    torch.manual_seed(0)
    changes = {"position": position, "norm_place": norm_place}
    model = Encoder(
        SMALL.model_copy(update=changes), heads=("pooler", "classify"), labels=3, pooling="mean"
    ).eval()
    short = ids(1, 6)
    padded = torch.cat([short, torch.zeros(1, 4, dtype=torch.long)], dim=1)
    keep = torch.arange(10)[None] < 6
    alone, filled = model(short), model(padded, mask=Mask(keep=keep))
    assert torch.allclose(alone, filled[:, :6], atol=1e-6)
    assert torch.allclose(model.pooled(alone), model.pooled(filled, keep=keep), atol=1e-6)


def test_packed_documents_do_not_see_each_other() -> None:
    torch.manual_seed(0)
    model = Encoder(SMALL.model_copy(update={"position": "learned", "window": 3})).eval()
    first, second = ids(1, 5), ids(1, 7)
    packed = torch.cat([first, second], dim=1)
    documents = torch.tensor([[0] * 5 + [1] * 7])
    positions = torch.tensor([[*range(5), *range(7)]])
    states = model(packed, mask=Mask(segments=documents), positions=positions)
    assert torch.allclose(states[:, :5], model(first), atol=1e-6)
    assert torch.allclose(states[:, 5:], model(second), atol=1e-6)


def test_a_window_hides_what_is_far_in_all_layers_but_every_third() -> None:
    torch.manual_seed(0)
    model = Encoder(SMALL.model_copy(update={"window": 2, "global_every": 3})).eval()
    with listen(model) as heard:
        model(ids(1, 8))
    far = (torch.arange(8)[:, None] - torch.arange(8)).abs() >= 2
    sees_far = [bool(heard[f"encoder.blocks.{i}.attention.weights"][0][0][:, far].any()) for i in range(4)]
    assert sees_far == [True, False, False, True]


def test_segments_change_the_states() -> None:
    torch.manual_seed(0)
    model = Encoder(SMALL).eval()
    tokens = ids(1, 6)
    assert torch.equal(model(tokens), model(tokens, segments=torch.zeros_like(tokens)))
    assert not torch.allclose(model(tokens), model(tokens, segments=torch.ones_like(tokens)))


def test_the_masked_head_shares_the_embeddings_only_where_they_are_tied() -> None:
    tied = Encoder(SMALL, heads=("masked",))
    assert tied.masked.output.weight is tied.embedding.tokens.weight
    apart = Encoder(SMALL.model_copy(update={"tie": "none"}), heads=("masked",))
    assert apart.masked.output.weight is not apart.embedding.tokens.weight


def test_mean_pooling_leaves_padding_out() -> None:
    states = torch.tensor([[[1.0], [3.0], [100.0]]])
    keep = torch.tensor([[True, True, False]])
    assert pool(states, keep=keep, pooling="mean").item() == 2.0
    assert pool(states, keep=keep, pooling="first").item() == 1.0


def test_what_lies_deeper_learns_slower() -> None:
    model = Encoder(SMALL, heads=("classify",), labels=2)
    config = TrainConfig(optimizer="adamw", layer_decay=0.5)
    (adamw,) = make_optimizers(model, config).values()
    scales = {id(p): group["scale"] for group in adamw.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert len(scales) == len(named)
    assert scales[id(named["heads.classify.output.weight"])] == 1.0
    assert scales[id(named["encoder.blocks.3.attention.key.weight"])] == 0.5
    assert scales[id(named["encoder.blocks.0.attention.key.weight"])] == 0.5**4
    assert scales[id(named["embedding.tokens.weight"])] == scales[id(named["segments.weight"])] == 0.5**5


def test_muon_takes_the_matrices_inside_the_blocks_alone() -> None:
    model = Encoder(SMALL, heads=("masked", "pooler", "classify"), labels=2)
    optimizers = make_optimizers(model, TrainConfig())
    muon = {id(p) for group in optimizers["muon"].param_groups for p in group["params"]}
    inside = {id(p) for name, p in model.named_parameters() if ".blocks." in name and p.dim() == 2}
    assert muon == inside


@pytest.mark.parametrize("name", PRESETS["encoder"])
def test_every_preset_is_an_encoder(name: str) -> None:
    config = ModelConfig(**{"vocabulary": 100, **PRESETS["encoder"][name]["model"]})
    with torch.device("meta"):
        model = Encoder(config, heads=("masked",))
    assert len(model.encoder.blocks) == config.encoder_layers
