"""Check that every relative link and anchor in the documents leads somewhere; prints those that do not."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HTML_LINK = re.compile(r"<(?:a|img)\s[^>]*(?:href|src)=\"([^\"]+)\"")
FENCE = re.compile(r"^ {0,3}(```|~~~)")
HEADING = re.compile(r"^ {0,3}#{1,6}\s+(.*?)\s*#*\s*$")
ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def prose(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines outside fenced code, with inline code blanked."""
    fence = None
    for number, line in enumerate(text.split("\n"), start=1):
        mark = FENCE.match(line)
        if mark and fence in (None, mark[1]):
            fence = None if fence else mark[1]
        elif fence is None:
            yield number, line


def anchors(text: str) -> set[str]:
    """The anchors a Markdown page offers: its headings as GitHub spells them, and explicit ones.

    >>> sorted(anchors("# What it is\\n## Fast, and *exact*\\n## What it is"))
    ['fast-and-exact', 'what-it-is', 'what-it-is-1']
    """
    found: set[str] = set()
    for _, line in prose(text):
        found.update(re.findall(r"<a\s[^>]*(?:id|name)=\"([^\"]+)\"", line))
        heading = HEADING.match(line)
        if not heading:
            continue
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = 0
        while (name := f"{slug}-{again}" if again else slug) in found:
            again += 1
        found.add(name)
    return found


def broken_links(document: Path) -> list[str]:
    """One line for each link of a document that leads nowhere."""
    broken = []
    for number, line in prose(document.read_text(encoding="utf-8")):
        visible = re.sub(r"`[^`]*`", "", line)
        for link in LINK.findall(visible) + HTML_LINK.findall(visible):
            if ELSEWHERE.match(link):
                continue
            name, _, anchor = link.partition("#")
            target = (document.parent / name) if name else document
            if not target.exists():
                broken.append(f"{document}:{number}: {link}: no such file")
            elif (
                anchor
                and target.suffix == ".md"
                and anchor not in anchors(target.read_text(encoding="utf-8"))
            ):
                broken.append(f"{document}:{number}: {link}: no such heading")
    return broken


def main() -> int:
    """Check the documents of the repository; the exit status is 1 where a link is broken."""
    root = Path(__file__).resolve().parent.parent
    documents = sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "guide").rglob("*.md")])
    broken = [line for document in documents for line in broken_links(document)]
    print("\n".join(broken) if broken else f"{len(documents)} documents, every link leads somewhere")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
