import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, processors

from weft.errors import UserError
from weft.text.tokenizer import Tokenizer
from weft.text.training import Kind, fitted_size, train_tokenizer

KINDS: tuple[Kind, ...] = ("bpe", "unigram", "wordpiece", "words", "characters")
SUBJECTS = ("A dog", "The old man", "Der Hund", "Die Frau", "L'enfant", "Un homme d'été", "Nobody's cat")
VERBS = ("runs", "sees", "läuft", "schläft", "court", "n'aime pas", "didn't know")
PLACES = (
    "in the snow.",
    "im Schnee!",
    "dans la neige ?",
    "on 12 March 2019, at 5.30 pm",
    "“zu Hause” – allein",
)
CORPUS = [f"{subject} {verb} {place}" for subject in SUBJECTS for verb in VERBS for place in PLACES]
TOKENIZERS = {kind: train_tokenizer(CORPUS, kind=kind, special=["<2de>"]) for kind in KINDS}
CHARACTERS = train_tokenizer([*CORPUS, "\n"], kind="characters")
ALPHABET = sorted(set("".join(CORPUS)))


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return train_tokenizer(CORPUS, kind=request.param, special=["<2de>", "<2en>"])


@pytest.fixture(scope="module")
def everything() -> Tokenizer:
    """Byte-level BPE that is large enough to hold all bytes."""
    return train_tokenizer(CORPUS, kind="bpe", size=2048)


def normal(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def test_special_ids(tokenizer: Tokenizer) -> None:
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id) == (0, 1, 2, 3)
    assert (tokenizer.token_id("<2de>"), tokenizer.token_id("<2en>")) == (4, 5)
    assert tokenizer.token_id("<2fr>") is None
    assert len(set(tokenizer.tokens(range(tokenizer.vocab_size)))) > 0.9 * tokenizer.vocab_size


def test_text_of_the_corpus_comes_back(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(CORPUS)
    assert [tokenizer.unk_id in row for row in ids] == [False] * len(ids)
    if "##" in "".join(
        tokenizer.tokens(range(tokenizer.vocab_size))
    ):  # WordPiece forgets spaces around signs
        texts = [text for text in CORPUS if text.endswith("snow.") and "'" not in text]
        assert tokenizer.decode(tokenizer.encode(texts)) == texts
    else:
        assert tokenizer.decode(ids) == CORPUS


@given(st.text(st.characters(max_codepoint=0x33FF, exclude_categories=["Cs", "Cn"])))
def test_byte_level_bpe_gives_any_text_back(everything: Tokenizer, text: str) -> None:
    assert tokenizer_round_trip(everything, text) == normal(text)


@given(st.text(st.sampled_from(ALPHABET)))
@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_known_characters_come_back(kind: Kind, text: str) -> None:
    known = TOKENIZERS[kind]
    assert tokenizer_round_trip(known, text) == normal(text)
    assert known.unk_id not in known.encode([text])[0]


@given(st.text(st.sampled_from([*ALPHABET, "\n"])))
def test_characters_keep_everything(text: str) -> None:
    known = CHARACTERS
    ids = known.encode([text])[0]
    assert len(ids) == len(unicodedata.normalize("NFC", text))
    assert known.decode([ids]) == [unicodedata.normalize("NFC", text)]


def tokenizer_round_trip(tokenizer: Tokenizer, text: str) -> str:
    (decoded,) = tokenizer.decode(tokenizer.encode([text]))
    return decoded.strip()


@given(
    st.sampled_from(KINDS),
    st.lists(st.sampled_from(["<s>", "</s>", "<pad>", "<2de>", "▁<s>", " ", "a", "dog", "<", ">"])).map(
        "".join
    ),
)
def test_text_never_spells_a_special_token(kind: Kind, text: str) -> None:
    specials = {0, 1, 2, 4}
    assert not specials & set(TOKENIZERS[kind].encode([text])[0])


def test_spaces_join_the_word_after_them_and_digits_stand_alone() -> None:
    tokenizer = train_tokenizer(CORPUS * 3, kind="bpe", size=2048)
    (ids,) = tokenizer.encode(["The old man sees 2019"])
    assert tokenizer.tokens(ids) == ["▁The", "▁old", "▁man", "▁sees", "▁2", "0", "1", "9"]


def test_pieces_that_are_no_character_are_shown_as_bytes(everything: Tokenizer) -> None:
    (ids,) = everything.encode(["dog日"])
    assert everything.tokens(ids)[-3:] == ["<0xE6>", "<0x97>", "<0xA5>"]
    with pytest.raises(ValueError, match="outside of the vocabulary"):
        everything.tokens([everything.vocab_size])


def test_the_same_text_gives_the_same_tokenizer_in_any_process() -> None:
    program = (
        "import runpy, sys; tests = runpy.run_path(sys.argv[1])\n"
        "for kind in tests['KINDS']:\n"
        "    print(tests['train_tokenizer'](tests['CORPUS'], kind=kind, size=400).fingerprint)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program, __file__],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(set(outputs.pop().split())) == len(KINDS)


def test_save_and_load(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.encode(["Der Hund </s> läuft"]) == tokenizer.encode(["Der Hund </s> läuft"])
    assert len(json.loads((tmp_path / "tokenizer_vectors.json").read_bytes())) == 12


def test_load_notices_another_vocabulary(tmp_path: Path) -> None:
    train_tokenizer(CORPUS, size=400).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    contents = json.loads(path.read_bytes())
    vocabulary = contents["model"]["vocab"]
    vocabulary["ĠHund"], vocabulary["Ġdog"] = vocabulary["Ġdog"], vocabulary["ĠHund"]
    path.write_text(json.dumps(contents))
    with pytest.raises(UserError, match="the tokenizer and its vectors disagree"):
        Tokenizer.load(tmp_path)


def test_a_tokenizer_of_ones_own_gets_the_tags_that_it_lacks(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(CORPUS, special=["<2de>"])
    tokenizer.save(tmp_path)
    adopted = Tokenizer.adopt(tmp_path / "tokenizer.json", special=["<2de>", "<2en>"])
    assert adopted.encode(CORPUS) == tokenizer.encode(CORPUS)
    assert adopted.token_id("<2de>") == tokenizer.token_id("<2de>")
    assert adopted.token_id("<2en>") == tokenizer.vocab_size == adopted.vocab_size - 1
    assert adopted.decode([[tokenizer.vocab_size]]) == [""]
    assert adopted.token_id("<2en>") not in adopted.encode(["<2en>"])[0]


def test_a_tokenizer_from_elsewhere_adds_nothing_by_itself(tmp_path: Path) -> None:
    train_tokenizer(CORPUS).save(tmp_path)
    file = tmp_path / "other.json"
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    backend.save(str(file))
    assert Tokenizer.adopt(file).encode(["Der Hund"]) == Tokenizer.load(tmp_path).encode(["Der Hund"])


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ({"<unk>": 0}, "words.json: the tokenizer lacks the special tokens <pad>, <s>, </s>: make one with"),
        (
            {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3},
            "its first tokens are <s>, <pad>, </s>, where weft needs <pad>",
        ),
        ({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 9}, "its ids have gaps"),
    ],
)
def test_a_tokenizer_that_no_model_can_be_trained_on(
    vocabulary: dict[str, int], message: str, tmp_path: Path
) -> None:
    tokenizers.Tokenizer(models.WordLevel(vocabulary, "<unk>")).save(str(tmp_path / "words.json"))
    with pytest.raises(UserError, match=message):
        Tokenizer.adopt(tmp_path / "words.json")


def test_a_tokenizer_of_ones_own_is_held_to_its_vectors(tmp_path: Path) -> None:
    train_tokenizer(CORPUS, size=400).save(tmp_path)
    train_tokenizer(CORPUS, kind="characters")._backend.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match="the tokenizer and its vectors disagree"):
        Tokenizer.adopt(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("size", [-4, 0, 10**30])
def test_a_size_that_is_none(size: int) -> None:
    with pytest.raises(UserError, match=f"a tokenizer cannot have {size} ids: give a size from 1"):
        train_tokenizer(CORPUS, size=size)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_vectors.json"])
@pytest.mark.parametrize("damage", ["{", "[1]", '{"a": 1}', "\udcff", None])
def test_load_names_a_damaged_file(name: str, damage: str | None, tmp_path: Path) -> None:
    train_tokenizer(CORPUS, size=400).save(tmp_path)
    if damage is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(damage.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=name):
        Tokenizer.load(tmp_path)


def test_truncation_and_padding_asked_for_by_a_file_are_off(tmp_path: Path) -> None:
    train_tokenizer(CORPUS).save(tmp_path)
    backend = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    backend.enable_truncation(2)
    backend.enable_padding(length=9)
    assert len(Tokenizer(backend).encode(["Der Hund läuft im Schnee!"])[0]) == 6


def test_a_tokenizer_without_special_tokens_is_refused() -> None:
    with pytest.raises(UserError, match="lacks the special tokens <pad>, <s>, </s>"):
        Tokenizer(tokenizers.Tokenizer(models.WordLevel({"<unk>": 0})))


def test_half_of_a_surrogate_pair() -> None:
    with pytest.raises(UserError, match="not valid Unicode at character 3"):
        TOKENIZERS["bpe"].encode(["fine", "abc\udcff"])


def test_sizes() -> None:
    assert fitted_size(["x" * 65] * 58_000) == 3904
    assert fitted_size(["x" * 65] * 1000) == 512
    assert fitted_size(["x"]) == 320
    assert fitted_size(["x" * 10**6] * 300) == 32_000
    assert train_tokenizer(CORPUS, kind="bpe", size=100).vocab_size == 100
    assert train_tokenizer(CORPUS, kind="unigram", size=100).vocab_size <= 100
    assert train_tokenizer(CORPUS, kind="words", size=20).vocab_size == 20
    assert train_tokenizer(CORPUS, kind="bpe", size=2047).vocab_size < 2047  # there is no more to learn


def test_small_vocabularies_hold_no_bytes_that_do_not_occur() -> None:
    assert train_tokenizer(["aaab ab ab"]).vocab_size < 20
    assert train_tokenizer(["aaab ab ab"], size=2048).vocab_size > 256


@pytest.mark.parametrize("kind", KINDS)
def test_one_letter_is_a_corpus(kind: Kind) -> None:
    tokenizer = train_tokenizer(["a", "a a"], kind=kind)
    assert tokenizer.decode(tokenizer.encode(["a a", ""])) == ["a a", ""]


def test_wrong_input() -> None:
    with pytest.raises(UserError, match="no text to train"):
        train_tokenizer(["", " "])
    with pytest.raises(UserError, match=r"cannot spell this text.* need \d\d, so allow"):
        train_tokenizer(CORPUS, size=20)
    with pytest.raises(UserError, match='did you mean "unigram"'):
        train_tokenizer(CORPUS, kind="unigramm")  # type: ignore[arg-type]
    for token in ("2de", "<s>", "<2 de>", "<>"):
        with pytest.raises(UserError, match="cannot be a special token"):
            train_tokenizer(CORPUS, special=[token])


MASKED = [
    "The capital of France is Paris.",
    "A dog runs, and a cat sleeps (well).",
    "Walking dogs walk?",
    "Quick, quick!",
] * 20


@pytest.mark.parametrize(
    ("kind", "text", "tokens"),
    [
        ("bpe", "The capital of France is [MASK].", "▁The ▁capital ▁of ▁France ▁is <mask> ."),
        ("bpe", "A <mask>, and [MASK] (<mask>)", "▁A <mask> , ▁and <mask> ▁( <mask> )"),
        ("bpe", "dogs[MASK]", "▁dogs <mask>"),
        ("bpe", "A [MASK]uick dog", "▁A <mask> uick ▁dog"),  # though "▁Quick" is a piece
        ("bpe", "Walking dogs", "▁Walking ▁dogs"),
        ("unigram", "[MASK], runs", "<mask> , ▁ r u n s"),
        ("unigram", "A [MASK], runs", "▁ A <mask> , ▁ r u n s"),
        ("wordpiece", "A [MASK], runs?", "A <mask> , runs ?"),
        ("characters", "a [MASK]?", "a ▁ <mask> ?"),
        ("words", "A [MASK]. Walking", "A <mask> <unk> Walking"),
    ],
)
def test_around_a_mask_there_is_what_is_around_a_word(kind: Kind, text: str, tokens: str) -> None:
    tokenizer = train_tokenizer(MASKED, kind=kind, special=["<mask>"])
    assert tokenizer.tokens(tokenizer.masked(text)) == tokens.split()


def test_a_mask_needs_one_in_the_vocabulary() -> None:
    with pytest.raises(UserError, match="no mask: it was not trained to fill in words"):
        train_tokenizer(MASKED).masked("A [MASK]")
