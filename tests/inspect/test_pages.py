"""The page: self-contained, small, and safe whatever the text."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from weft.errors import UserError
from weft.inspect.heads import Group, translation_groups
from weft.inspect.maps import AttentionMaps
from weft.inspect.marks import Mark
from weft.inspect.pages import Explained, Text, pack, page, write_page

HOSTILE = [
    "</script><img src=x onerror=alert(1)>",
    "</script x",
    "<!--<script>",
    "'\"&<b>",
    "{{data}}",
    "\\u003c",
    "\u2028",
    "a\nb",
    "",
    "שלום",
    "\ud800",
]


class Parsed(HTMLParser):
    """What a browser would see: the elements, their attributes, and the text in each."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag != "meta":
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, text: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += text

    @property
    def data(self) -> dict[str, list[dict[str, object]]]:
        return json.loads(self.texts["script"][0])


def random_weights(*shape: int) -> np.ndarray:
    weights = np.random.default_rng(0).random(shape) ** 4
    return weights / weights.sum(-1, keepdims=True)


def make_groups(source: list[str], target: list[str], *, layers: int = 2, heads: int = 2) -> list[Group]:
    counts = {
        "encoder": (len(source),) * 2,
        "decoder": (len(target),) * 2,
        "cross": (len(target), len(source)),
    }
    maps = {name: random_weights(layers, heads, *count) for name, count in counts.items()}
    decoder = np.tril(maps["decoder"])
    maps["decoder"] = decoder / decoder.sum(-1, keepdims=True)
    return translation_groups(AttentionMaps(**maps), start="<s>", source_tokens=source, target_tokens=target)


def make_page(tokens: list[str], **fields: object) -> str:
    text = " ".join(tokens)
    texts = [Text("German", text, "de"), Text("English", text, "en")]
    return page(make_groups(tokens, tokens), title="weft inspect", texts=texts, facts={"score": "−0.4"})


def unpack(packed: str, size: int) -> np.ndarray:
    """The inverse of `pack`, bit by bit."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(packed), np.uint8), bitorder="little")
    return bits.reshape(-1, 12)[:size] @ (1 << np.arange(12)) / 4095


@given(arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1, width=32)))
def test_weights_are_kept_to_half_a_step(weights: np.ndarray) -> None:
    assert np.abs(unpack(pack(weights), weights.size) - weights).max() <= 0.5 / 4095 + 1e-7


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan, np.inf])
def test_what_is_no_weight_is_not_packed(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        pack(np.array([0.5, wrong]))


def test_the_page_carries_texts_tokens_and_weights() -> None:
    parsed = Parsed(make_page(["▁Ein", "▁Schnee", "mann", "</s>"]))
    assert parsed.texts["dd"] == ["▁Ein ▁Schnee mann </s>"] * 2
    assert [attributes.get("lang") for tag, attributes in parsed.elements if tag == "dd"] == ["de", "en"]
    assert parsed.texts["li"] == ["score "]
    assert parsed.texts["b"] == ["−0.4"]
    cross, encoder, decoder = parsed.data["groups"]
    assert cross["rows"] == encoder["columns"] == ["Ein", "Schnee", "·mann", "</s>"]
    assert decoder["columns"] == ["<s>", "Ein", "Schnee", "·mann"]
    expected = make_groups(["a"] * 4, ["a"] * 4)[0].weights
    np.testing.assert_allclose(unpack(cross["weights"], expected.size), expected.ravel(), atol=1.3e-4)
    assert [len(layer) for layer in cross["perHead"]] == [2, 2]
    assert len(cross["perLayer"]) == 2
    assert set(cross["all"]) == {"words", "habits", "tokens", "entropy", "distance"}


def test_hostile_text_stays_text() -> None:
    parsed, tame = Parsed(make_page(HOSTILE)), Parsed(make_page(["a"] * len(HOSTILE)))
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in tame.elements]
    assert parsed.texts["script"][1] == tame.texts["script"][1]
    assert parsed.data["groups"][0]["rows"] == HOSTILE
    assert not set("<>&") & set(parsed.texts["script"][0])  # nothing in the data can look like a tag
    assert parsed.texts["dd"] == [" ".join(HOSTILE)] * 2


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_any_text_stays_text(tokens: list[str]) -> None:
    groups = [group_of(tokens)]
    content = page(
        groups, title=tokens[0], texts=[Text(tokens[0], tokens[-1], tokens[0])], facts={tokens[0]: tokens[-1]}
    )
    parsed = Parsed(content)
    plain = Parsed(
        page([group_of(["a"])], title="a", texts=[Text("a", "a", tokens[0] and "a")], facts={"a": "a"})
    )
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in plain.elements]
    assert len(parsed.data["groups"][0]["rows"]) == len(tokens)


def group_of(tokens: list[str]) -> Group:
    """An encoder alone, as a page of its own."""
    titles = {"title": "Self-attention", "about": "", "row_title": "token", "column_title": "looks at"}
    weights = random_weights(1, 2, len(tokens), len(tokens))
    return Group(name="self", rows=tokens, columns=tokens, weights=weights, offset=0, **titles)


def marked_page(text: str) -> str:
    """A text with a mark for each of its first letters, the second and third of them in a frame."""
    marks = [Mark(at, at + 1, letter, (-1.0) ** at * at) for at, letter in enumerate(text[:6])]
    texts = [Text("Text", text, marks=marks, focus=(1, 3))]
    explained = Explained(text, {text: text})
    return page([group_of(["a"])], title="weft inspect", texts=texts, explained=explained)


@pytest.mark.parametrize("text", [each for each in HOSTILE if len(each) > 5])
def test_hostile_text_stays_text_where_it_is_marked(text: str) -> None:
    parsed, tame = Parsed(marked_page(text)), Parsed(marked_page("x" * len(text)))
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in tame.elements]
    assert not any(name.startswith("on") or name == "style" for _, given in parsed.elements for name in given)
    titles = [given["title"] for tag, given in parsed.elements if "title" in given]
    assert titles == ["0.00", "−1.00", "+2.00", "−3.00", "+4.00", "−5.00"]
    rows = parsed.texts["th"][2:]
    assert rows == list(text[:6])
    assert parsed.texts["td"] == titles


def test_texts_without_marks_have_no_legend() -> None:
    assert "raises" in marked_page("x" * 9)
    assert "raises" not in make_page(["a"])


def test_nothing_is_loaded_from_anywhere() -> None:
    content = make_page(["▁Ein", "</s>"])
    addresses = set(re.findall(r"\w+://[^\s\"'<]*", content))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a namespace, which nothing fetches
    assert not re.search(r"\b(src|href|srcset)\s*=|url\(|@import|fetch\(|XMLHttpRequest|import\(", content)


def test_only_the_pages_own_script_and_style_may_run() -> None:
    parsed = Parsed(make_page(HOSTILE))
    (policy,) = [a["content"] for tag, a in parsed.elements if tag == "meta" and "http-equiv" in a]
    assert policy is not None
    for kind, content in (("script", parsed.texts["script"][1]), ("style", parsed.texts["style"][0])):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; ")
    assert not any(name.startswith("on") or name == "style" for _, a in parsed.elements for name in a)


def test_a_page_of_thirty_tokens_and_twelve_layers_is_small() -> None:
    tokens = [f"▁word{index}" for index in range(30)]
    groups = make_groups(tokens, tokens, layers=6, heads=8)
    assert len(page(groups, title="weft inspect", texts=[]).encode()) < 400_000


def test_writing_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, make_groups(HOSTILE, HOSTILE), title="weft inspect", texts=[Text("German", "\ud800ß")])
    assert Parsed(path.read_text(encoding="utf-8")).texts["dd"] == [
        "\ufffdß"
    ]  # half a character cannot be written
    with pytest.raises(UserError, match=re.escape(f"{tmp_path}: the page cannot be written: Is a directory")):
        write_page(tmp_path, [], title="", texts=[])
    with pytest.raises(UserError, match=r"nowhere/page.html: the page cannot be written: No such file"):
        write_page(tmp_path / "nowhere" / "page.html", [], title="", texts=[])


def opened(path: Path, view: str) -> str:
    """What a browser has made of a page."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium to open the page with")
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-sync",
    ]
    flags += ["--no-first-run", "--disable-component-update", f"--user-data-dir={path.parent / 'profile'}"]
    command = [browser, *flags, "--dump-dom", f"{path.as_uri()}#{view}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.slow
def test_marks_in_a_browser(tmp_path: Path) -> None:
    """The script takes over what the marks say, and shows the rest of the page."""
    path = tmp_path / "page.html"
    path.write_text(marked_page("x" * 9), encoding="utf-8")
    shown = opened(path, "self")
    assert shown.count('class="against s10"') == 1 and shown.count("<mark>") == 1
    assert " title=" not in shown.split("</header>")[0]
    assert 'id="head-title">Average of all 2 heads<' in shown


@pytest.mark.slow
@pytest.mark.parametrize("view", ["cross/2/1/row2", "decoder/1/column1", "cross", "nonsense/9"])
def test_in_a_browser(tmp_path: Path, view: str) -> None:
    groups = make_groups(["▁Ein", "▁Hund", HOSTILE[0]], ["▁A", "▁dog", HOSTILE[0]])
    path = tmp_path / "page.html"
    write_page(path, groups, title="weft inspect", texts=[Text("German", HOSTILE[0])])
    shown = opened(path, view)
    assert "<img" not in shown
    title = {"cross/2/1/row2": "Layer 2, head 1", "decoder/1/column1": "Layer 1, average of its heads"}
    assert f'id="head-title">{title.get(view, "Average of all 4 heads")}<' in shown
    assert len(re.findall(r'role="radio"', shown)) == 1 + 2 * (1 + 2)
    if view == "cross/2/1/row2":
        weight = groups[0].weights[1, 0, 1].max()
        word = ["Ein", "Hund", "&lt;/script&gt;"][int(groups[0].weights[1, 0, 1].argmax())]
        assert f"“dog” looks at “{word}" in shown
        assert re.search(rf"{100 * weight:.0f}(\.\d)?%", shown)
