"""Tags of words: never out of place, scored as seqeval does, learned from first tokens in windows."""

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

import weft
from weft.config import DataConfig, ModelConfig, TagConfig, TagRun, TrainConfig
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.tasks.entities import Sentence, Span, split_words, to_iob2
from weft.tasks.masking import MASK
from weft.tasks.reading import Reader
from weft.tasks.tag import IGNORED, Tag, TagProblem
from weft.tasks.tags import NOTHING, PART, TagSet, score, viterbi
from weft.tasks.word_windows import first_tokens, predict, read_sentences, spaced
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

LABELS = ("O", "B-A", "I-A", "B-C-D", "I-C-D")
TAGS = TagSet(LABELS)


def legal(tags: list[str]) -> bool:
    before = "O"
    for tag in tags:
        if tag.startswith("I-") and before[2:] != tag[2:]:
            return False
        before = tag
    return True


def random_scores(seed: int, words: int) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=(words, len(LABELS))) * 2
    return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_viterbi_finds_the_best_legal_path(seed: int, words: int) -> None:
    scores = random_scores(seed, words)
    path = viterbi(scores, after=TAGS.after, first=TAGS.after[0])

    def total(labels: tuple[int, ...]) -> float:
        return float(sum(scores[word, label] for word, label in enumerate(labels)))

    paths = itertools.product(range(len(LABELS)), repeat=words)
    best = max(total(each) for each in paths if legal([LABELS[label] for label in each]))
    assert legal([LABELS[label] for label in path])
    assert total(tuple(path)) == pytest.approx(best, abs=1e-5)


@given(st.integers(0, 2**32), st.lists(st.sampled_from([0, NOTHING, PART]), max_size=12))
def test_no_tag_is_ever_out_of_place(seed: int, kinds: list[int]) -> None:
    tokens = np.array(
        [NOTHING if each == PART and not at else each for at, each in enumerate(kinds)], dtype=np.int64
    )
    scores = random_scores(seed, len(kinds))
    tags = [LABELS[label] for label in TAGS.best(scores, tokens)]
    assert legal(tags)
    for at, kind in enumerate(tokens):
        if kind == NOTHING:
            assert tags[at] == "O"
        if kind == PART:
            assert tags[at] == ("O" if tags[at - 1] == "O" else f"I-{tags[at - 1][2:]}")
    found = TAGS.found(scores, tokens)
    assert to_iob2([each.span for each in found], words=len(tags)) == tags
    for each in found:
        inside = [at for at in range(each.begin, each.end) if tokens[at] != PART]
        chosen = [scores[at, LABELS.index(tags[at])] for at in inside]
        assert each.score == pytest.approx(np.exp(chosen).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("O", "I-A"), 'no tags of IOB2, "I-A" for one'),
        (("LABEL_0", "LABEL_1"), 'no tags of IOB2, "LABEL_0" for one'),
        (("B-A", "I-A"), 'no label "O"'),
        ((), 'no label "O"'),
    ],
)
def test_other_labels_are_refused(labels: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        TagSet(labels)


def test_labels_in_any_order() -> None:
    tags = TagSet(("I-A", "B-A", "O"))
    sentence = Sentence("a b c", ((0, 1), (2, 3), (4, 5)), (Span(1, 3, "A"),), "a.conll:1")
    assert tags.numbers(sentence).tolist() == [2, 1, 0]
    assert tags.spans(np.array([2, 1, 0])) == [Span(1, 3, "A")]
    assert tags.entities == ("A",)
    with pytest.raises(UserError, match=r'a\.conll:1: the label "a" was not seen in training.* \(known: A\)'):
        tags.numbers(sentence._replace(spans=(Span(0, 1, "a"),)))


@st.composite
def marked(draw: st.DrawFn, words: int) -> list[Span]:
    cuts = sorted(draw(st.sets(st.integers(0, words), max_size=6)))
    labels = draw(st.lists(st.sampled_from(["A", "C-D", None]), min_size=6, max_size=6))
    spans = zip(itertools.pairwise(cuts), labels, strict=False)
    return [Span(begin, end, label) for (begin, end), label in spans if label is not None]


@given(st.lists(st.tuples(marked(8), marked(8)), min_size=1, max_size=4))
def test_figures_are_seqevals(pairs: list[tuple[list[Span], list[Span]]]) -> None:
    truth, found = [list(side) for side in zip(*pairs, strict=True)]
    figures = score(truth, found, words=[8] * len(pairs))
    gold, said = [[to_iob2(spans, words=8) for spans in side] for side in (truth, found)]
    if not any(truth) and not any(found):
        assert figures == (0.0, 0.0, 0.0, {})
        return
    for mode in ({}, {"mode": "strict", "scheme": IOB2}):
        with warnings.catch_warnings(action="ignore"):
            theirs = [
                measure(gold, said, zero_division=0, **mode)
                for measure in (precision_score, recall_score, f1_score)
            ]
        assert figures[:3] == pytest.approx(tuple(theirs))
    assert set(figures.per_type) == {
        span.label for side in (truth, found) for spans in side for span in spans
    }
    for label, row in figures.per_type.items():
        assert row["support"] == sum(span.label == label for spans in truth for span in spans)
        right = sum(
            span.label == label and span in spans
            for spans, others in zip(truth, found, strict=True)
            for span in others
        )
        assert row["precision"] * sum(
            span.label == label for spans in found for span in spans
        ) == pytest.approx(right)


@pytest.mark.parametrize(
    ("offsets", "firsts"),
    [
        ([(0, 2), (3, 5), (5, 7), (8, 9)], [0, 1, 3]),
        ([(0, 1), (1, 2), (3, 7), (8, 9)], [0, 2, 3]),
        ([(0, 2), (2, 2), (3, 3), (3, 7), (7, 7), (8, 9)], [0, 3, 5]),  # white space by itself
        ([(0, 7), (8, 9)], [0, PART, 1]),
        ([(0, 9)], [0, PART, PART]),
        ([(0, 4), (4, 9)], [0, 1, PART]),
        ([(0, 2), (8, 9)], [0, NOTHING, 1]),
        ([(0, 2)], [0, NOTHING, NOTHING]),
        ([(3, 4), (3, 4), (4, 7), (8, 9), (8, 9)], [NOTHING, 0, 3]),  # bytes of one character
        ([], [NOTHING] * 3),
    ],
)
def test_first_tokens(offsets: list[tuple[int, int]], firsts: list[int]) -> None:
    assert first_tokens([(0, 2), (5, 9), (9, 10)], offsets).tolist() == firsts


TEXTS = ["Anna lives in Big Rock, near Oslo.", "Bert and Carla like Lima; Dora does not."] * 20


def sentence(text: str) -> Sentence:
    return Sentence(text, tuple(split_words(text)), (), "a.jsonl:1")


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "words", "characters"])
def test_each_word_has_its_own_first_token(kind: str) -> None:
    tokenizer = train_tokenizer(TEXTS, kind=kind, special=[MASK])
    one = sentence("Anna  lives;in Oslo,\u200b 日本 \u0301x")
    (read,) = read_sentences([one], tokenizer, maximum=64)
    (window,) = read.windows
    text = spaced(one)
    assert text.split(" ")[:5] == ["Anna", "lives", ";", "in", "Oslo"]
    assert set(range(5)) <= set(window.words.tolist())
    for word, at in zip(window.words, window.at, strict=True):
        begin, end = window.reading.offsets[at]
        start = sum(len(each) + 1 for each in text.split(" ")[:word])
        assert begin == start and end > start
    assert window.reading.ids[0] == tokenizer.bos_id and window.reading.ids[-1] == tokenizer.eos_id


@given(st.integers(1, 120), st.integers(8, 40), st.integers(1, 5))
def test_windows_ask_for_each_word_once(words: int, maximum: int, letters: int) -> None:
    tokenizer = CHARACTERS
    one = sentence(" ".join("abcde"[:letters] for _ in range(words)))
    (read,) = read_sentences([one], tokenizer, maximum=maximum)
    asked = np.concatenate([window.words for window in read.windows])
    assert asked.tolist() == list(range(words))
    (whole,) = tokenizer.spans([spaced(one)])
    for window in read.windows:
        ids = window.reading.ids
        assert len(ids) <= maximum
        assert [ids[at] for at in window.at] == [whole.ids[token] for token in read.tokens[window.words]]
    if len(whole.ids) + 2 <= maximum:
        assert len(read.windows) == 1


CHARACTERS = train_tokenizer(["abcde abcde"], kind="characters", special=[MASK])
SMALL = {"width": 16, "encoder_layers": 1, "heads": 2, "feed_forward": 32}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, kind="characters", special=[MASK])


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Tag:
    folder = tmp_path_factory.mktemp("tag")
    lines = ["Anna B-PER\nlives O\nin O\nBig B-LOC\nRock I-LOC\n", "Bert B-PER\nsleeps O\n"] * 10
    lines.append("".join(f"{word} O\n" for word in ["abc"] * 30))
    for name in ("a", "b"):
        (folder / f"{name}.conll").write_text("\n".join(lines))
    run = TagRun(
        data=DataConfig(train=(f"{folder}/a.conll",), valid=(f"{folder}/b.conll",), max_tokens=40),
        tag=TagConfig(),
        model=ModelConfig(architecture="encoder", vocabulary=tokenizer.vocab_size, **SMALL),
        train=TrainConfig(smoothing=0.0),
    )
    return Tag(TagProblem(run), tokenizer=tokenizer)


def model_for(task: Tag) -> Encoder:
    torch.manual_seed(0)
    return task.problem.make_model(task.problem.run.model).eval()


def test_the_loss_is_a_sum_over_words(task: Tag) -> None:
    model = model_for(task)
    rows = np.arange(len(task.rows))
    whole = task.collate(rows)
    losses = [task.loss(model, task.collate([row]))["words"] for row in rows]
    together = task.loss(model, whole)["words"]
    words = sum(len(each.words) for each in task.problem.train)
    assert together.count == sum(each.count for each in losses) == task.count(whole)["words"] == words
    assert float(together.total.detach()) == pytest.approx(
        sum(float(each.total.detach()) for each in losses), rel=1e-5
    )


def test_labels_stand_at_first_tokens_alone(task: Tag, tokenizer: Tokenizer) -> None:
    row = next(row for row in range(len(task.rows)) if "Rock" in task.problem.train[row].text)
    batch = task.collate([row])
    (ids,), (labels,) = batch["ids"].tolist(), batch["labels"].tolist()
    labelled = [at for at, label in enumerate(labels) if label != IGNORED]
    assert "".join(tokenizer.tokens([ids[at] for at in labelled])) == "AliBR"
    assert [task.problem.labels[labels[at]] for at in labelled] == ["B-PER", "O", "O", "B-LOC", "I-LOC"]


def test_long_sentences_are_read_in_windows_and_told(task: Tag) -> None:
    assert task.lengths.max() == 40
    assert len(task.rows) > len(task.problem.train)
    told = "sentences longer than 40 tokens, which are read in windows: 1"
    assert task.left_out == [f"training: {told}", f"held-out: {told}"]


def test_validation_measures_what_is_predicted(task: Tag) -> None:
    model = model_for(task)
    found = task.validate(model, scored=task.scored)
    assert found is not None and found.goal == "f1" and set(found.scores) == {"f1", "precision", "recall"}
    losses = [task.loss(model, {**task.collate([0]), **batch})["words"] for batch in held_batches(task)]
    total = sum(float(each.total.detach()) for each in losses)
    assert found.loss == pytest.approx(total / sum(each.count for each in losses), rel=1e-5)
    spans = [
        TagSet(task.problem.labels).spans(task.tags.best(scores, read.tokens))
        for scores, read in zip(
            predict(Reader(model), task.held, labels=model.labels), task.held, strict=True
        )
    ]
    figures = score(
        [each.spans for each in task.valid], spans, words=[len(each.words) for each in task.valid]
    )
    assert found.scores["f1"] == figures.f1


def held_batches(task: Tag) -> Iterator[dict[str, torch.Tensor]]:
    rows = task.rows
    try:
        task.rows = task._rows(task.valid, task.held)
        yield from [task.collate([row]) for row in range(len(task.rows))]
    finally:
        task.rows = rows


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


ONE = "Anna B-PER\nlives O\n"


@pytest.mark.parametrize(
    ("train", "valid", "options", "message"),
    [
        ("a O\n\nb O\n", None, {}, r"train\.conll: not a single entity to learn from"),
        (
            ONE,
            None,
            {},
            r"train\.conll: one sentence alone, so that none can be held out: name others with --valid",
        ),
        (ONE, "Oslo B-LOC\n", {}, r'valid\.conll:1: the label "LOC" was not seen in training \(known: PER\)'),
        (ONE, "a O\n\nb X\n", {}, r'valid\.conll:3: the tag "X" fits no scheme'),
        (ONE, ONE, {"columns": "word,tag"}, "--columns names the columns of a table with a header"),
        (ONE, ONE, {"overrides": {"tag.scheme": "bioes"}}, r"train\.conll:1: .* is not ended by an"),
        (ONE, ONE, {"overrides": {"tag.scheme": "bio"}}, "tag.scheme"),
    ],
)
def test_wrong_data(
    train: str, valid: str | None, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    files = {"train": write(tmp_path, "train.conll", train)}
    if valid is not None:
        files["valid"] = write(tmp_path, "valid.conll", valid)
    with pytest.raises(UserError, match=message):
        weft.train("tag", out=tmp_path / "run", steps=1, **files, **options)
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_with_its_own_text_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    train = write(tmp_path, "train.conll", f"{ONE}\n" * 20)
    small = {f"model.{name}": value for name, value in SMALL.items()}
    with monkeypatch.context() as patched:
        patched.setattr("weft.training.loop.Trainer.run", stop)
        with pytest.raises(KeyboardInterrupt):
            weft.train("tag", train=train, out=tmp_path / "run", steps=2, overrides=small)
    write(tmp_path, "train.conll", f"{ONE}\n" * 19 + "\n\nAnna O\nlives O\n")
    with pytest.raises(
        UserError, match=r"train\.conll: not the text that this run began with: put that back"
    ):
        weft.resume(tmp_path / "run")
    write(tmp_path, "train.conll", f"{ONE}\n\n" * 20)
    assert weft.resume(tmp_path / "run").steps == 2
