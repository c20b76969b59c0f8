"""The search in numpy finds what the search in PyTorch finds; on ONNX Runtime, what the models there would write."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from weft.config import GeneratorConfig, ModelConfig, SpecialTokens, TranslatorConfig
from weft.errors import UserError
from weft.generate import batches, loop, prompts, sampling
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.interchange import numpy_scores, onnx_predictors
from weft.interchange.numpy_search import search
from weft.interchange.onnx_models import DECODER, ENCODER, MODEL, make_graphs
from weft.models.decoder import Decoder
from weft.models.seq2seq import Seq2Seq

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

PAD, START, END, VOCABULARY = 0, 1, 2, 40
SPECIAL = SpecialTokens(pad=PAD, start=START, end=END)
BASE: dict[str, Any] = {
    "vocabulary": VOCABULARY,
    "width": 32,
    "heads": 4,
    "feed_forward": 48,
    "max_length": 64,
    "tie": "none",
    "output_bias": True,
    "decoder_layers": 2,
}
SEQ2SEQ: dict[str, dict[str, Any]] = {
    "plain": {},
    "shared keys": {"kv_heads": 2, "position": "rotary", "norm": "rms"},
    "pointer": {"pointer": True, "position": "t5"},
    "n-grams": {"ngrams": {"longest": 3, "rows": 50}, "position": "rotary"},
}
DECODERS: dict[str, dict[str, Any]] = {
    "rotary": {"position": "rotary"},
    "window": {"position": "alibi", "window": 4, "kv_heads": 1},
    "n-grams": {"ngrams": {"longest": 3, "rows": 50}, "position": "learned"},
}
SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy, least": {"min_length": 6, "force_end": True},
    "greedy, no repeats": {"no_repeat_ngram": 2, "repetition_penalty": 1.3},
    "greedy, banned": {"banned": ((5,), (7, 8), (9,), (END,)), "renormalise": True},
    "beams": {"beams": 4, "nbest": 4},
    "beams, early": {"beams": 4, "nbest": 2, "early_stopping": True},
    "beams, never": {"beams": 3, "early_stopping": "never", "length_penalty": 1.5},
    "beams, sums": {"beams": 3, "nbest": 3, "length_penalty": 0.0},
    "beams, short ones": {"beams": 3, "nbest": 3, "length_penalty": -1.0, "early_stopping": "never"},
    "beams, gnmt": {"beams": 4, "nbest": 4, "scoring": "gnmt", "length_penalty": 0.6},
    "beams, least": {"beams": 4, "nbest": 4, "min_length": 5, "force_end": True, "renormalise": True},
    "beams, no repeats": {"beams": 4, "nbest": 4, "no_repeat_ngram": 2, "repetition_penalty": 1.2},
    "beams, banned": {"beams": 4, "nbest": 4, "banned": ((5,), (7, 8), (11,)), "renormalise": True},
    "wide": {"beams": 30, "nbest": 30, "max_length": 6},
}


def make(kind: type[nn.Module], **fields: Any) -> Any:
    """A small model whose outputs are varied and end at various lengths."""
    torch.manual_seed(0)
    model = kind(ModelConfig.model_validate(BASE | fields)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if (".cross." in name or ".attention." in name) and weight.dim() == 2:
                weight *= 3
        model.output.weight *= 1.5
        model.output.weight[END] *= 2
        model.output.bias[END] = 3.0
    return model


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def start(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def translator(fields: dict[str, Any]) -> tuple[Seq2Seq, dict[str, Any]]:
    """An encoder-decoder, and how it is given to ONNX Runtime."""
    model = make(Seq2Seq, encoder_layers=2, **fields)
    folder = TranslatorConfig(directions=(("de", "en"),), tags=False, model=model.config)
    graphs = make_graphs(folder, arrays(model))
    return model, {
        "encoder": start(graphs[ENCODER]),
        "decoder": start(graphs[DECODER]),
        "model": model.config,
    }


def generator(fields: dict[str, Any]) -> tuple[Decoder, dict[str, Any]]:
    """A decoder, and how it is given to ONNX Runtime."""
    model = make(Decoder, architecture="decoder", **fields)
    graphs = make_graphs(GeneratorConfig(model=model.config), arrays(model))
    return model, {"decoder": start(graphs[MODEL]), "model": model.config}


@pytest.fixture(scope="module")
def translators() -> dict[str, tuple[Seq2Seq, dict[str, Any]]]:
    return {name: translator(fields) for name, fields in SEQ2SEQ.items()}


@pytest.fixture(scope="module")
def generators() -> dict[str, tuple[Decoder, dict[str, Any]]]:
    return {name: generator(fields) for name, fields in DECODERS.items()}


def texts(count: int, *, lengths: tuple[int, ...] = (5, 2, 9, 4)) -> list[list[int]]:
    draw = torch.Generator().manual_seed(count)
    every = itertools.cycle(lengths)
    return [
        [*torch.randint(3, VOCABULARY, (next(every),), generator=draw).tolist(), END] for _ in range(count)
    ]


def assert_same(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [len(each) for each in found] == [len(each) for each in expected]
    for ours, theirs in zip(itertools.chain(*found), itertools.chain(*expected), strict=True):
        assert (ours.tokens, ours.ended) == (theirs.tokens, theirs.ended)
        assert ours.score == pytest.approx(theirs.score, rel=1e-5, abs=1e-4)
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", SEQ2SEQ)
def test_encoder_decoders_write_the_same(
    name: str, search: str, translators: dict[str, tuple[Seq2Seq, dict[str, Any]]]
) -> None:
    model, there = translators[name]
    config = SearchConfig(**({"max_length": 10} | SEARCHES[search]))
    expected = batches.generate(model, texts(11), config)
    assert_same(onnx_predictors.generate(texts(11), config, **there), expected)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", DECODERS)
def test_decoders_go_on_the_same(
    name: str, search: str, generators: dict[str, tuple[Decoder, dict[str, Any]]]
) -> None:
    model, there = generators[name]
    config = SearchConfig(**({"max_length": 10} | SEARCHES[search]))
    given = [text[:-1] for text in texts(9)]
    expected = prompts.continue_prompts(model, given, config)
    assert_same(onnx_predictors.continue_prompts(given, config, **there), expected)


@pytest.mark.parametrize("beams", [1, 4])
def test_lengths_follow_the_sources(
    beams: int, translators: dict[str, tuple[Seq2Seq, dict[str, Any]]]
) -> None:
    model, there = translators["plain"]
    for fields in ({}, {"force_end": True}):
        config = SearchConfig(beams=beams, banned=((END,),) if not fields else (), **fields)
        lines = texts(6)
        found = onnx_predictors.generate(lines, config, **there, batch_tokens=12)
        assert_same(found, batches.generate(model, lines, config))


def test_a_prompt_without_a_maximum_is_followed_as_far_as_the_model_goes(
    generators: dict[str, tuple[Decoder, dict[str, Any]]],
) -> None:
    model, there = generators["rotary"]
    config = SearchConfig(banned=((END,),))
    found = onnx_predictors.continue_prompts([[5, 6, 7]], config, **there)
    assert_same(found, prompts.continue_prompts(model, [[5, 6, 7]], config))
    assert len(found[0][0].tokens) == 61


def test_tokens_are_told_and_processors_come_last(
    generators: dict[str, tuple[Decoder, dict[str, Any]]],
) -> None:
    _, there = generators["rotary"]
    told: list[int] = []

    def end_after_three(tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if tokens.shape[1] == 4:
            scores[:, END] = 1e4
        return scores

    ((found,),) = onnx_predictors.continue_prompts(
        [[5, 6, 7]],
        SearchConfig(max_length=8, banned=((END,),)),
        **there,
        processors=[end_after_three],
        tell=told.append,
    )
    assert told == [*found.tokens, END]
    assert len(told) == 4


def test_nothing_to_write_after(
    translators: dict[str, tuple[Seq2Seq, dict[str, Any]]],
    generators: dict[str, tuple[Decoder, dict[str, Any]]],
) -> None:
    assert onnx_predictors.generate([], SearchConfig(), **translators["plain"][1]) == []
    assert onnx_predictors.continue_prompts([], SearchConfig(), **generators["rotary"][1]) == []


# The search by itself: a model that is the same numbers on both sides, its state of the rows' own and the sentences' own.


class Recurrent:
    """A random recurrent network in numpy: what it scores depends on the sentence and on all tokens of a row."""

    def __init__(self, sentences: int, *, vocabulary: int, seed: int, sharpness: float) -> None:
        draw = np.random.default_rng(seed)
        self.vectors, self.matrix, self.about = (
            draw.normal(size=size).astype(np.float32) for size in ((vocabulary, 8), (8, 8), (sentences, 8))
        )
        self.output = (sharpness * draw.normal(size=(8, vocabulary))).astype(np.float32)
        self.state = np.zeros((sentences, 8), np.float32)

    def predict(self, tokens: np.ndarray) -> np.ndarray:
        about = np.repeat(self.about, len(tokens) // len(self.about), axis=0)
        for column in tokens.T:
            self.state = np.tanh(self.state @ self.matrix + self.vectors[column] + about)
        return np.stack([row @ self.output for row in self.state])  # row by row: alike in every batch

    def reorder(self, rows: np.ndarray) -> None:
        self.state = self.state[rows]

    def keep(self, sentences: np.ndarray) -> None:
        self.about = self.about[sentences]


class OnTorch:
    """A predictor in numpy as PyTorch's search wants it."""

    def __init__(self, predictor: Recurrent) -> None:
        self.predictor = predictor

    def predict(self, tokens: Tensor) -> Tensor:
        return torch.from_numpy(self.predictor.predict(tokens.numpy()))

    def reorder(self, rows: Tensor) -> None:
        self.predictor.reorder(rows.numpy())

    def keep(self, sentences: Tensor) -> None:
        self.predictor.keep(sentences.numpy())


@st.composite
def configs(draw: st.DrawFn, vocabulary: int) -> SearchConfig:
    word = st.lists(st.integers(0, vocabulary - 1), min_size=1, max_size=3).map(tuple)
    fields: dict[str, Any] = {
        "max_length": draw(st.integers(1, 12)),
        "length_penalty": draw(st.sampled_from([-1.0, 0.0, 0.7, 1.0, 2.0])),
        "scoring": draw(st.sampled_from(["power", "gnmt"])),
        "repetition_penalty": draw(st.sampled_from([1.0, 1.0, 0.8, 1.4])),
        "no_repeat_ngram": draw(st.integers(0, 3)),
        "banned": draw(st.lists(word, max_size=3).map(tuple)),
        "renormalise": draw(st.booleans()),
        "force_end": draw(st.booleans()),
    }
    fields["min_length"] = draw(st.integers(0, fields["max_length"]))
    if draw(st.booleans()):
        fields["sample"] = True
        fields["temperature"] = draw(st.sampled_from([0.3, 1.0, 2.0]))
        fields["top_k"] = draw(st.integers(0, vocabulary + 2))
        fields["top_p"] = draw(st.sampled_from([0.3, 0.9, 1.0]))
        fields["min_p"] = draw(st.sampled_from([0.0, 0.1]))
        fields["seed"] = draw(st.integers(0, 9))
    else:
        fields["beams"] = draw(st.integers(1, 6))
        fields["nbest"] = draw(st.integers(1, fields["beams"]))
        fields["early_stopping"] = draw(st.sampled_from([False, True, "never"]))
    return SearchConfig.model_validate(fields)


@settings(max_examples=400)
@given(st.data())
def test_every_search_is_that_of_pytorch(data: st.DataObject) -> None:
    vocabulary = data.draw(st.sampled_from([4, 9, 40, 1700]), label="vocabulary")
    sentences = data.draw(st.integers(1, 5), label="sentences")
    config = data.draw(configs(vocabulary), label="config")
    longest = config.max_length or 1
    shorter = st.integers(min(longest, max(1, config.min_length)), longest)
    limits = [longest if config.force_end else data.draw(shorter) for _ in range(sentences)]
    said = None
    if data.draw(st.booleans(), label="prompts"):
        width = data.draw(st.integers(1, 4))
        said = np.random.default_rng(width).integers(0, vocabulary, (sentences, width))
    seeds = [(0, number) for number in range(sentences)]
    own: dict[str, Any] = {
        "vocabulary": vocabulary,
        "seed": data.draw(st.integers(0, 1000), label="model"),
        "sharpness": data.draw(st.sampled_from([0.5, 2.0])),
    }
    uniforms = numpy_scores.make_uniforms(seeds, seed=config.seed, limits=limits)
    told: tuple[list[int], list[int]] = ([], [])
    try:
        expected: list[list[Hypothesis]] | None = loop.search(
            OnTorch(Recurrent(sentences, **own)),
            config,
            SPECIAL,
            limits=limits,
            device=torch.device("cpu"),
            prompts=None if said is None else torch.from_numpy(said),
            uniforms=torch.from_numpy(uniforms) if config.sample else None,
            tell=told[0].append,
        )
    except UserError:
        expected = None

    def ours() -> list[list[Hypothesis]]:
        predictor = Recurrent(sentences, **own)
        return search(
            predictor, config, SPECIAL, limits=limits, seeds=seeds, prompts=said, tell=told[1].append
        )

    if expected is None:
        with pytest.raises(UserError, match="relax one"):
            ours()
    else:
        assert_same(ours(), expected)
        assert config.beams > 1 or sentences > 1 or told[0] == told[1]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0.4},
        {"top_k": 7},
        {"top_k": 100},
        {"top_p": 0.05},
        {"top_p": 0.9},
        {"min_p": 0.1},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.8, "min_p": 0.02},
    ],
    ids=str,
)
def test_what_is_drawn_from_is_what_pytorch_draws_from(fields: dict[str, Any], seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.normal(size=(30, 50)).astype(np.float32) * 3
    config = SearchConfig(sample=True, **fields)
    ours, theirs = numpy_scores.truncate(scores, config), sampling.truncate(torch.from_numpy(scores), config)
    np.testing.assert_array_equal(ours, theirs.numpy())
    uniforms = draw.random(30)
    drawn = numpy_scores.draw(ours, uniforms)
    assert drawn.tolist() == sampling.draw(theirs, torch.from_numpy(uniforms)).tolist()


def test_draws_follow_the_probabilities() -> None:
    """Chi-square, 20,000 draws by the rows' own numbers: below its 99.9th percentile for six degrees of freedom."""
    probabilities = np.array([0.3, 0.0, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02])
    count = 20_000
    with np.errstate(divide="ignore"):
        scores = np.log(probabilities).astype(np.float32)
    seeds = [(number, 5, 6) for number in range(count)]
    uniforms = numpy_scores.make_uniforms(seeds, seed=0, limits=[1] * count)[:, 0]
    drawn = Counter(numpy_scores.draw(np.tile(scores, (count, 1)), uniforms).tolist())
    assert drawn[1] == 0
    wanted = {token: share * count for token, share in enumerate(probabilities) if share}
    assert sum((drawn[token] - each) ** 2 / each for token, each in wanted.items()) < 22.46


def test_random_numbers_are_a_row_s_own() -> None:
    two, other = numpy_scores.make_uniforms([(0, 5, 6), (1, 5, 6)], seed=0, limits=[4, 2])
    assert two.tolist() == numpy_scores.make_uniforms([(0, 5, 6)], seed=0, limits=[9])[0, :4].tolist()
    assert other[2:].tolist() == [0, 0]
    assert set(two).isdisjoint(other)
    assert set(two).isdisjoint(numpy_scores.make_uniforms([(0, 5, 6)], seed=1, limits=[4])[0])


def test_samples_are_settled_by_source_seed_and_number(
    translators: dict[str, tuple[Seq2Seq, dict[str, Any]]],
) -> None:
    _, there = translators["plain"]
    line, other = texts(2)

    def sampled(lines: list[list[int]], **fields: Any) -> list[list[tuple[int, ...]]]:
        config = SearchConfig.model_validate({"sample": True, "max_length": 12} | fields)
        found = onnx_predictors.generate(lines, config, **there)
        return [[tuple(each.tokens) for each in hypotheses] for hypotheses in found]

    (one,) = sampled([line], nbest=8)
    assert len(set(one)) > 4
    assert sampled([other, line, line], nbest=8)[1:] == [one, one]
    assert set(sampled([line], nbest=3)[0]) < set(one)
    assert set(sampled([line], nbest=8, seed=1)[0]) != set(one)
    (cold,) = sampled([line], nbest=3, temperature=1e-6)
    greedy = onnx_predictors.generate([line], SearchConfig(max_length=12), **there)
    assert set(cold) == {tuple(greedy[0][0].tokens)}


class Fixed:
    """The same scores whatever is read."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = np.array(scores, np.float32)

    def predict(self, tokens: np.ndarray) -> np.ndarray:
        return np.tile(self.scores, (len(tokens), 1))

    def reorder(self, rows: np.ndarray) -> None:
        pass

    def keep(self, sentences: np.ndarray) -> None:
        pass


def test_of_equal_ones_the_first_is_taken() -> None:
    scores = [-9.0, -9.0, -9.0, 1.0, 2.0, 2.0, 2.0]
    ((found,),) = search(Fixed(scores), SearchConfig(), SPECIAL, limits=[3])
    assert found.tokens == [4, 4, 4]
    (found,) = search(Fixed(scores), SearchConfig(beams=3, nbest=3), SPECIAL, limits=[2])
    assert [each.tokens for each in found] == [[4, 4], [4, 5], [4, 6]]


@settings(max_examples=200)
@given(
    rows=st.integers(1, 4),
    width=st.sampled_from([1, 7, 40, 1599, 1600, 2500]),
    few=st.booleans(),
    data=st.data(),
)
def test_the_highest_are_those_of_a_stable_sort(
    rows: int, width: int, few: bool, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, min(width, 900)))
    draw = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scores = draw.normal(size=(rows, width)).astype(np.float32)
    if few:
        scores = draw.choice(np.array([-math.inf, -2.0, 0.5, 1.0], np.float32), (rows, width))
    found = numpy_scores.highest(scores, count)
    assert found.indices.tolist() == np.argsort(-scores, axis=1, kind="stable")[:, :count].tolist()
    assert found.values.tolist() == (-np.sort(-scores, axis=1))[:, :count].tolist()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beams": 4, "groups": 2, "diversity": 0.5}, "does not know groups, diversity: take"),
        ({"contrast": 0.5}, "does not know contrast"),
        ({"forced": ((5,),)}, "does not know forced"),
        ({"sample": True}, "no seeds"),
        ({"banned": tuple((token,) for token in range(5))}, "at most 3 tokens .* relax one"),
        ({"banned": tuple((token,) for token in range(5)), "beams": 2}, "at most 3 tokens .* relax one"),
    ],
    ids=str,
)
def test_user_mistakes(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        search(Fixed([0.0] * 5), SearchConfig(**fields), SPECIAL, limits=[3])


def test_mistakes_in_what_is_read(
    translators: dict[str, tuple[Seq2Seq, dict[str, Any]]],
    generators: dict[str, tuple[Decoder, dict[str, Any]]],
) -> None:
    there, decoder = translators["plain"][1], generators["rotary"][1]
    with pytest.raises(UserError, match="source 1 has no tokens"):
        onnx_predictors.generate([[END], []], SearchConfig(), **there)
    with pytest.raises(UserError, match="max_length 65 is more than the 64 tokens"):
        onnx_predictors.generate([[END]], SearchConfig(max_length=65), **there)
    with pytest.raises(UserError, match="banned: the model has no token 40"):
        onnx_predictors.generate([[END]], SearchConfig(banned=((40,),)), **there)
    with pytest.raises(UserError, match="prompt 0 has no tokens"):
        onnx_predictors.continue_prompts([[]], SearchConfig(), **decoder)
    with pytest.raises(UserError, match="60 tokens and 5 to write are more than the 64"):
        onnx_predictors.continue_prompts([[5] * 60], SearchConfig(max_length=5), **decoder)
