"""`weft demo`: a translator between three languages, from nothing, while one watches."""

import shutil
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from weft.cli.options import Device, Json
from weft.cli.output import print_json, print_table, say
from weft.cli.train import watch
from weft.corpus import write_corpus
from weft.errors import UserError

if TYPE_CHECKING:
    from weft.api import Evaluation, Translator

__all__ = ["app"]

LANGUAGES = ("en", "de", "fr")
# Sentences to measure by, in six directions each: more would cost the reader's patience.
VALID, HELD_OUT = 100, 200
SHOWN = 2  # sentences of which all translations are shown
ABOUT = """\
Made by `weft demo`, which may write it anew: keep nothing of your own here.

train, valid and test: sentences that a grammar made, line by line translations of each other
model: the translator that was trained on them, for `weft translate` and the others
attention.html: where it looked while it translated
"""

app = App(
    name="demo",
    help_epilogue="A grammar makes sentences in English, German and French; a model learns to translate between them, "
    "and is measured on sentences with pairs of words that it never saw together.",
)


@app.default
def demo(
    folder: Path = Path("weft-demo"),
    /,
    *,
    minutes: Annotated[float, Parameter(help="How long to train.")] = 2.6,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Train a translator between English, German and French on sentences that a grammar makes, and try it.

    Parameters
    ----------
    folder
        Where everything goes; a folder with something else in it is left alone.
    """
    from weft.api import train
    from weft.loading import load

    prepare(folder)
    if not as_json:
        say(f"A grammar writes sentences in English, German and French into {folder}.")
    write_corpus(folder, valid=VALID, test=HELD_OUT)
    pattern = f"{{{','.join(LANGUAGES)}}}"
    watch(
        lambda report: train(
            "translate",
            train=f"{folder}/train.{pattern}",
            valid=f"{folder}/valid.{pattern}",
            out=folder / "model",
            preset="micro",
            minutes=minutes,
            device=device,
            report=report,
        ),
        out=folder / "model",
        as_json=as_json,
    )
    translator = load(folder / "model", device=device)
    evaluations = [
        translator.evaluate(f"{folder}/test.{pattern}", from_language=source, to_language=target)
        for source, target in permutations(LANGUAGES, 2)
    ]
    sentences = examples(translator, folder)
    page = folder / "attention.html"
    translator.inspect(sentences[0]["de"], out=page, from_language="de", to_language="en")
    tell(folder, evaluations, sentences, as_json=as_json)


def prepare(folder: Path) -> None:
    """Make the folder, or clear what an earlier demo left in it; a UserError where it is somebody else's."""
    about = folder / "about.txt"
    if folder.is_dir() and any(folder.iterdir()) and not (about.is_file() and about.read_text() == ABOUT):
        raise UserError(f"{folder}: in use: name another folder, as in weft demo my-demo")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: a file: name a folder, as in weft demo my-demo")
    folder.mkdir(parents=True, exist_ok=True)
    about.write_text(ABOUT)
    if (folder / "model").is_dir():
        shutil.rmtree(folder / "model")


def examples(translator: "Translator", folder: Path) -> list[dict[str, Any]]:
    """Held-out sentences as they are in each language, with the translations in all directions."""
    lines = {
        language: (folder / f"test.{language}").read_text(encoding="utf-8").splitlines()[:SHOWN]
        for language in LANGUAGES
    }
    found: list[dict[str, Any]] = [
        dict(zip(lines, texts, strict=True)) for texts in zip(*lines.values(), strict=True)
    ]
    for source, target in permutations(LANGUAGES, 2):
        answers = translator.translate(lines[source], from_language=source, to_language=target)
        for sentence, answer in zip(found, answers, strict=True):
            sentence.setdefault("translations", {})[f"{source}-{target}"] = answer.text
    return found


def tell(
    folder: Path, evaluations: "list[Evaluation]", sentences: list[dict[str, Any]], *, as_json: bool
) -> None:
    """What the translator can do, and what to do next."""
    page = folder / "attention.html"
    bleu = sum(found.bleu for found in evaluations) / len(evaluations)
    exact = sum(found.exact for found in evaluations) / len(evaluations)
    if as_json:
        print_json({"event": "demo", "bleu": bleu, "exact": exact, "directions": evaluations, "page": page})
        return
    rows = [
        {"direction": found.direction, "BLEU": found.bleu, "exactly right": f"{found.exact:.0%}"}
        for found in evaluations
    ]
    rows.append({"direction": "all", "BLEU": bleu, "exactly right": f"{exact:.0%}"})
    print_table(rows, title="Sentences that it never saw, with pairs of words that it never saw together")
    for sentence in sentences:
        say("")
        for direction, translation in sentence["translations"].items():
            source, target = direction.split("-")
            say(f"{source}  {sentence[source]}", f"  → {target}  {translation}")
    say(
        "",
        f"Where it looked while it translated: {page}",
        f'More of it:      weft translate {folder / "model"} "{sentences[0]["de"]}" --from de --to fr',
        "Your own files:  weft train translate --train 'FOLDER/train.{de,en}' --valid 'FOLDER/valid.{de,en}' "
        "--from de --to en --out runs/mine --minutes 12",
    )
