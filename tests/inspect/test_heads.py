"""The words for what a head does, on heads made to do it."""

import numpy as np
import pytest

from weft.inspect.heads import Group, describe, readable, translation_groups
from weft.inspect.maps import AttentionMaps

WORDS = ["▁The", "▁old", "▁dog", "▁barks", "▁at", "▁snow", "men", "</s>"]
SIZE = len(WORDS)


def make_group(weights: np.ndarray, **fields: object) -> Group:
    shown = {"name": "self", "title": "Self", "about": "", "row_title": "token", "column_title": "looks at"}
    tokens = {"rows": WORDS[: weights.shape[0]], "columns": WORDS[: weights.shape[1]]}
    return Group(**{**shown, **tokens, "weights": weights[None, None], "offset": 0, **fields})  # type: ignore[arg-type]


def habits_of(weights: np.ndarray, **fields: object) -> dict[str, float]:
    return dict(describe(weights, group=make_group(weights, **fields)).habits)


def shifted(ahead: int, *, sharpness: float = 1.0) -> np.ndarray:
    """All weight, or a part, at a fixed distance, round the ends; the rest spread evenly."""
    target = (np.arange(SIZE) + ahead) % SIZE
    return sharpness * np.eye(SIZE)[target] + (1 - sharpness) / SIZE


@pytest.mark.parametrize(
    ("ahead", "name"),
    [(-2, "two back"), (-1, "previous token"), (0, "itself"), (1, "next token"), (2, "two ahead")],
)
def test_places_are_named(ahead: int, name: str) -> None:
    found = describe(shifted(ahead), group=make_group(shifted(ahead)))
    assert found.habits == [(name, 1.0)]
    assert found.words == f"{name} 100%"
    assert found.entropy == 0
    assert found.tokens == 1
    far = abs(ahead)  # as many rows look round the end
    assert found.distance == pytest.approx(((SIZE - far) * far + far * (SIZE - far)) / SIZE)


def test_the_share_is_the_mean_weight_and_weak_habits_have_no_name() -> None:
    assert habits_of(shifted(-1, sharpness=0.6)) == {"previous token": pytest.approx(0.6 + 0.4 / SIZE)}
    assert habits_of(shifted(-1, sharpness=0.15)) == {}


def test_an_even_head() -> None:
    even = np.full((SIZE, SIZE), 1 / SIZE)
    found = describe(even, group=make_group(even))
    assert (found.words, found.entropy, found.tokens) == ("spread evenly", 3.0, 8.0)


def test_a_head_that_rests_on_one_token() -> None:
    weights = np.full((SIZE, SIZE), 0.2 / (SIZE - 1))
    weights[:, 6] = 0.8
    assert habits_of(weights) == {"“·men”": pytest.approx(0.8)}


def test_a_head_with_two_habits_names_the_stronger_first() -> None:
    weights = 0.45 * shifted(-1)
    weights[:, SIZE - 1] += 0.55  # and row 0 looks round the end
    assert describe(weights, group=make_group(weights)).words == "“</s>” 61%, previous token 45%"


def test_a_head_that_follows_the_text_has_no_habit() -> None:
    weights = np.eye(SIZE)[[3, 7, 1, 6, 0, 2, 5, 4]]
    assert describe(weights, group=make_group(weights)).words == "depends on the text"


def test_between_two_texts_the_same_place_is_near_the_diagonal() -> None:
    weights = np.eye(SIZE)[[1, 3, 5, 7]]
    found = describe(weights, group=make_group(weights, offset=None))
    assert (found.words, found.distance) == ("same place 100%", None)
    weights = weights[::-1]
    assert describe(weights, group=make_group(weights, offset=None)).words == "depends on the text"


def test_in_a_causal_group_only_rows_with_a_choice_count() -> None:
    """The first row can look at nothing but the first token, which is no habit."""
    weights = np.zeros((4, 4))
    weights[0, 0] = 1
    weights[1:, 0] = [0.5, 0.1, 0.1]
    weights[[1, 2, 3], [1, 2, 3]] = [0.5, 0.9, 0.9]
    group = make_group(weights, causal=True, offset=1)
    assert group.visible().tolist() == [1, 2, 3, 4]
    found = describe(weights, group=group)
    # Row t's own token stands one further right, unseen: the newest token it sees is the one before.
    assert found.habits == [("previous token", pytest.approx(2.3 / 3))]
    two_way = -0.1 * np.log2(0.1) - 0.9 * np.log2(0.9)
    assert found.entropy == pytest.approx((1 + 2 * two_way) / 3)


def test_a_single_token_has_nothing_to_choose_from() -> None:
    one = np.ones((1, 1))
    assert describe(one, group=make_group(one)).words == "nothing to choose from"


@pytest.mark.parametrize(
    ("tokens", "shown"),
    [
        (["▁Ein", "▁Schnee", "mann", ".", "</s>"], ["Ein", "Schnee", "·mann", ".", "</s>"]),
        (
            ["▁„", "Don", "'", "t", "▁sk", "i", "-", "Lift", "“"],
            ["„", "Don", "'", "·t", "sk", "·i", "-", "Lift", "“"],
        ),
        (["▁कि", "ताब", ""], ["कि", "·ताब", ""]),  # a vowel sign is within a word
        (
            ["<2de>", "Ein", "▁Hund"],
            ["<2de>", "Ein", "Hund"],
        ),  # a first word without its sign is no continuation
        (["snow", "##man", "."], ["snow", "·man", "."]),
        (["▁", "5", "0"], ["▁", "5", "·0"]),
        (["a", "dog"], ["a", "dog"]),
        ([], []),
    ],
)
def test_tokens_for_the_eye(tokens: list[str], shown: list[str]) -> None:
    assert readable(tokens) == shown


def translated() -> list[Group]:
    source, target = ["▁Ja", "▁doch", "</s>"], ["▁Oh", "▁yes", "▁it", "</s>"]
    maps = AttentionMaps(
        encoder=np.full((2, 3, 3, 3), 1 / 3), decoder=np.tril(np.ones((2, 3, 4, 4))) / [[1], [2], [3], [4]],
        cross=np.full((2, 3, 4, 3), 1 / 3),
    )  # fmt: skip
    return translation_groups(maps, start="<s>", source_tokens=source, target_tokens=target)


def test_a_translation_has_three_groups() -> None:
    cross, encoder, decoder = translated()
    assert [group.name for group in (cross, encoder, decoder)] == ["cross", "encoder", "decoder"]
    assert list(cross.rows) == list(decoder.rows) == ["▁Oh", "▁yes", "▁it", "</s>"]
    assert list(decoder.columns) == ["<s>", "▁Oh", "▁yes", "▁it"]
    assert list(cross.columns) == list(encoder.rows) == list(encoder.columns) == ["▁Ja", "▁doch", "</s>"]
    assert [group.causal for group in (cross, encoder, decoder)] == [False, False, True]


def test_weights_that_do_not_fit_the_tokens_are_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"self: weights of shape \(1, 1, 2, 3\) for 3 row tokens and 3 column tokens"
    ):
        make_group(np.ones((2, 3)), rows=WORDS[:3])
    with pytest.raises(ValueError, match="lower-case letters, for its address in the page, not 'no/slash'"):
        make_group(np.ones((2, 2)), name="no/slash")
