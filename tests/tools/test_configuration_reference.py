import importlib.util
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "configuration_reference.py"
spec = importlib.util.spec_from_file_location("configuration_reference", TOOL)
assert spec is not None
assert spec.loader is not None
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def test_every_setting_has_its_words_and_no_other() -> None:
    assert [setting.key for setting in reference.every_setting()] == list(reference.MEANING)


def test_the_page_says_what_the_code_does() -> None:
    written = reference.PAGE.read_text(encoding="utf-8")
    assert written == reference.page(), "write it anew: python tools/configuration_reference.py"
