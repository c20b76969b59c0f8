"""Diverse beam search: groups that pay for what others say, against a search written out."""

import math
from typing import Any

import pytest
import torch

from weft.config import ModelConfig
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.models.decoder import Decoder
from weft.models.seq2seq import Seq2Seq

SMALL: dict[str, Any] = {"vocabulary": 25, "width": 16, "heads": 2, "feed_forward": 32}
PROMPTS = [[5, 6, 7], [9, 8], [5, 6, 8], [10, 11], [4, 4, 4]]


def decoder() -> Decoder:
    torch.manual_seed(5)
    shape = {**SMALL, "decoder_layers": 2, "tie": "none", "position": "rotary", "max_length": 64}
    model = Decoder(ModelConfig(architecture="decoder", **shape))
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.3)
    return model.eval()


Running = list[tuple[float, list[int]]]


@torch.inference_mode()
def by_hand(model: Decoder, prompt: list[int], config: SearchConfig) -> list[list[int]]:
    """The first of Vijayakumar et al. 2018, algorithm 1, with the cost of a token the number of earlier beams that go on
    with it; a group's hypotheses that end leave it, and it is over when it has as many as beams."""
    end, size = model.config.special.end, config.beams // config.groups
    running: list[Running] = [[(0.0, [])] for _ in range(config.groups)]
    finished: list[Running] = [[] for _ in range(config.groups)]
    assert config.max_length is not None
    for length in range(1, config.max_length + 1):
        taken = [0] * model.config.vocabulary
        for group in range(config.groups):
            ways = []
            for total, tokens in running[group]:
                ids = torch.tensor([[*prompt, *tokens]])
                scores = model.logits(model(ids)[:, -1]).log_softmax(-1)[0].tolist()
                ways += [
                    (total + score - config.diversity * taken[token], [*tokens, token])
                    for token, score in enumerate(scores)
                ]
            ways.sort(key=lambda way: -way[0])
            over = len(finished[group]) >= size
            for place, (total, tokens) in enumerate(ways[: 2 * size]):
                ends = tokens[-1] == end or length == config.max_length
                if ends and place < size and not over:
                    finished[group].append((total / length, tokens))
            goes_on = [way for way in ways[: 2 * size] if way[1][-1] != end][:size]
            for _, tokens in [] if over else goes_on:
                taken[tokens[-1]] += 1
            running[group] = goes_on
            finished[group] = sorted(finished[group], key=lambda way: -way[0])[:size]
    every = sorted((way for group in finished for way in group), key=lambda way: -way[0])
    distinct: dict[tuple[int, ...], None] = {}
    for _, tokens in every:
        distinct.setdefault(tuple(token for token in tokens if token != end))
    return [list(tokens) for tokens in distinct]


@pytest.mark.parametrize(("beams", "groups", "diversity"), [(4, 2, 0.5), (6, 3, 2.0), (3, 3, 1.0)])
def test_it_is_the_papers(beams: int, groups: int, diversity: float) -> None:
    model = decoder()
    config = SearchConfig(
        beams=beams, nbest=beams, groups=groups, diversity=diversity, max_length=7, early_stopping=True
    )
    found = continue_prompts(model, PROMPTS, config)
    for prompt, hypotheses in zip(PROMPTS, found, strict=True):
        expected = by_hand(model, prompt, config)
        assert [each.tokens for each in hypotheses] == expected
        assert [each.tokens for each in continue_prompts(model, [prompt], config)[0]] == expected


def test_groups_differ_where_beams_do_not() -> None:
    model = decoder()
    plain = SearchConfig(beams=4, nbest=4, max_length=6)
    diverse = SearchConfig(beams=4, nbest=4, max_length=6, groups=4, diversity=math.log(1e6))
    firsts = [
        [
            {each.tokens[0] for each in hypotheses if each.tokens}
            for hypotheses in continue_prompts(model, PROMPTS, config)
        ]
        for config in (plain, diverse)
    ]
    assert sum(map(len, firsts[1])) > sum(map(len, firsts[0]))


def test_translators_have_groups_too() -> None:
    torch.manual_seed(2)
    model = Seq2Seq(ModelConfig(encoder_layers=1, decoder_layers=1, **SMALL))
    config = SearchConfig(beams=4, nbest=4, max_length=6, groups=2, diversity=1.0)
    sources = [[5, 6, 7], [9], [5, 6], [10, 11, 12], [9, 9, 9]]
    together = generate(model, sources, config)
    alone = [generate(model, [source], config)[0] for source in sources]
    assert [[each.tokens for each in one] for one in together] == [
        [each.tokens for each in one] for one in alone
    ]
    assert all(len({tuple(each.tokens) for each in one}) == len(one) for one in together)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beams": 4, "groups": 3, "diversity": 1.0}, "beams 4 is not a multiple of groups 3"),
        ({"beams": 4, "groups": 2}, "set both"),
        ({"beams": 4, "diversity": 1.0}, "set both"),
        ({"beams": 4, "groups": 2, "diversity": 1.0, "forced": ((5,),)}, "leave out one"),
        ({"groups": 2, "diversity": 1.0, "sample": True}, "only beam search uses this"),
    ],
)
def test_wrong_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchConfig(**options)
