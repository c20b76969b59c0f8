"""Vectors of n-grams: which row each has, and where a text begins."""

import pytest
import torch
from torch import Tensor

from weft.config import ModelConfig, NgramVectors
from weft.models.decoder import Decoder
from weft.nn.ngram_embedding import NgramEmbedding


def embedding(*, longest: int = 4, rows: int = 100_000) -> NgramEmbedding:
    torch.manual_seed(0)
    return NgramEmbedding(NgramVectors(longest=longest, rows=rows), width=8)


def ids(*numbers: int) -> Tensor:
    return torch.tensor([numbers])


def test_equal_ngrams_have_equal_rows_and_others_have_others() -> None:
    rows = embedding().find(ids(5, 1, 2, 3, 7, 1, 2, 3))
    assert rows.shape == (1, 8, 3)
    pairs, triples, fours = rows[0].T
    assert pairs[3] == pairs[7] and triples[3] == triples[7] and fours[3] != fours[7]
    assert pairs[2] != pairs[3] and len(set(pairs.tolist())) == 6
    assert pairs.max() < 100_000 <= triples.min() and triples.max() < 200_000 <= fours.min() < 300_000


def test_all_pairs_of_a_small_vocabulary_nearly_have_a_row_each() -> None:
    every = torch.cartesian_prod(torch.arange(65), torch.arange(65))
    rows = embedding(longest=2, rows=16_384).find(every)[:, 1, 0]
    expected = 16_384 * (1 - (1 - 1 / 16_384) ** 4225)  # of so many balls thrown into so many bins
    assert len(rows.unique()) > 0.97 * expected


def test_huge_tokens_stay_within_the_table() -> None:
    rows = embedding(rows=7).find(torch.full((1, 9), 2**31 - 2))
    assert rows.min() >= 0 and rows.max() < 21


def test_a_text_is_the_same_in_parts() -> None:
    it, tokens = embedding(), ids(*range(3, 15))
    for cut in (1, 2, 5):
        rest = it.find(tokens[:, cut:], before=tokens[:, :cut])
        assert torch.equal(rest, it.find(tokens)[:, cut:])


def test_a_text_begins_where_positions_begin_anew() -> None:
    it = embedding()
    packed = it.find(ids(4, 5, 6, 4, 5), positions=ids(0, 1, 2, 0, 1))
    assert torch.equal(packed[:, :3], it.find(ids(4, 5, 6)))
    assert torch.equal(packed[:, 3:], it.find(ids(4, 5)))
    assert not torch.equal(it.find(ids(4, 5, 6, 4, 5))[:, 3:], packed[:, 3:])


def test_it_is_the_sum_of_its_rows() -> None:
    it, tokens = embedding(), ids(4, 5, 6, 4, 5)
    expected = it.table.weight[it.find(tokens)].sum(dim=2)
    torch.testing.assert_close(it(tokens), expected)


def test_dropout_leaves_out_whole_ngrams() -> None:
    torch.manual_seed(0)
    it, tokens = (
        NgramEmbedding(NgramVectors(longest=2, rows=1000, dropout=0.25), width=8),
        torch.arange(400)[None],
    )
    every = it.eval()(tokens)
    some = it.train()(tokens)
    gone = (some == 0).all(-1)
    torch.testing.assert_close(some[~gone], every[~gone] / 0.75)
    assert 60 < int(gone.sum()) < 140


def test_at_the_beginning_it_says_nothing() -> None:
    shape = {"architecture": "decoder", "vocabulary": 40, "width": 8, "decoder_layers": 1, "heads": 2}
    config = {**shape, "feed_forward": 16, "position": "rotary"}
    models = []
    for ngrams in (None, {"longest": 3, "rows": 20}):
        torch.manual_seed(0)
        models.append(Decoder(ModelConfig.model_validate({**config, "ngrams": ngrams})))
    plain, other = models
    other.load_state_dict(plain.state_dict(), strict=False)
    assert not other.ngrams.table.weight.any()
    assert torch.equal(plain(ids(4, 5, 6)), other(ids(4, 5, 6)))


def test_single_tokens_are_no_ngrams() -> None:
    shape = {
        "architecture": "decoder",
        "vocabulary": 40,
        "width": 8,
        "decoder_layers": 1,
        "heads": 2,
        "feed_forward": 8,
    }
    models = [
        Decoder(ModelConfig.model_validate({**shape, "ngrams": {"longest": longest}})) for longest in (1, 2)
    ]
    assert [model.ngrams is None for model in models] == [True, False]


def test_readers_have_none() -> None:
    config = {
        "architecture": "encoder",
        "vocabulary": 9,
        "width": 8,
        "heads": 2,
        "feed_forward": 8,
        "encoder_layers": 1,
    }
    with pytest.raises(ValueError, match="ngrams does not suit the architecture"):
        ModelConfig.model_validate({**config, "ngrams": {}})
