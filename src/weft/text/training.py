"""Training a tokenizer on the text that a model will be trained on."""

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, get_args

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

from weft.errors import UserError, suggest
from weft.text.tokenizer import SPECIAL_TOKENS, Tokenizer

__all__ = ["Kind", "fitted_size", "train_tokenizer"]

Kind = Literal["bpe", "unigram", "wordpiece", "words", "characters"]

_WORDS = r" ?\p{L}[\p{L}\p{M}'’]*| ?\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What byte-level BPE may join: a word with the space before it, one digit, a run of signs, a run of spaces.

After Radford et al. 2019, but digits stand alone, and an apostrophe inside a word belongs to it in every
language; as `<` never joins a letter, no text can spell a special token.
"""

_UNIGRAM_WORDS = r"▁?[^▁\p{N}<]+|▁?[\p{N}<]|▁"
"""The same for Unigram, whose trainer knows only pieces which it saw in two different words.

Signs therefore stay with their words: "dog." and "dog," are what proposes "dog".
"""

_MOST = 2**31 - 1

_ALL_BYTES_FROM = 2048
"""From this size on byte-level BPE holds all 256 bytes and can spell everything; below it they would take
an eighth of the ids and more, so it holds those which occur."""


def train_tokenizer(
    texts: Iterable[str],
    *,
    kind: Kind = "bpe",
    size: int | None = None,
    special: Sequence[str] = (),
    exact: bool = False,
) -> Tokenizer:
    """A tokenizer trained on `texts`, with `size` ids at most, or as many as fit the text.

    `special` are further special tokens, like `<2de>`, which take the first ids after weft's own. All texts
    are held in memory; the same texts give the same tokenizer. Without a size `fitted_size` decides; "words"
    then keeps each word that occurs twice, and "characters" each character.

    - bpe: byte-level byte pair encoding (Sennrich et al. 2016, Radford et al. 2019); gives the text back
      but for Unicode NFC and white space around it, or `exact`ly as it was
    - unigram: the unigram language model (Kudo 2018); the same, where it saw all the characters
    - wordpiece: BERT's (Devlin et al. 2019), cased; white space between words is not kept
    - words: what white space separates
    - characters: each by itself, line ends too

    Raises UserError where there is no text, or where `size` is none or cannot even hold the characters.
    """
    if kind not in get_args(Kind):
        raise UserError(
            f'there is no kind of tokenizer "{kind}"{suggest(kind, get_args(Kind))}: {get_args(Kind)}'
        )
    if size is not None and not 0 < size <= _MOST:
        raise UserError(
            f"a tokenizer cannot have {size} ids: give a size from 1 to {_MOST:,}, or none for as many as suit the text"
        )
    for token in special:
        if not re.fullmatch(r"<[^<>\s]+>", token) or token in SPECIAL_TOKENS:
            raise UserError(f'"{token}" cannot be a special token: it has to look like <name>, and be new')
    corpus = list(texts)
    if not any(text.strip() for text in corpus):
        raise UserError("there is no text to train a tokenizer on")
    train = partial(_train_bpe, exact=True) if exact and kind == "bpe" else _TRAIN[kind]
    backend = train(corpus, size, [*SPECIAL_TOKENS, *special])
    backend.add_special_tokens([*SPECIAL_TOKENS, *special])
    if size is not None and backend.get_vocab_size() > size:
        raise UserError(
            f"a {kind} tokenizer of {size} ids cannot spell this text: its characters and the special tokens "
            f"alone need {backend.get_vocab_size()}, so allow at least as many"
        )
    return Tokenizer(backend)


def fitted_size(texts: Iterable[str]) -> int:
    """How many pieces a text can teach: twice the square root of its characters, from 320 to 32,000.

    New words come about as the square root of the length of a text (Heaps' law), so that each piece is seen
    often enough whatever the size of the text. 58,000 captions in two languages get some 4,000 pieces, a
    thousand sentences 512.
    """
    characters = sum(map(len, texts))
    return min(max(64 * math.ceil(2 * math.sqrt(characters) / 64), 320), 32_000)


def _train_bpe(
    texts: list[str], size: int | None, special: list[str], *, exact: bool = False
) -> tokenizers.Tokenizer:
    size = size or fitted_size(texts)
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))  # noqa: S106
    if not exact:  # the space in front makes the first word the same piece as elsewhere in a sentence
        backend.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Strip(), normalizers.Prepend(" ")]
        )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    strip = [] if exact else [decoders.Strip(" ", 1, 0)]
    backend.decoder = decoders.Sequence([decoders.ByteLevel(), *strip])
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if size >= _ALL_BYTES_FROM else [],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return backend


def _train_unigram(texts: list[str], size: int | None, special: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Strip(), normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_UNIGRAM_WORDS), "isolated")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=size or fitted_size(texts),
        special_tokens=special,
        unk_token="<unk>",  # noqa: S106
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    pieces = json.loads(backend.to_str())["model"]["vocab"][len(special) :]
    vocabulary = [*((token, 0.0) for token in special), *_in_order(pieces)]
    backend.model = models.Unigram(vocabulary, unk_id=special.index("<unk>"), byte_fallback=False)
    return backend


def _in_order(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """The same pieces with the same scores in every run; the trainer sums and appends in random order."""
    longer = [score for piece, score in pieces if len(piece) > 1]
    lowest = round(min(longer, default=-10.0), 6)
    # Characters that longer pieces made needless are appended 1e-4 apart: they share the lowest score.
    tail = lowest + 1e-4 * (len(pieces) - len(longer) + 1)
    scored = [
        (piece, lowest if len(piece) == 1 and score < tail else round(score, 6)) for piece, score in pieces
    ]
    return sorted(scored, key=lambda pair: (-pair[1], pair[0]))


def _train_wordpiece(texts: list[str], size: int | None, special: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="<unk>"))  # noqa: S106
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    characters = sorted(set().union(*map(backend.normalizer.normalize_str, texts)))
    inside = [f"##{character}" for character in characters if not character.isspace()]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size or fitted_size(texts),
        min_frequency=2,
        # The trainer would number these in random order, and break ties by the numbers.
        special_tokens=[*special, *inside],
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    untrained = tokenizers.Tokenizer(models.WordPiece(backend.get_vocab(), unk_token="<unk>"))  # noqa: S106
    untrained.normalizer, untrained.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    untrained.decoder = backend.decoder
    return untrained


def _train_words(texts: list[str], size: int | None, special: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))  # noqa: S106
    # A word that looks like a special token is unknown; data sets write `<unk>` for what they left out.
    taken = "|".join(re.escape(token) for token in special)
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(rf"(?<!\S)(?:{taken})(?!\S)"), "<unk>")]
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size or _MOST,
        min_frequency=2 if size is None else 1,
        special_tokens=special,
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    # A text's own <unk> has by now taken the place of the special one, whose id would be nobody's.
    vocabulary = backend.get_vocab()
    words = [word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word not in special]
    ids = {token: number for number, token in enumerate([*special, *words])}
    untrained = tokenizers.Tokenizer(models.WordLevel(ids, unk_token="<unk>"))  # noqa: S106
    untrained.normalizer, untrained.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    return untrained


def _train_characters(texts: list[str], size: int | None, special: list[str]) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.WordLevel(unk_token="<unk>"))  # noqa: S106
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    backend.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(
        vocab_size=size or _MOST, min_frequency=1, special_tokens=special, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return backend


_TRAIN: dict[Kind, Callable[[list[str], int | None, list[str]], tokenizers.Tokenizer]] = {
    "bpe": _train_bpe,
    "unigram": _train_unigram,
    "wordpiece": _train_wordpiece,
    "words": _train_words,
    "characters": _train_characters,
}
