"""weft's own defaults, each with its reason, and the presets by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from weft.errors import UserError, suggest
from weft.families import PRESETS as PUBLISHED

__all__ = [
    "EFFICIENCY",
    "FINE_TUNING",
    "PRESETS",
    "Machine",
    "Recipe",
    "default_preset",
    "preset",
    "resize",
    "training_flops",
]

Recipe = Mapping[str, Any]


class Machine(NamedTuple):
    """What a recipe needs to know of the machine: the product of matrices it does, in FLOP/s, in its best precision."""

    flops: float


# Fewer steps to the same quality than the papers' recipes: norms before the branches without parameters, queries and
# keys normalised, rotary positions, squared ReLU (So et al. 2021), branches that start at zero, no biases (the bias of a
# tied output included), and Muon for the matrices. An output layer of its own learns faster at first, and on Multi30k is no
# better after 16 minutes of one core (39.6 BLEU on the test set, tied 40.2); on the demo's six directions it came to 82
# where tied weights came to 91.
_OURS = {
    "norm": "rms",
    "norm_scale": False,
    "norm_place": "before",
    "query_key_norm": True,
    "bias": False,
    "position": "rotary",
    "activation": "relu_squared",
    "scale_embedding": False,
    "tie": "three",
    "zero_output": True,
}


def _ours(width: int, *, heads: int, encoder: int, decoder: int, dropout: float) -> dict[str, Any]:
    """A deep encoder, which reads the source once, over a shallow decoder, which runs for every token it writes."""
    shape = {"width": width, "heads": heads, "feed_forward": 4 * width}
    return {**_OURS, **shape, "encoder_layers": encoder, "decoder_layers": decoder, "dropout": dropout}


# The papers' own training: AdamW and the inverse square root of the step. A rate of √(D · warmup)⁻¹ at its peak, which
# for D = 512 and 4,000 steps is 7e-4 (Vaswani et al. 2017, section 5.3).
_PAPER = {
    "optimizer": "adamw",
    "schedule": "inverse_sqrt",
    "warmup": 4000,
    "learning_rate": 7e-4,
    "batch_tokens": 25_000,
}

# Small models are trained where time is short: many small steps. On Multi30k, for the same time, batches of 1,024 tokens
# came to 34.1 BLEU on the validation set where batches of 2,048 came to 32.2.
_SHORT = {"batch_tokens": 1024, "learning_rate": 4e-3, "warmup": 60}

# For text as regular as the demo's, where nothing is to be memorised: no dropout, whole words as pieces, and steps as many
# and as small as can be. In 200 seconds of one core it came to 91 BLEU there, with 3,000 pieces to 89, with 2,000 to 83;
# of these with batches of 512 to 80, and in an earlier trial with AdamW in place of Muon to 10 where Muon had 67.
_MICRO = {
    "model": _ours(128, heads=2, encoder=2, decoder=2, dropout=0.0),
    "tokenizer": {"size": 4000},
    "train": {"batch_tokens": 768, "learning_rate": 5e-3, "warmup": 40, "smoothing": 0.0},
}

# Reading a text is one pass through few layers, and most of what is learned from little text is words: the layers are
# gated (Shazeer 2020), and two in three see their neighbourhood alone (Warner et al. 2024, section 2.1.1).
_OUR_ENCODER = {
    **_OURS,
    "architecture": "encoder",
    "activation": "gelu",
    "gated": True,
    "window": 65,
    "max_length": 512,
    "tie": "two",
    "output_bias": True,
}


def _our_encoder(width: int, *, heads: int, layers: int, dropout: float) -> dict[str, Any]:
    """A gated layer has three matrices, which are as narrow as makes them as large as two."""
    shape = {"width": width, "heads": heads, "feed_forward": 8 * width // 3 // 32 * 32}
    return {**_OUR_ENCODER, **shape, "encoder_layers": layers, "dropout": dropout}


# A language model is all decoder: deeper and narrower than a translator's, its output apart from its input, since a
# small vocabulary costs nothing. Vectors of n-grams cost next to nothing either, and say at once what layers take long to
# learn: after 600,000 of Tiny Shakespeare's characters the loss was 1.59 where without it was 1.84.
_OUR_DECODER = {**_OURS, "architecture": "decoder", "max_length": 1024, "tie": "none"}


def _our_decoder(width: int, *, heads: int, layers: int, dropout: float, ngrams: float) -> dict[str, Any]:
    shape = {"width": width, "heads": heads, "feed_forward": 4 * width, "decoder_layers": layers}
    return {**_OUR_DECODER, **shape, "dropout": dropout, "ngrams": {"dropout": ngrams}}


# Transformer-XL has positions of its own, and no norms of queries and keys: they would take its two biases with them.
_OUR_RECURRENT = {
    **{name: value for name, value in _OURS.items() if name != "query_key_norm"},
    "architecture": "transformer-xl",
    "position": "none",
    "tie": "none",
}


def _our_recurrent(
    width: int, *, heads: int, layers: int, dropout: float, ngrams: float, memory: int, pointer: int
) -> dict[str, Any]:
    shape = {"width": width, "heads": heads, "feed_forward": 4 * width, "decoder_layers": layers}
    known = {"recurrence": {"memory": memory, "pointer": pointer}, "ngrams": {"dropout": ngrams}}
    return {**_OUR_RECURRENT, **shape, **known, "dropout": dropout}


# What a model that has read much is taught on little: small steps, the smaller the deeper, and none too many.
FINE_TUNING: Recipe = {
    "optimizer": "adamw",
    "learning_rate": 3e-4,
    "layer_decay": 0.9,
    "warmup": 50,
    "decay": 0.95,
    "batch_tokens": 1024,
    "smoothing": 0.0,
    "weight_decay": 0.01,
    "average": 0.0,
    "epochs": 4,
}

_WRITE = {"batch_tokens": 2048, "learning_rate": 4e-3, "warmup": 30, "smoothing": 0.0}

_READ = {"batch_tokens": 1024, "learning_rate": 3e-3, "warmup": 50, "smoothing": 0.0}

# Devlin et al. 2019, appendix A.2; Liu et al. 2019, table 9.
_BERT = {
    **_PAPER,
    "schedule": "linear",
    "decay": 0.99,
    "warmup": 10_000,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "batch_tokens": 131_072,
    "smoothing": 0.0,
}

# Brown et al. 2020, table 2.1 and appendix B: what GPT-2's own paper does not say.
_GPT = {
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 700,
    "weight_decay": 0.1,
    "batch_tokens": 524_288,
    "smoothing": 0.0,
}
_GPT_RATES = {"gpt2": 6e-4, "gpt2-medium": 3e-4, "gpt2-large": 2.5e-4, "gpt2-xl": 2e-4}

# What a task wants otherwise of a model of weft's own that begins from nothing. To classify, whole words: those that are
# rare are one and the same token, which is a lesson, too. On TREC's questions a model came to 82 on held-out ones with
# byte-level pieces, and to 86 with words and a third of the rate. To summarize, long texts, several to a step, from which
# a pointer copies rare words: on DialogSum, five minutes of one core came to 28.3 ROUGE-1 with it, to 21.0 without.
_FOR_TASK: Mapping[str, Recipe] = MappingProxyType(
    {
        "classify": {"tokenizer": {"kind": "words"}, "train": {"learning_rate": 1e-3}},
        "summarize": {
            "data": {"max_tokens": 1024},
            "model": {"pointer": True},
            "train": {"batch_tokens": 4096},
        },
    }
)

PRESETS: Mapping[str, Mapping[str, Recipe]] = MappingProxyType(
    {
        "seq2seq": {
            "micro": _MICRO,
            "tiny": {"model": _ours(128, heads=2, encoder=4, decoder=2, dropout=0.1), "train": _SHORT},
            "small": {"model": _ours(192, heads=3, encoder=4, decoder=2, dropout=0.1), "train": _SHORT},
            "medium": {"model": _ours(256, heads=4, encoder=5, decoder=3, dropout=0.2)},
            "large": {
                "model": _ours(512, heads=8, encoder=6, decoder=3, dropout=0.1),
                "train": {"batch_tokens": 16_384},
            },
            "vaswani-base": {"model": dict(PUBLISHED["vaswani-base"].fields), "train": _PAPER},
            "vaswani-big": {
                "model": dict(PUBLISHED["vaswani-big"].fields),
                "train": _PAPER | {"learning_rate": 5e-4},
            },
        },
        "encoder": {
            "tiny": {"model": _our_encoder(128, heads=2, layers=2, dropout=0.3), "train": _READ},
            "small": {"model": _our_encoder(192, heads=3, layers=4, dropout=0.2), "train": _READ},
            "medium": {"model": _our_encoder(256, heads=4, layers=6, dropout=0.1), "train": _READ},
            "large": {
                "model": _our_encoder(512, heads=8, layers=10, dropout=0.1),
                "train": {"batch_tokens": 16_384},
            },
            **{
                name: {"model": dict(published.fields), "train": _BERT}
                for name, published in PUBLISHED.items()
                if published.fields.get("architecture") == "encoder"
            },
        },
        "decoder": {
            "micro": {
                "model": _our_decoder(128, heads=2, layers=1, dropout=0.0, ngrams=0.0),
                "train": {**_WRITE, "batch_tokens": 1024, "warmup": 20},
            },
            "tiny": {
                "model": _our_decoder(128, heads=2, layers=3, dropout=0.0, ngrams=0.0),
                "train": {**_WRITE, "batch_tokens": 1024},
            },
            "small": {
                "model": _our_decoder(256, heads=4, layers=4, dropout=0.2, ngrams=0.6),
                "train": _WRITE,
            },
            "medium": {
                "model": _our_decoder(384, heads=6, layers=6, dropout=0.2, ngrams=0.5),
                "train": _WRITE,
            },
            "large": {
                "model": _our_decoder(768, heads=12, layers=12, dropout=0.1, ngrams=0.5),
                "train": {"batch_tokens": 32_768, "smoothing": 0.0},
            },
            "recurrent-tiny": {
                "model": _our_recurrent(
                    128, heads=2, layers=3, dropout=0.0, ngrams=0.0, memory=128, pointer=0
                ),
                "train": _WRITE,
                "language": {"length": 128},
            },
            "recurrent-small": {
                "model": _our_recurrent(
                    256, heads=4, layers=4, dropout=0.1, ngrams=0.5, memory=256, pointer=1024
                ),
                "train": _WRITE,
                "language": {"length": 128},
            },
            "recurrent-medium": {
                "model": _our_recurrent(
                    384, heads=6, layers=6, dropout=0.2, ngrams=0.5, memory=256, pointer=1024
                ),
                "train": _WRITE,
                "language": {"length": 128},
            },
            **{
                name: {
                    "model": dict(PUBLISHED[name].fields),
                    "train": {**_PAPER, "schedule": "cosine", "learning_rate": 2.5e-4, "smoothing": 0.0},
                    "language": {"length": 150},
                }
                for name in ("transformer-xl-base", "transformer-xl-large")
            },
            **{
                name: {"model": dict(PUBLISHED[name].fields), "train": {**_GPT, "learning_rate": rate}}
                for name, rate in _GPT_RATES.items()
            },
        },
    }
)

# Passes over the training text, below which a smaller model is better off; with n-grams, a language model learns from few.
_PASSES = {"seq2seq": 6.0, "encoder": 6.0, "decoder": 1.0}
EFFICIENCY = 0.4  # of the machine's products that a whole training step keeps up
# From the smallest up. A run of minutes takes the largest that sees the data often enough to learn it; one without a
# limit, the largest that the data can fill.
_TOKENS_FOR = {
    "seq2seq": {"tiny": 0, "small": 100_000, "medium": 600_000, "large": 20_000_000},
    "encoder": {"tiny": 0, "small": 1_000_000, "medium": 5_000_000, "large": 50_000_000},
    "decoder": {"micro": 0, "tiny": 0, "small": 300_000, "medium": 5_000_000, "large": 100_000_000},
}


def preset(name: str, *, architecture: str, task: str = "") -> Recipe:
    """A preset by its name, as a task wants it; a UserError names those there are."""
    known = PRESETS[architecture]
    if name not in known:
        raise UserError(f'no preset "{name}"{suggest(name, known)} (there are: {", ".join(known)})')
    recipe, wanted = known[name], _FOR_TASK.get(task, {}) if name in _TOKENS_FOR[architecture] else {}
    return {table: {**recipe.get(table, {}), **wanted.get(table, {})} for table in {**recipe, **wanted}}


def resize(model: Recipe, wanted: Recipe) -> dict[str, Any]:
    """A recipe's model with its heads and feed-forward layer grown with the width that is wanted, where nobody says else.

    >>> resize({"width": 128, "heads": 2, "feed_forward": 512}, {"width": 384})
    {'width': 384, 'heads': 6, 'feed_forward': 1536}
    """
    width, ours = wanted.get("width"), dict(model)
    if not isinstance(width, int) or width <= 0:
        return ours
    heads = max(1, width * ours["heads"] // ours["width"])
    heads = next(count for count in range(heads, 0, -1) if width % count == 0)
    return {
        **ours,
        "width": width,
        "heads": heads,
        "feed_forward": width * ours["feed_forward"] // ours["width"],
    }


def default_preset(
    architecture: str,
    *,
    source_tokens: int,
    target_tokens: int,
    vocabulary: int,
    minutes: float | None,
    machine: Machine,
) -> str:
    """The preset for a data set of this size and the time there is.

    >>> machine = Machine(flops=1e11)
    >>> def choose(minutes):
    ...     return default_preset(
    ...         "seq2seq",
    ...         source_tokens=10**6,
    ...         target_tokens=10**6,
    ...         vocabulary=8000,
    ...         minutes=minutes,
    ...         machine=machine,
    ...     )
    >>> choose(5), choose(90), choose(None)
    ('tiny', 'small', 'medium')
    """
    wanted = _TOKENS_FOR[architecture]
    fitting = [name for name, least in wanted.items() if source_tokens + target_tokens >= least]
    if minutes is None:
        return fitting[-1]

    def passes(name: str) -> float:
        """How often a model of this shape sees the data in the time there is."""
        model = PRESETS[architecture][name]["model"]
        once = training_flops(model, vocabulary=vocabulary, source=source_tokens, target=target_tokens)
        return minutes * 60 * machine.flops * EFFICIENCY / once

    affordable = [name for name in fitting if passes(name) >= _PASSES[architecture]]
    return affordable[-1] if affordable else fitting[0]


def training_flops(model: Recipe, *, vocabulary: int, source: float, target: float) -> float:
    """The FLOP of learning from so many tokens, forwards and back: six for each weight that a token meets.

    The vocabulary's weights are met by target tokens alone.
    """
    square = model["width"] ** 2
    inner = model["width"] * model["feed_forward"] * (3 if model.get("gated") else 2)
    crossed = 4 * square if model.get("encoder_layers") else 0
    encoder = model.get("encoder_layers", 0) * (4 * square + inner)
    decoder = model.get("decoder_layers", 0) * (4 * square + crossed + inner) + vocabulary * model["width"]
    flops: float = 6 * (encoder * source + decoder * target)
    return flops
