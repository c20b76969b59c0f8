"""Spam: train a filter on the SMS Spam Collection, measure it on messages it never saw, use it, and see what it goes by.

    python examples/spam.py --minutes 2

The data are in the folder sms_spam of WEFT_DATA. They have no test set: a fifth of the different messages is kept apart.
"""

import argparse
import os
import random
from collections.abc import Sequence
from pathlib import Path

import weft

DATA = Path(os.environ.get("WEFT_DATA", "../shared/data")) / "sms_spam" / "SMSSpamCollection.tsv"
MESSAGES = (
    "WINNER!! Claim your free prize now: call 09061234567, 150p per minute.",
    "Are you coming home for dinner, or shall I eat without you?",
    "Your parcel could not be delivered. Text YES to 80082 for a new date.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, classify, explain."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--steps", type=int, help="so many steps, in place of minutes")
    parser.add_argument("--out", type=Path, default=Path("runs/spam"))
    asked = parser.parse_args(arguments)
    if not DATA.is_file():
        print(f"Skipped: there is no {DATA}; WEFT_DATA names the folder of data sets.")
        return

    asked.out.mkdir(parents=True, exist_ok=True)
    lines = sorted(set(DATA.read_text(encoding="utf-8").split("\n")) - {""})  # in which none is twice
    random.Random(1).shuffle(lines)
    for name, part in (("test", lines[::5]), ("train", [line for at, line in enumerate(lines) if at % 5])):
        (asked.out / f"{name}.tsv").write_text("\n".join(part) + "\n", encoding="utf-8")

    length = {"minutes": asked.minutes} if asked.steps is None else {"steps": asked.steps}
    print("Training for", *(f"{count} {unit}" for unit, count in length.items()))
    model = asked.out / "model"
    weft.train("classify", train=asked.out / "train.tsv", columns="label,text", out=model, **length)
    spam_filter = weft.load(model, precision="float32")
    found = spam_filter.evaluate(asked.out / "test.tsv")
    print(f"F1 of spam on {found.texts:,} other messages: {found.per_label['spam']['f1']:.3f}")

    for message, answer in zip(MESSAGES, spam_filter.classify(MESSAGES), strict=True):
        print(f"\n{message}\n{answer.label}, {answer.probabilities[answer.label]:.0%} sure; it rests on")
        why = spam_filter.inspect(message, out=asked.out / "why.html")
        for mark in sorted(why.marks[0], key=lambda mark: -abs(mark.score))[:4]:
            print(f"  {mark.score:+.2f}  {message[mark.begin : mark.end]}")


if __name__ == "__main__":
    main()
