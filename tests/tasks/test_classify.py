"""Classification: what is read, what is learned, and what is said of it."""

import gzip
import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.config import ClassifierConfig, ClassifyConfig, ModelConfig
from weft.data.sources import Report
from weft.errors import UserError
from weft.tasks.classification import Scores, probabilities, score, targets_of
from weft.tasks.labelled import Labelled, read_labelled
from weft.tasks.ngram_training import fit_ngrams
from weft.tasks.reading import hold_out

MODEL = ModelConfig(architecture="encoder", vocabulary=10, width=8, encoder_layers=1, heads=1, feed_forward=8)
SMALL = {
    "model.width": 32,
    "model.heads": 2,
    "model.feed_forward": 48,
    "model.encoder_layers": 1,
    "train.batch_tokens": 256,
    "train.learning_rate": 3e-3,
    "train.warmup": 5,
    "train.validations": 3,
    "train.precision": "float32",
}


def described(labels: tuple[str, ...], kind: str = "single", **changes: Any) -> ClassifierConfig:
    return ClassifierConfig(model=MODEL, labels=labels, kind=kind, **changes)  # type: ignore[arg-type]


def read(
    *specs: str, columns: list[str] | None = None, **config: Any
) -> list[tuple[str, str | None, tuple[str, ...]]]:
    found = read_labelled(specs, ClassifyConfig(**config), columns=columns, report=Report())
    return [(each.text, each.pair, each.labels) for each in found]


def test_tables_lines_and_files_for_each_label(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('review,stars,title\n"Good, really",5,T\nBad,1,U\n')
    got = read(f"{tmp_path}/a.csv", text_column="review", label_column="stars", pair_column="title")
    assert got == [("Good, really", "T", ("5",)), ("Bad", "U", ("1",))]
    (tmp_path / "b.tsv").write_text("ham\tSee you\nspam\tWin now\n")
    assert read(f"{tmp_path}/b.tsv", columns=["label", "text"])[1] == ("Win now", None, ("spam",))
    (tmp_path / "c.txt").write_text("NUM:date When was it ?\nHUM:ind Who : me ?\n")
    assert read(f"{tmp_path}/c.txt", label_until=":") == [
        ("When was it ?", None, ("NUM",)),
        ("Who : me ?", None, ("HUM",)),
    ]
    with gzip.open(tmp_path / "pos.gz", "wt") as file:
        file.write("fine film\n")
    (tmp_path / "neg").write_text("poor film\n")
    assert read(f"positive={tmp_path}/pos.gz", f"negative={tmp_path}/neg") == [
        ("fine film", None, ("positive",)),
        ("poor film", None, ("negative",)),
    ]


def test_names_for_numbers_several_labels_and_numbers(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("World\nSports\n")
    (tmp_path / "a.tsv").write_text("label\ttext\n2\tGoal\nWorld\tVote\n")
    names = str(tmp_path / "names")
    for given in (names, ("World", "Sports")):
        assert [each[2] for each in read(f"{tmp_path}/a.tsv", label_names=given)] == [("Sports",), ("World",)]
    (tmp_path / "b.jsonl").write_text('{"text": "a", "label": "x, y"}\n{"text": "b", "label": ""}\n')
    assert [each[2] for each in read(f"{tmp_path}/b.jsonl", kind="multiple")] == [("x", "y"), ()]
    lists = ['{"text": "a", "label": ["New York, NY", "x"]}', '{"text": "b", "label": []}']
    lists += ['{"text": "c", "label": "x, y"}', '{"text": "d", "label": [3, "Straße"]}']
    (tmp_path / "lists.jsonl").write_text("\n".join(lists) + "\n")
    got = read(f"{tmp_path}/lists.jsonl", kind="multiple")
    assert [each[2] for each in got] == [("New York, NY", "x"), (), ("x", "y"), ("3", "Straße")]
    (tmp_path / "lists.csv").write_text('text,label\na,"[""x, 1"", ""y""]"\n')
    assert read(f"{tmp_path}/lists.csv", kind="multiple") == [("a", None, ("x, 1", "y"))]
    with pytest.raises(
        UserError, match='lists.jsonl: the field "label" holds lists, where one text is wanted'
    ):
        read(f"{tmp_path}/lists.jsonl")
    (tmp_path / "later.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": ["b"], "label": ["y"]}\n')
    with pytest.raises(UserError, match='later.jsonl:2: no text in field "text"'):
        read(f"{tmp_path}/later.jsonl", kind="multiple")
    (tmp_path / "c.tsv").write_text("label\ttext\n2.5\ta\nmany\tb\n")
    with pytest.raises(UserError, match=r'c.tsv:3: "many" is no number'):
        read(f"{tmp_path}/c.tsv", kind="number")
    (tmp_path / "n.tsv").write_text("label\ttext\n2.5\ta\nnan\tb\n")
    with pytest.raises(UserError, match=r'n.tsv:3: "nan" is no number'):
        read(f"{tmp_path}/n.tsv", kind="number")
    (tmp_path / "u.txt").write_text("NUM:date When was it ?\nHow old is he ?\n")
    with pytest.raises(UserError, match=r'u.txt:2: "How" has no ":" that a label would end at'):
        read(f"{tmp_path}/u.txt", label_until=":")
    with pytest.raises(UserError, match="hold one text each: leave out --pair-column"):
        read(f"great={tmp_path}/u.txt", pair_column="title")
    (tmp_path / "d.tsv").write_text("label\ttext\n3\tGoal\n")
    with pytest.raises(UserError, match=r'd.tsv:2: label "3" is none of the numbers 1 to 2'):
        read(f"{tmp_path}/d.tsv", label_names=names)


def test_what_is_blank_is_counted_and_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("label\ttext\nx\tone\nx\t \n\ttwo\ny\tthree\n")
    report = Report()
    found = read_labelled([f"{tmp_path}/a.tsv"], ClassifyConfig(), columns=None, report=report)
    assert [each.text for each in found] == ["one", "three"]
    assert report.lines()[1:] == [
        f"1 left out as without a text: {tmp_path}/a.tsv:3",
        f"1 left out as without a label: {tmp_path}/a.tsv:4",
    ]


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("review,stars\nGood,5\n")
    with pytest.raises(UserError, match=r'a.csv: no column "text", it has "review", "stars"'):
        read(f"{tmp_path}/a.csv")


def test_a_label_that_was_not_seen_is_named_with_its_place() -> None:
    examples = [Labelled("a", None, ("postive",), "reviews.csv:17")]
    with pytest.raises(UserError) as caught:
        targets_of(examples, described(("negative", "positive")))
    assert str(caught.value) == (
        'reviews.csv:17: label "postive" was not seen in training (did you mean "positive"?) (known: negative, positive)'
    )


def test_scores_are_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    chance = np.random.default_rng(0)
    found = chance.random((200, 4)).astype(np.float32)
    found[:, 3] *= 0.1  # hardly ever said
    targets = chance.integers(0, 3, 200)  # the last label never occurs
    got = score(found, targets, described(("a", "b", "c", "d")))
    said = found.argmax(1)
    assert got.figures["accuracy"] == pytest.approx(metrics.accuracy_score(targets, said))
    assert got.figures["macro_f1"] == pytest.approx(
        metrics.f1_score(targets, said, average="macro", zero_division=0)
    )
    assert np.array_equal(got.confusion, metrics.confusion_matrix(targets, said, labels=range(4)))
    precision = metrics.precision_score(targets, said, average=None, zero_division=0, labels=range(4))
    assert [each["precision"] for each in got.per_label.values()] == pytest.approx(list(precision))


def test_scores_of_several_labels_and_of_numbers() -> None:
    found = np.array([[0.9, 0.2], [0.6, 0.7]], dtype=np.float32)
    several: Scores = score(found, np.array([[1.0, 0.0], [0.0, 1.0]]), described(("a", "b"), "multiple"))
    assert several.figures == {"accuracy": 0.5, "macro_f1": pytest.approx((2 / 3 + 1) / 2)}
    config = described(("stars",), "number", mean=3.0, deviation=2.0)
    logits = np.array([[0.5], [-1.0]], dtype=np.float32)
    values = probabilities(logits, config)
    assert values[:, 0].tolist() == [4.0, 1.0]
    numbers = score(values, np.array([0.0, -1.0], dtype=np.float32), config)
    assert numbers.figures == {"mean_error": 0.5, "pearson": pytest.approx(1.0)}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts whose label is which of two words they hold, in any place."""
    folder, chance = tmp_path_factory.mktemp("reviews"), random.Random(0)
    for name, count in (("train", 400), ("test", 100)):
        rows = []
        for _ in range(count):
            words = chance.choices(["the", "film", "was", "very", "plot", "a"], k=chance.randint(2, 9))
            label = chance.choice(["negative", "positive"])
            words.insert(chance.randint(0, len(words)), {"negative": "dull", "positive": "lively"}[label])
            rows.append(f"{label}\t{' '.join(words)}\n")
        (folder / f"{name}.tsv").write_text("label\ttext\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def run(reviews: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "mood"
    weft.train("classify", train=f"{reviews}/train.tsv", out=out, steps=60, overrides=SMALL)
    return out


def test_it_learns(run: Path, reviews: Path) -> None:
    classifier = weft.load(run)
    found = classifier.evaluate(f"{reviews}/test.tsv")
    assert found.figures["accuracy"] > 0.98
    assert found.texts == 100
    assert sum(map(sum, found.confusion)) == 100
    answer = classifier.classify("a very lively plot")
    assert answer.label == "positive"
    assert answer.probabilities["positive"] > 0.8
    assert sum(answer.probabilities.values()) == pytest.approx(1.0)


def test_a_part_is_held_out_and_said_so(run: Path) -> None:
    config = json.loads((run / "run.json").read_text())
    assert config["hold_out"] == 0.1
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("accuracy" in line for line in lines)


def test_words_have_a_vote_that_can_be_turned_off(run: Path, reviews: Path, tmp_path: Path) -> None:
    classifier = weft.load(run)
    text = "a very lively plot"
    negative, positive = classifier.ngrams.score([text])[0]
    assert negative < -1 and positive > 1
    assert classifier.config.vote > 0
    held_out = json.loads((run / "run.json").read_text())["hold_out"]
    every = [line.split("\t")[1] for line in (reviews / "train.tsv").read_text().splitlines()[1:]]
    assert held_out and len(classifier.ngrams.buckets) == len(
        fit_ngrams(every, np.ones((400, 1), np.float32)).buckets
    )
    told = []
    for ngrams in (True, False):
        out = tmp_path / str(ngrams)
        options = {"classify.ngrams": ngrams, "classify.pooling": "first", "tokenizer.size": 400}
        data = f"{reviews}/train.tsv"
        weft.train("classify", train=data, out=out, steps=1, preset="bert-tiny", overrides=options)
        assert (weft.load(out).ngrams is not None, (out / "ngrams.safetensors").exists()) == (ngrams, ngrams)
        told.append(weft.export_model(out, out=tmp_path / f"{ngrams} theirs"))
    assert told[0][0].startswith("the linear model that votes")
    assert told[1] == ()


def test_the_names_of_labels_go_with_the_model(reviews: Path, tmp_path: Path) -> None:
    (names := tmp_path / "names").write_text("negative\npositive\n")
    numbered = [
        line.replace("negative\t", "1\t").replace("positive\t", "2\t")
        for line in (reviews / "test.tsv").read_text().splitlines(keepends=True)
    ]
    (tmp_path / "numbered.tsv").write_text("".join(numbered))
    options = {**SMALL, "classify.label_names": str(names)}
    weft.train("classify", train=f"{tmp_path}/numbered.tsv", out=tmp_path / "run", steps=1, overrides=options)
    names.unlink()
    classifier = weft.load(tmp_path / "run")
    assert classifier.labels == ("negative", "positive")
    assert classifier.evaluate(f"{tmp_path}/numbered.tsv").texts == 100


def test_it_keeps_how_much_it_read(reviews: Path, tmp_path: Path) -> None:
    options = {**SMALL, "data.max_tokens": 6}
    weft.train("classify", train=f"{reviews}/train.tsv", out=tmp_path / "run", steps=1, overrides=options)
    classifier = weft.load(tmp_path / "run")
    assert (classifier.config.length, classifier.config.maximum) == (6, 6)
    found = classifier.evaluate(f"{reviews}/test.tsv")
    assert 0 < found.truncated < found.texts


def test_outputs_do_not_depend_on_the_batch(run: Path, reviews: Path) -> None:
    classifier = weft.load(run)
    texts = [line.split("\t")[1] for line in (reviews / "test.tsv").read_text().splitlines()[1:]][:64]
    together = classifier.classify(texts)
    for size in (1, 7):
        parts = [answer for at in range(0, 64, size) for answer in classifier.classify(texts[at : at + size])]
        assert [each.labels for each in parts] == [each.labels for each in together]
        for one, other in zip(parts, together, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_a_run_that_is_stopped_goes_on_bit_for_bit(reviews: Path, tmp_path: Path) -> None:
    options = {"train": f"{reviews}/train.tsv", "steps": 12, "overrides": SMALL}
    weft.train("classify", out=tmp_path / "whole", **options)

    class Stop:
        def __getattr__(self, name: str) -> Any:
            return self._validation if name == "validation" else lambda *_, **__: None

        def _validation(self, *_: Any) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weft.train("classify", out=tmp_path / "parts", report=Stop(), **options)
    weft.resume(tmp_path / "parts")
    names = ("model.safetensors", "config.json")
    whole, parts = ([(tmp_path / run / name).read_bytes() for name in names] for run in ("whole", "parts"))
    assert whole == parts


def test_another_text_than_the_run_began_with_is_refused(reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text((reviews / "train.tsv").read_text())

    class Stop:
        def __getattr__(self, name: str) -> Any:
            return self._stop if name == "validation" else lambda *_, **__: None

        def _stop(self, *_: Any) -> None:
            raise KeyboardInterrupt

    options = {"steps": 12, "overrides": SMALL, "out": tmp_path / "run", "report": Stop()}
    with pytest.raises(KeyboardInterrupt):
        weft.train("classify", train=tmp_path / "train.tsv", **options)
    with (tmp_path / "train.tsv").open("a") as file:
        file.write("positive\tone more\n")
    with pytest.raises(UserError, match=r"train.tsv: not the text that this run began with"):
        weft.resume(tmp_path / "run")


def test_one_class_only_and_blank_texts(run: Path, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("label\ttext\nx\tone\nx\ttwo\n")
    with pytest.raises(UserError, match=r'a.tsv: only "x" as a label: a classifier needs two labels or more'):
        weft.train("classify", train=f"{tmp_path}/a.tsv", out=tmp_path / "run", steps=1)
    assert not (tmp_path / "run").exists()
    classifier = weft.load(run)
    with pytest.raises(UserError, match="text 1, counted from 0, is blank"):
        classifier.classify(["fine", " "])
    with pytest.raises(UserError, match="reads one text at a time, not two"):
        classifier.classify("fine", pair="second")


@pytest.mark.parametrize("kind", ["multiple", "number"])
def test_several_labels_and_numbers_are_learned(kind: str, tmp_path: Path) -> None:
    chance, rows = random.Random(1), []
    for _ in range(300):
        red, tall = chance.random() < 0.5, chance.random() < 0.5
        words = ["it", "is", *(["red"] if red else []), *(["tall"] if tall else [])]
        chance.shuffle(words)
        several = ",".join(name for name, there in (("colour", red), ("size", tall)) if there)
        rows.append(
            {"text": " ".join(words), "label": several if kind == "multiple" else 10 + 4 * red + 2 * tall}
        )
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    weft.train(
        "classify", train=tmp_path / "train.jsonl", out=tmp_path / "run", steps=80, kind=kind, overrides=SMALL
    )
    classifier = weft.load(tmp_path / "run")
    both, none = classifier.classify(["it is tall red", "it is"])
    if kind == "multiple":
        assert (both.labels, none.labels) == (("colour", "size"), ())
    else:
        assert both.number == pytest.approx(16, abs=1)
        assert none.number == pytest.approx(10, abs=1)


def test_class_weights_change_what_is_learned(reviews: Path, tmp_path: Path) -> None:
    lines = (reviews / "train.tsv").read_text().splitlines()[1:]
    rare = [line for line in lines if line.startswith("negative")] + [
        line for line in lines if line.startswith("positive")
    ][:20]
    (tmp_path / "rare.tsv").write_text("label\ttext\n" + "".join(f"{line}\n" for line in rare))
    losses = []
    for weighted in (False, True):
        options = {**SMALL, "classify.class_weights": weighted}
        out = tmp_path / str(weighted)
        result = weft.train("classify", train=tmp_path / "rare.tsv", out=out, steps=4, overrides=options)
        losses.append(result.loss)
    assert losses[0] != losses[1]


def test_a_checkpoint_keeps_its_shape_and_its_tokenizer(run: Path, reviews: Path, tmp_path: Path) -> None:
    options = {"train": f"{reviews}/train.tsv", "out": tmp_path / "again", "from_checkpoint": run, "steps": 2}
    for setting, message in (
        ({"model.width": 64}, "model.width is the checkpoint's, which is 32: leave it out"),
        ({"model.encoder_layers": 4}, "model.encoder_layers is the checkpoint's, which is 1: leave it out"),
        ({"tokenizer.size": 400}, "tokenizer.size: a run that begins with a checkpoint has its tokenizer"),
    ):
        with pytest.raises(UserError, match=message):
            weft.train("classify", overrides=setting, **options)
        assert not (tmp_path / "again").exists()
    result = weft.train("classify", overrides={"model.dropout": 0.0, "train.batch_tokens": 256}, **options)
    assert result.scores["accuracy"] > 0.95  # it goes on from what the checkpoint knows
    tokenizers = [(folder / "tokenizer.json").read_bytes() for folder in (run, tmp_path / "again")]
    assert tokenizers[0] == tokenizers[1]


@pytest.mark.parametrize(
    ("rows", "kind"), [("a\tone\nb\ttwo\n", "single"), ("a,b\tone\n", "multiple"), ("5\tone\n", "number")]
)
def test_too_few_examples_to_hold_some_out(rows: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "few.tsv").write_text(f"label\ttext\n{rows}")
    with pytest.raises(
        UserError, match="few.tsv: too few texts to hold any out and keep one of each label: name"
    ):
        weft.train("classify", train=tmp_path / "few.tsv", out=tmp_path / "run", steps=1, kind=kind)
    assert not (tmp_path / "run").exists()


def test_what_is_held_out_has_the_labels_in_proportion() -> None:
    labels = [("common",)] * 150 + [("middle",)] * 30 + [("rare",)] * 2 + [("once",)]
    examples = list(enumerate(label for (label,) in labels))
    for seed in range(20):
        kept, held = hold_out(examples, share=0.1, seed=seed, labels=labels)
        assert (kept, held) == hold_out(examples, share=0.1, seed=seed, labels=labels)
        assert sorted(kept + held) == examples
        counts = Counter(label for _, label in held)
        assert len(held) == 18
        assert 14 <= counts["common"] <= 16
        assert 2 <= counts["middle"] <= 4
        assert counts["rare"] <= 1
        assert counts["once"] == 0
    drawn = {tuple(hold_out(examples, share=0.1, seed=seed, labels=labels)[1]) for seed in range(20)}
    assert len(drawn) == 20


def test_every_label_of_several_stays_to_be_learned() -> None:
    chance = random.Random(0)
    labels = [tuple(sorted(chance.sample("abcdefgh", chance.randint(0, 3)))) for _ in range(60)]
    for seed in range(20):
        kept, held = hold_out(labels, share=0.5, seed=seed, labels=labels)
        assert len(held) == 30
        assert {label for each in kept for label in each} == set("abcdefgh")
    kept, held = hold_out(["x", "y"], share=0.9, seed=0, labels=[("a",), ("b",)])
    assert (kept, held) == (["x", "y"], [])


def test_a_damaged_configuration_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "copy")
    path = tmp_path / "copy" / "config.json"
    path.write_bytes(b"[" + path.read_bytes()[1:])
    with pytest.raises(UserError, match=r"config.json: the file is damaged: it is not JSON"):
        weft.info(tmp_path / "copy")
