import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.config import Config, ModelConfig
from weft.errors import UserError
from weft.overrides import find_line, load_settings, parse_override, validate


class Training(Config):
    minutes: float | None = None
    betas: tuple[float, float] = (0.9, 0.95)
    name: str = "run"


class Whole(Config):
    model: ModelConfig
    train: Training = Training()


MODEL = """
[model]
vocabulary = 10
width = 64
encoder_layers = 1
decoder_layers = 1
heads = 2
feed_forward = 128
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weft.toml"


def error(path: Path | None, *overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        validate(Whole, load_settings(path, overrides))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_overrides_lie_over_the_file(file: Path) -> None:
    file.write_text(MODEL + "[train]\nminutes = 3\nbetas = [0.8, 0.9]\n")
    config = validate(
        Whole, load_settings(file, ["train.minutes=12", "model.norm=rms", "model.special.pad=7"])
    )
    assert config.train == Training(minutes=12.0, betas=(0.8, 0.9))
    assert (config.model.norm, config.model.special.pad, config.model.special.end) == ("rms", 7, 2)


def test_overrides_come_as_a_mapping_too(file: Path) -> None:
    file.write_text(MODEL)
    config = validate(Whole, load_settings(file, {"model.width": 32, "train": {"minutes": 1.5}}))
    assert (config.model.width, config.model.heads, config.train.minutes) == (32, 2, 1.5)
    assert validate(Whole, load_settings(file, "model.width=32")).model.width == 32


def test_what_a_program_gives_lies_over_both_and_blames_neither(file: Path) -> None:
    file.write_text(MODEL + "[train]\nminutes = 3\n")
    settings = load_settings(file, ["train.minutes=4", "model.norm=rms"])
    whole = settings.over({"train.minutes": 5, "train.name": "mine"})
    assert validate(Whole, whole).train == Training(minutes=5.0, name="mine")
    assert settings["train"] == {"minutes": 4}
    with pytest.raises(UserError, match=r"^train.minutes: input should be a valid number"):
        validate(Whole, settings.over({"train.minutes": "x"}))
    with pytest.raises(UserError, match=r"^--set: unknown key"):
        validate(Whole, load_settings(file, ["model.widht=4"]).over({"train.minutes": 5}))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("a=1", 1),
        ("a = 1.5e-3", 1.5e-3),
        ("a=true", True),
        ("a=rms", "rms"),
        ("a=two words", "two words"),
        ('a="1"', "1"),
        ('a=""', ""),
        ("a=[1, 2]", [1, 2]),
        ("a={b = 2}", {"b": 2}),
        ("a=b=c", "b=c"),
        ("a=2024-01-01", "2024-01-01"),  # a date is no setting
        ("a=1#2", "1#2"),
        ("a='1' # note", "1"),
        ("a=1\nb=2", "1\nb=2"),
        ("a={de,en}", "{de,en}"),
    ],
)
def test_values_follow_toml_and_else_are_text(written: str, value: Any) -> None:
    assert parse_override(written) == ("a", value)


@pytest.mark.parametrize("written", ["", "a", "=1", "a=", "a b=1", "a..b=1", ".=1", "a.=1"])
def test_an_override_that_is_none_is_refused(written: str) -> None:
    assert "key=value" in error(None, written)


def test_unknown_key_names_file_line_and_the_nearest(file: Path) -> None:
    file.write_text(MODEL + "# widht = 3\nwidht = 3\n")
    assert error(file) == f'{file}:10: unknown key "model.widht" (did you mean "model.width"?)'


def test_unknown_key_in_an_override_does_not_blame_the_file(file: Path) -> None:
    file.write_text(MODEL)
    assert error(file, "model.widht=3") == '--set: unknown key "model.widht" (did you mean "model.width"?)'
    message = '--set: unknown key "model.special.pat" (did you mean "model.special.pad"?)'
    assert error(file, "model.special.pat=3") == message
    assert error(file, "moddel.width=3") == '--set: unknown key "moddel" (did you mean "model"?)'


def test_key_in_the_wrong_table_is_found_in_the_right_one(file: Path) -> None:
    file.write_text("width = 3\n" + MODEL)
    assert error(file) == f'{file}:1: unknown key "width" (did you mean "model.width"?)'


def test_wrong_value_names_the_line_where_it_begins(file: Path) -> None:
    file.write_text(MODEL + "[train]\nbetas = [\n  0.9,\n  true,\n]\nminutes = 3\n")
    assert error(file) == f"{file}:10: train.betas.1: input should be a valid number, not true"
    assert error(file, "train.betas=[1, 2]", "model.norm=rmss").startswith("--set: model.norm: ")


def test_what_is_missing_names_its_table(file: Path) -> None:
    file.write_text("\n" + MODEL.replace("width = 64\n", ""))
    assert error(file) == f"{file}:3: model.width: field required"


def test_a_rule_over_several_keys_is_told_as_it_is(file: Path) -> None:
    file.write_text(MODEL)
    assert error(file, "model.heads=3") == "--set: model: width 64 is not a multiple of heads 3"


def test_a_value_is_not_a_table(file: Path) -> None:
    file.write_text(MODEL)
    assert (
        error(file, "model.width.inner=3")
        == 'model.width.inner: "model.width" is a value, not a table of settings'
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[model]\nwidth = \n", ":2: not TOML: invalid value"),
        (b"[model]\nwidth = 1\nwidth = 2\n", ":3: not TOML: cannot overwrite a value"),
        (b"[model]\nnames = [1,\n", ":3: not TOML: "),
        (b'[model]\r\n\r\nnorm = "\xff"', ":3: not UTF-8"),
    ],
)
def test_what_is_no_toml_names_its_line(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    assert error(file).startswith(f"{file}{message}")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert error(tmp_path / "none.toml") == f"{tmp_path / 'none.toml'}: No such file or directory"
    assert error(tmp_path) == f"{tmp_path}: Is a directory"
    (tmp_path / "weft.toml").touch()
    assert error(tmp_path / "wefd.toml").endswith('No such file or directory (did you mean "weft.toml"?)')


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=4)
VALUES = st.one_of(st.integers(), st.booleans(), st.lists(st.integers(), max_size=3))
TABLES = st.dictionaries(
    NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), min_size=1, max_size=3
)


@settings(deadline=None, max_examples=50)
@given(TABLES, st.sampled_from(["\n", "\r\n"]))
def test_every_key_is_found_on_its_line(tables: dict[str, dict[str, Any]], end: str) -> None:
    lines, places = [], {}
    for table, keys in tables.items():
        lines += ["", f"[{table}]"]
        for key, value in keys.items():
            places[table, key] = len(lines) + 1
            lines += f"{key} = {str(value).lower()}".replace(",", ",\n").split("\n")
    for place, line in places.items():
        assert find_line(end.join(lines), place) == line


@settings(deadline=None)
@given(text=st.text(max_size=40), overrides=st.lists(st.text(max_size=20), max_size=3))
def test_garbage_is_settings_or_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, text: str, overrides: list[str]
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.toml"
    file.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(UserError):  # whatever it holds, it is no whole configuration
        validate(Whole, load_settings(file, overrides))
