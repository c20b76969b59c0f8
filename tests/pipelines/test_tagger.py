"""A tagger learns, and in use finds the same entities whatever else is asked with them."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

import weft
from weft.cli import main
from weft.config import ModelConfig, TaggerConfig
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.pipelines.tagger import Entity, Tagger
from weft.tasks.reading import Reader
from weft.training.report import Result

NAMES = ["Anna", "Bert", "Carla", "Dora", "Emil"]
PLACES = ["Oslo", "Lima", "Big Rock", "New York City", "Bonn"]
FRAMES = [
    "{} lives in {} .",
    "In {1} , {0} sleeps",
    "{} likes {} and wine",
    "Does {} like {} ?",
    "nobody is here",
]


def made_up(count: int, *, seed: int) -> str:
    """Sentences in CoNLL's columns, in which people and places stand in few patterns."""
    random, sentences = Random(seed), []
    for _ in range(count):
        name, place = random.choice(NAMES), random.choice(PLACES)
        text = random.choice(FRAMES).format("<name>", "<place>")
        lines = []
        for word in text.split():
            if word not in ("<name>", "<place>"):
                lines.append(f"{word}\tO")
                continue
            label, entity = ("PER", name) if word == "<name>" else ("LOC", place)
            first, *rest = entity.split()
            lines += [f"{first}\tB-{label}", *(f"{each}\tI-{label}" for each in rest)]
        sentences.append("".join(f"{line}\n" for line in lines))
    return "\n".join(sentences)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    folder = tmp_path_factory.mktemp("tagger")
    (folder / "train.conll").write_text(made_up(300, seed=1))
    (folder / "test.conll").write_text(made_up(40, seed=2))
    small = {"model.width": 64, "model.encoder_layers": 1, "model.dropout": 0.0, "train.batch_tokens": 512}
    result = weft.train(
        "tag", train=folder / "train.conll", out=folder / "run", steps=60, preset="tiny", overrides=small
    )
    return folder, result


@pytest.fixture(scope="module")
def tagger(trained: tuple[Path, Result]) -> Any:
    return weft.load(trained[0] / "run", task="tag", precision="float32")


def test_it_learns(trained: tuple[Path, Result], tagger: Tagger) -> None:
    folder, result = trained
    assert result.scores["f1"] > 0.95
    assert weft.info(folder / "run")["labels"] == "O, B-LOC, I-LOC, B-PER, I-PER"
    assert (tagger.config.length, tagger.config.pooling) == (256, "mean")
    found = tagger.evaluate(folder / "test.conll")
    assert found.sentences == 40 and found.left_out == () and found.computed == "float32"
    assert found.f1 > 0.95
    assert set(found.per_type) == {"LOC", "PER"} == set(tagger.labels)
    assert found.f1 == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))
    (folder / "test.jsonl").write_text(
        json.dumps({"text": "Bert likes Big Rock and wine", "entities": [[0, 4, "PER"], [11, 19, "LOC"]]})
    )
    assert tagger.evaluate([str(folder / "test.jsonl")]).f1 == 1.0


def test_entities_are_characters_of_the_text_as_it_was_written(tagger: Tagger) -> None:
    text = "  Anna lives\tin New  York\nCity."
    found = tagger.tag(text)
    assert [(each.label, each.text) for each in found] == [("PER", "Anna"), ("LOC", "New  York\nCity")]
    for each in found:
        assert text[each.start : each.end] == each.text
        assert 0.5 < each.score <= 1


TEXTS = [frame.format(name, place) for frame in FRAMES for name in NAMES[:4] for place in PLACES[:4]][:64]
TEXTS += ["", " \n", "In Lima, Dora sleeps. " * 40, "x" * 400, "日本 Anna 😀 \u200b Oslo"]


def same(one: list[Entity], other: list[Entity]) -> bool:
    return [each[:-1] for each in one] == [each[:-1] for each in other] and [
        each.score for each in one
    ] == pytest.approx([each.score for each in other], abs=1e-5)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_what_is_asked_together_changes_nothing(size: int, tagger: Tagger) -> None:
    together = tagger.tag(TEXTS)
    assert sum(map(len, together)) > 100
    apart = [each for at in range(0, len(TEXTS), size) for each in tagger.tag(TEXTS[at : at + size])]
    assert len(together) == len(apart) == len(TEXTS)
    for one, other in zip(together, apart, strict=True):
        assert same(one, other)
    assert same(tagger.tag(TEXTS[0]), together[0])


def test_a_long_text_is_read_to_its_end(tagger: Tagger) -> None:
    times = 120
    found = tagger.tag("In Lima , Dora sleeps . " * times)
    assert len(found) > 1.9 * times
    assert found[-1].start > 24 * (times - 1)


def test_blank_texts_have_no_entities(tagger: Tagger) -> None:
    assert tagger.tag(["", " \n\t"]) == [[], []]
    assert tagger.tag("") == []
    assert tagger.tag([]) == []


def test_what_is_no_text_is_refused(tagger: Tagger, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"number 1, counted from 0, is None"):
        tagger.tag(["a", None])  # type: ignore[list-item]
    with pytest.raises(UserError, match="is not valid Unicode"):
        tagger.tag("a\ud800")
    (tmp_path / "a.conll").write_text("Rex\tB-PET\n")
    with pytest.raises(UserError, match=r'a\.conll:1: the label "PET" was not seen in training'):
        tagger.evaluate(tmp_path / "a.conll")


def test_a_model_with_other_labels_is_refused(tagger: Tagger) -> None:
    model = ModelConfig(
        architecture="encoder", vocabulary=9, width=8, encoder_layers=1, heads=1, feed_forward=8
    )
    config = TaggerConfig(model=model, heads=("tag",), labels=("LABEL_0", "LABEL_1"))
    with pytest.raises(UserError, match=r"no tags of IOB2"):
        Tagger(config, network=Reader(Encoder(model, heads=("tag",), labels=2)), tokenizer=tagger.tokenizer)


def test_the_command_line(
    trained: tuple[Path, Result], tagger: Tagger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, text = str(trained[0] / "run"), "In Big  Rock , Emil sleeps"
    assert main(["tag", run, text, "--precision", "float32"]) == 0
    expected = [
        f"1\t{each.start}\t{each.end}\t{each.label}\t{' '.join(each.text.split())}\t{each.score:.4f}"
        for each in tagger.tag(text)
    ]
    assert capsys.readouterr().out.splitlines() == expected
    assert expected[0].startswith("1\t3\t12\tLOC\tBig Rock\t")
    (tmp_path / "lines.txt").write_text(f"\n{text}\nnobody is here\n{text}\n")
    options = ["--input", str(tmp_path / "lines.txt"), "--precision", "float32"]
    assert main(["tag", run, *options]) == 0
    numbers = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert numbers == ["2", "2", "4", "4"]
    assert main(["tag", run, *options, "--json", "--output", str(tmp_path / "out.jsonl")]) == 0
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [len(record["entities"]) for record in records] == [0, 2, 0, 2]
    assert records[1]["text"] == text
    assert records[1]["entities"][0]["text"] == "Big  Rock"
    assert set(records[1]["entities"][0]) == set(Entity._fields)
    assert main(["tag", run, text, *options]) == 2
    assert "a text and --input: give one of them" in capsys.readouterr().err
