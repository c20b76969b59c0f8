"""The search gives token for token what transformers' own gives, from the same model's logits."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import MarianConfig, MarianMTModel
from transformers.modeling_outputs import BaseModelOutput

from weft.config import SpecialTokens
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.generate.loop import search

VOCABULARY, END, PAD, SENTENCES, LIMIT = 40, 2, 0, 24, 14
SPECIAL = SpecialTokens(pad=PAD, start=PAD, end=END)


class MarianPredictor:
    """Transformers' model without a cache: it reads each row anew at every step."""

    def __init__(self, model: MarianMTModel, source: Tensor) -> None:
        self.model = model
        self.states = model.get_encoder()(source).last_hidden_state
        self.tokens = torch.empty(0, 0, dtype=torch.long)

    def predict(self, tokens: Tensor) -> Tensor:
        self.tokens = torch.cat((self.tokens, tokens), 1) if len(self.tokens) else tokens
        beams = len(tokens) // len(self.states)
        states = BaseModelOutput(last_hidden_state=self.states.repeat_interleave(beams, 0))
        return self.model(encoder_outputs=states, decoder_input_ids=self.tokens).logits[:, -1]

    def reorder(self, rows: Tensor) -> None:
        self.tokens = self.tokens[rows]

    def keep(self, sentences: Tensor) -> None:
        self.states = self.states[sentences]


@pytest.fixture(scope="module")
def model() -> MarianMTModel:
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=32,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
        forced_eos_token_id=None,
    )
    model = MarianMTModel(config).eval()
    # Random weights at the usual scale give one and the same output for every source: make the sources count.
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            weight.data *= 30 if "encoder_attn" in name else 50 if "shared" in name else 10
    model.lm_head.weight = torch.nn.Parameter(torch.randn(VOCABULARY, 32) * 0.2)
    model.lm_head.weight.data[END] *= 2  # and the ends vary
    model.final_logits_bias[0, END] = 5.0
    return model


@pytest.fixture(scope="module")
def source() -> Tensor:
    return torch.randint(3, VOCABULARY, (SENTENCES, 6), generator=torch.Generator().manual_seed(1))


def ours(model: MarianMTModel, source: Tensor, **fields: Any) -> list[list[Hypothesis]]:
    config = SearchConfig(**{"banned": ((PAD,),)} | fields)
    predictor = MarianPredictor(model, source)
    with torch.inference_mode():
        return search(predictor, config, SPECIAL, limits=[LIMIT] * SENTENCES, device=torch.device("cpu"))


def theirs(model: MarianMTModel, source: Tensor, **fields: Any) -> tuple[list[list[int]], list[float] | None]:
    """Generated tokens from the first to the end token or the limit, and the scores that beams have."""
    settings = {"bad_words_ids": [[PAD]], "max_length": LIMIT + 1} | fields
    out = model.generate(source, return_dict_in_generate=True, output_scores=True, **settings)
    rows = [row[: row.index(END) + 1] if END in row else row for row in out.sequences[:, 1:].tolist()]
    return rows, (out.sequences_scores.tolist() if "sequences_scores" in out else None)


def with_end(hypothesis: Hypothesis) -> list[int]:
    return [*hypothesis.tokens, END] if hypothesis.ended else hypothesis.tokens


def test_the_reference_is_varied(model: MarianMTModel, source: Tensor) -> None:
    rows, _ = theirs(model, source, num_beams=4)
    assert len({tuple(row) for row in rows}) > SENTENCES // 2
    assert len({len(row) for row in rows}) > 4


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0, -1.0])
def test_beams(
    model: MarianMTModel, source: Tensor, early_stopping: bool | str, length_penalty: float
) -> None:
    rows, scores = theirs(
        model,
        source,
        num_beams=4,
        num_return_sequences=4,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
    )
    found = ours(
        model, source, beams=4, nbest=4, early_stopping=early_stopping, length_penalty=length_penalty
    )
    assert [with_end(each) for hypotheses in found for each in hypotheses] == rows
    assert [each.score for hypotheses in found for each in hypotheses] == pytest.approx(scores, rel=1e-5)


@pytest.mark.parametrize("beams", [1, 2, 5])
@pytest.mark.parametrize(
    ("mine", "hugging_face"),
    [
        ({}, {}),
        ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"no_repeat_ngram": 2}, {"no_repeat_ngram_size": 2}),
        ({"no_repeat_ngram": 1}, {"no_repeat_ngram_size": 1}),
        ({"min_length": 6}, {"min_length": 6}),
        ({"force_end": True}, {"forced_eos_token_id": END}),
        ({"banned": ((PAD,), (7,), (20, 21), (3, 4))}, {"bad_words_ids": [[PAD], [7], [20, 21], [3, 4]]}),
        (
            {"banned": ((PAD,), (7,)), "renormalise": True},
            {"bad_words_ids": [[PAD], [7]], "renormalize_logits": True},
        ),
    ],
    ids=lambda fields: ",".join(fields) or "plain",
)
def test_processors(
    model: MarianMTModel, source: Tensor, beams: int, mine: dict[str, Any], hugging_face: dict[str, Any]
) -> None:
    rows, _ = theirs(model, source, **{"num_beams": beams, "do_sample": False} | hugging_face)
    found = ours(model, source, **{"beams": beams} | mine)
    assert [with_end(hypotheses[0]) for hypotheses in found] == rows
