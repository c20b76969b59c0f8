"""Sentiment: train a classifier on the Stanford Sentiment Treebank, measure it, use it, and see what it goes by.

    python examples/sentiment.py --minutes 5

The data are GLUE's phrases and the sentences of SST-2, in the folder sst2 of WEFT_DATA.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import weft

DATA = Path(os.environ.get("WEFT_DATA", "../shared/data")) / "sst2"
NAMES = {"0": "negative", "1": "positive"}  # as the data call them
REVIEWS = (
    "A gorgeous, witty, seductive film.",
    "Two hours of my life that I will never get back.",
    "It is not without charm, but the plot makes no sense at all.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, classify, explain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--steps", type=int, help="so many steps, in place of minutes")
    parser.add_argument("--out", type=Path, default=Path("runs/sentiment"))
    asked = parser.parse_args(arguments)
    if not (DATA / "phrases_train.tsv.gz").is_file():
        print(f"Skipped: there is no {DATA}/phrases_train.tsv.gz; WEFT_DATA names the folder of data sets.")
        return

    length = {"minutes": asked.minutes} if asked.steps is None else {"steps": asked.steps}
    print("Training for", *(f"{count} {unit}" for unit, count in length.items()))
    train, valid = DATA / "phrases_train.tsv.gz", DATA / "dev.tsv"
    weft.train("classify", train=train, valid=valid, text_column="sentence", out=asked.out, **length)

    classifier = weft.load(asked.out, precision="float32")
    found = classifier.evaluate(DATA / "test.tsv")
    print(f"Accuracy on the {found.texts:,} sentences of the test set: {found.figures['accuracy']:.1%}")

    for review, answer in zip(REVIEWS, classifier.classify(REVIEWS), strict=True):
        print(
            f"\n{review}\n{NAMES[answer.label]}, {answer.probabilities[answer.label]:.0%} sure; it rests on"
        )
        why = classifier.inspect(review, out=asked.out.with_name(f"{asked.out.name}.html"))
        for mark in sorted(why.marks[0], key=lambda mark: -abs(mark.score))[:4]:
            print(f"  {mark.score:+.2f}  {review[mark.begin : mark.end]}")


if __name__ == "__main__":
    main()
