import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "check_links.py"


@pytest.fixture(scope="module")
def check_links() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_broken_links_are_named_with_their_line(check_links: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# What it `is`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# Top\n[good](other.md#what-it-is) [here](#top) [far](https://example.org/x)\n"
        "```\n[in code](nowhere.md)\n```\n`[also code](nowhere.md)`\n"
        '[bad](nowhere.md)\n[worse](other.md#missing)\n<img src="gone.png">\n'
    )
    assert check_links.broken_links(page) == [
        f"{page}:7: nowhere.md: no such file",
        f"{page}:8: other.md#missing: no such heading",
        f"{page}:9: gone.png: no such file",
    ]


def test_repeated_headings_are_numbered(check_links: ModuleType) -> None:
    assert check_links.anchors("# A b\n## A b\n~~~\n# code\n~~~\n") == {"a-b", "a-b-1"}
