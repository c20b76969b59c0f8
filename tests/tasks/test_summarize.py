"""Summarization: data with one summary or several, ROUGE, learning, and long texts in parts."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import weft
from weft.cli import main
from weft.config import SummarizeConfig, SummarizeRun
from weft.data.sources import Report
from weft.errors import UserError
from weft.tasks.summaries import read_summarized, score
from weft.tasks.summarize import SummarizeProblem

pytest.importorskip("rouge_score")

SMALL = {
    "tokenizer.size": 320,
    "model.width": 32,
    "model.heads": 2,
    "model.feed_forward": 64,
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "train.batch_tokens": 512,
    "train.learning_rate": 5e-3,
    "train.warmup": 20,
    "train.smoothing": 0.0,
    "train.validations": 2,
    "train.precision": "float32",
}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long texts of which two words are to be told: who went where."""
    folder, chance = tmp_path_factory.mktemp("notes"), random.Random(0)
    for name, count in (("train", 300), ("dev", 30)):
        lines = []
        for number in range(count):
            who, where = chance.choice(["Anna", "Ben", "Carla"]), chance.choice(["home", "out", "away"])
            words = chance.choices(["well", "you", "know", "I", "think", "so"], k=chance.randint(6, 20))
            words.insert(chance.randrange(len(words)), f"{who} went {where}")
            summary = f"{who} is {where}."
            lines.append(
                json.dumps(
                    {
                        "dialogue": "\n".join([f"#{number}:", " ".join(words)]),
                        "summary": [summary, "Nobody knows."] if number % 2 else summary,
                    }
                )
            )
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "short"
    weft.train(
        "summarize",
        train=notes / "train.jsonl",
        valid=notes / "dev.jsonl",
        source="dialogue",
        target=["summary"],
        out=out,
        steps=250,
        preset="tiny",
        overrides=SMALL,
    )
    return out


def test_rouge_is_the_librarys_and_takes_the_best_reference() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    found = ["the cats sat on the mat", "a dog"]
    references = [["a bird", "the cat sat on a mat"], ["two dogs barked", "rain"]]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    best = [scorer.score("the cat sat on a mat", found[0]), scorer.score("two dogs barked", found[1])]
    for name, value in score(found, references)._asdict().items():
        assert value == pytest.approx(50 * sum(each[name].fmeasure for each in best))
    assert score(found, [[found[0]], ["x", found[1]]]) == (100, 100 * 1, 100)


def test_summaries_stand_in_columns_or_lists(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,one,two\nLong,s1,s2\nOther,,s3\nNone,,\n,s,s\n")
    report, config = Report(), SummarizeConfig(target=("one", "two"))
    found = read_summarized([f"{tmp_path}/a.csv"], config, columns=None, report=report)
    assert found == [("Long", ("s1", "s2")), ("Other", ("s3",))]
    assert report.lines()[1:] == [
        f"1 left out as without a summary: {tmp_path}/a.csv:4",
        f"1 left out as without a text: {tmp_path}/a.csv:5",
    ]
    (tmp_path / "b.jsonl").write_text(
        '{"text": "t", "summary": ["x", "y"]}\n{"text": "u", "summary": "[sic] z"}\n'
    )
    read = read_summarized([f"{tmp_path}/b.jsonl"], SummarizeConfig(), columns=None, report=Report())
    assert [each.summaries for each in read] == [("x", "y"), ("[sic] z",)]
    with pytest.raises(UserError, match=r'b.jsonl: no column "abstract"'):
        read_summarized(
            [f"{tmp_path}/b.jsonl"], SummarizeConfig(target=("abstract",)), columns=None, report=report
        )


def test_a_part_is_held_out_where_nothing_else_is(notes: Path, tmp_path: Path) -> None:
    """Of each text that is held out, all the summaries are known, and none of it is learned."""
    config = {"source": "dialogue", "target": ("summary",)}
    model = {"vocabulary": 320, "width": 16, "heads": 2, "feed_forward": 16}
    run = SummarizeRun.model_validate(
        {
            "data": {"train": (str(notes / "train.jsonl"),)},
            "tokenizer": {"size": 320},
            "model": {**model, "encoder_layers": 1, "decoder_layers": 1},
            "summarize": config,
            "hold_out": 0.2,
        }
    )
    problem = SummarizeProblem(run)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=print)
    assert task.valid is not None
    held, learned = set(task.valid.numbers.tolist()), set(task.train.numbers.tolist())
    assert (len(held), len(learned), held & learned) == (60, 240, set())
    assert task.facts["held out"] == "60 texts of the training texts"
    known = read_summarized(
        [str(notes / "train.jsonl")], SummarizeConfig(**config), columns=None, report=Report()
    )
    assert task.references == {line: known[line].summaries for line in held}
    (notes / "one.jsonl").write_text((notes / "train.jsonl").read_text().splitlines()[0])
    single = run.model_copy(update={"data": run.data.model_copy(update={"train": (f"{notes}/one.jsonl",)})})
    with pytest.raises(UserError, match="not a single text with a summary to learn from beside what is held"):
        SummarizeProblem(single).make_task(
            tmp_path / "one", tokenizer=tokenizer, begun=False, tell=lambda _: None
        )


def test_it_learns(run: Path, notes: Path) -> None:
    summarizer = weft.load(run)
    found = summarizer.evaluate(notes / "dev.jsonl")
    assert found.rouge1 > 80
    assert (found.texts, found.several_parts) == (30, 0)
    assert found.rougeL <= found.rouge1
    answer = summarizer.summarize("well you know Ben went away I think so")
    assert (answer.text, answer.parts) == ("Ben is away.", 1)
    assert [each.text for each in summarizer.summarize(["I think Anna went out so well you know"] * 2)] == [
        "Anna is out."
    ] * 2


def test_a_long_text_is_read_in_parts_or_refused(run: Path) -> None:
    summarizer = weft.load(run)
    limit = summarizer.config.length
    text = " well you know Ben went away I think so" * limit
    found = summarizer.summarize(text)
    assert found.parts > 1
    assert len(found.text.split()) >= found.parts
    with pytest.raises(UserError, match=f"more than the {limit - 1:,} that the model reads at once"):
        summarizer.summarize(text, whole=True)
    ids = summarizer.tokenizer.encode([text])[0]
    parts = summarizer._parts(ids, room=limit - 1)
    assert [id_ for part in parts for id_ in part] == ids
    assert max(map(len, parts)) <= limit - 1
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_summary_is_as_long_as_is_asked_for(run: Path) -> None:
    summarizer, text = weft.load(run), "well you know Ben went away I think so"
    (short,) = summarizer.tokenizer.encode([summarizer.summarize(text, max_length=2).text])
    (long,) = summarizer.tokenizer.encode([summarizer.summarize(text, min_length=20).text])
    assert len(short) <= 2 < 15 < len(long)


def test_nothing_is_said_twice_in_three_words(run: Path) -> None:
    summarizer = weft.load(run)
    found = summarizer.summarize("Ben went away", min_length=30, max_length=40)
    ids = summarizer.tokenizer.encode([found.text])[0]
    threes = list(zip(ids, ids[1:], ids[2:], strict=False))
    assert len(set(threes)) == len(threes)


@pytest.mark.parametrize("text", ["", ["a", " "], 5])
def test_wrong_calls(run: Path, text: Any) -> None:
    with pytest.raises(UserError):
        weft.load(run).summarize(text)


def test_no_layout_of_others_takes_it(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="summarize"):
        weft.export_model(run, out=tmp_path / "out")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run one command in this process: its status, and what it wrote to both streams."""

    def ran(*arguments: object) -> SimpleNamespace:
        status = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return ran


def test_on_the_command_line(run: Path, notes: Path, tmp_path: Path, command: Callable[..., Any]) -> None:
    page = tmp_path / "page.txt"
    page.write_text("well you know\nBen went away\nI think so\n")
    ran = command("summarize", run, "--input", page)
    assert (ran.status, ran.out, ran.err) == (0, "Ben is away.\n", "")
    out = tmp_path / "short.txt"
    ran = command("summarize", run, "--input", notes / "dev.jsonl", "--output", out)
    assert (ran.status, len(out.read_text().splitlines())) == (0, 30)
    ran = command("summarize", run, "Ben went away", "--json", "--beam", "1")
    assert json.loads(ran.out)["summary"] == weft.load(run).summarize("Ben went away", beams=1).text
    long = tmp_path / "long.txt"
    long.write_text("well you know Ben went away I think so\n" * 300)
    ran = command("summarize", run, "--input", long)
    assert (ran.status, len(ran.out.splitlines())) == (0, 1)
    assert ran.err.startswith("weft: warning: 1 of 1 texts are longer than the")
    page = tmp_path / "page.html"
    ran = command("inspect", run, "Ben went away", "--out", page, "--beam", "2")
    assert (ran.status, ran.err) == (0, "")
    assert "What may be copied" in page.read_text()
    assert (
        "Summary" in page.read_text() and weft.load(run).summarize("Ben went away", beams=2).text in ran.out
    )
    found = json.loads(command("inspect", run, "Ben went away", "--out", page, "--overwrite", "--json").out)
    assert found["summary"]["text"] == weft.load(run).summarize("Ben went away").text
    found = json.loads(command("evaluate", run, "--data", notes / "dev.jsonl", "--json").out)
    assert found["rouge1"] > 80


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (" \n", [], "there is no text to summarize"),
        (None, [], "no such file"),
        ("a\n", ["--whole", "--max-length", "0"], "--max-length: input should be"),
        ('{"dialogue": "a"}\n{"dialogue": " "}\n', [], ".jsonl:2: no text in dialogue"),
        ('{"text": "a"}\n', [], 'no column "dialogue"'),
    ],
)
def test_bad_input(
    run: Path,
    tmp_path: Path,
    command: Callable[..., Any],
    content: str | None,
    options: list[str],
    message: str,
) -> None:
    path = tmp_path / ("data.jsonl" if content and content.startswith("{") else "data.txt")
    if content is not None:
        path.write_text(content)
    ran = command("summarize", run, "--input", path, *options)
    assert ran.status == 2
    assert message in ran.err and ran.err.startswith("weft: error: ") and len(ran.err.splitlines()) == 1
