"""SentencePiece's models of byte pairs (Kudo and Richardson 2018), as older folders of Llama's kin have them."""

from itertools import chain
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

from weft.errors import UserError
from weft.families.huggingface import write_tokenizer_json

__all__ = ["load_sentencepiece", "read_pairs"]

SPACE = "▁"
_PROBES = (
    "a",
    "The old dog sleeps,  and a cat runs.",
    " spaces  before and after ",
    "Ａ ﬁ é e\u0301 Ⅷ",
    "日本語 😀 Ünïcödé",
    "line\n\tline 2019 x=3;",
)


def load_sentencepiece(content: bytes, *, name: str) -> Any:
    """SentencePiece's own processor of a model. Raises UserError where it is damaged, or the library is missing."""
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise UserError(f"{name} needs SentencePiece: pip install sentencepiece") from error
    try:
        model = SentencePieceProcessor()
        model.LoadFromSerializedProto(content)
    except RuntimeError as error:
        raise UserError(f"{name}: damaged, or no SentencePiece model") from error
    return model


def read_pairs(path: Path) -> Tokenizer:
    """A tokenizer.model as a tokenizer of the `tokenizers` library, which reads and writes as SentencePiece itself does.

    A piece was made of any two pieces that it can be cut into, and pieces of a higher score first. Raises UserError for
    models of other kinds, for those that change a text before they cut it, and for pieces that were given, not learned.
    """
    model = load_sentencepiece(path.read_bytes(), name=str(path))
    pieces = [model.id_to_piece(number) for number in range(model.vocab_size())]
    made = [number for number in range(len(pieces)) if _is_made(model, number)]
    scores = [model.get_score(number) for number in made]
    if any(score > 0 or score != round(score) for score in scores):
        raise UserError(f"{path}: a SentencePiece model, but none of byte pairs, which is what decoders have")
    ids = {piece: number for number, piece in enumerate(pieces)}
    own = [number for number, score in zip(made, scores, strict=True) if score == 0][:-1]
    if own:  # the first pair has a score of 0 too, and stands behind them
        raise UserError(
            f"{path}: has pieces of its user's own, {pieces[own[0]]!r} for one, which weft does not follow: "
            f"{write_tokenizer_json(path.parent)}"
        )
    ranked = sorted(zip(scores, made, strict=True), key=lambda each: (-each[0], each[1]))
    merges = list(chain.from_iterable(_halves(pieces[number], ids) for _, number in ranked))
    fallback = any(model.is_byte(number) for number in range(len(pieces)))
    backend = Tokenizer(
        models.BPE(
            vocab=ids, merges=merges, unk_token=pieces[model.unk_id()], fuse_unk=True, byte_fallback=fallback
        )
    )
    begins = model.encode("a", out_type=str)[0].startswith(SPACE)
    steps = [normalizers.Prepend(SPACE)] if begins else []
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            *([decoders.Strip(" ", 1, 0)] if begins else []),
        ]
    )
    control = [
        piece for number, piece in enumerate(pieces) if model.is_control(number) or model.is_unknown(number)
    ]
    backend.add_special_tokens([AddedToken(piece, normalized=False, special=True) for piece in control])
    for text in _PROBES:
        if backend.encode(text).ids != model.encode(text):
            raise UserError(
                f"{path}: changes a text before it cuts it, {text!r} for one, which weft does not follow: "
                f"{write_tokenizer_json(path.parent)}"
            )
    return backend


def _is_made(model: Any, number: int) -> bool:
    """Whether a piece was made of others, or is a character."""
    return not any(
        (model.is_unknown(number), model.is_control(number), model.is_byte(number), model.is_unused(number))
    )


def _halves(piece: str, ids: dict[str, int]) -> list[tuple[str, str]]:
    """The pairs of pieces that it can be made of."""
    cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
    return sorted(
        (pair for pair in cuts if pair[0] in ids and pair[1] in ids),
        key=lambda pair: (ids[pair[0]], ids[pair[1]]),
    )
