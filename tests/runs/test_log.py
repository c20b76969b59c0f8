from pathlib import Path

import pytest

from weft.errors import UserError
from weft.runs.log import Log, read_log


def write(path: Path, records: list[dict[str, object]]) -> None:
    with Log(path, step=0) as log:
        for record in records:
            log.write(record)


def test_records_come_back(tmp_path: Path) -> None:
    records = [{"event": "start", "text": "Äpfel\n"}, {"step": 1, "loss": 0.1}, {"step": 2, "loss": 0.3}]
    write(tmp_path / "log.jsonl", records)
    assert read_log(tmp_path / "log.jsonl") == records


def test_resuming_cuts_what_came_after_the_step(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(
        path,
        [{"event": "start"}, {"step": 1}, {"step": 2}, {"event": "saved"}, {"step": 3}, {"event": "end"}],
    )
    with Log(path, step=2) as log:
        log.write({"step": 3, "again": True})
    assert read_log(path) == [
        {"event": "start"},
        {"step": 1},
        {"step": 2},
        {"event": "saved"},
        {"step": 3, "again": True},
    ]


@pytest.mark.parametrize("torn", [b'{"step": 2', b'{"step": 2}', b"\xff\xfe", b"{"])
def test_a_torn_last_line_is_left_out_and_cut(torn: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n' + torn)
    assert read_log(path) == [{"step": 1}]
    with Log(path, step=9) as log:
        log.write({"step": 2})
    assert path.read_bytes() == b'{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff", b""])
def test_a_damaged_line_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"log\.jsonl:2: not a (line of JSON|JSON object)"):
        read_log(path)


def test_what_json_cannot_say_is_null(tmp_path: Path) -> None:
    write(tmp_path / "log.jsonl", [{"loss": float("nan"), "best": float("inf")}])
    assert read_log(tmp_path / "log.jsonl") == [{"loss": None, "best": None}]


def test_a_full_disk_is_a_clear_error_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with Log(path, step=0) as log:
        log.write({"step": 1})
        size = path.stat().st_size

        class Full:
            """A file on a disk that takes five more bytes."""

            def __init__(self, inner):
                self.inner, self.room = inner, 5

            def write(self, content):
                if not self.room:
                    raise OSError("No space left on device")
                written = self.inner.write(bytes(content[: self.room]))
                self.room -= written
                return written

            def __getattr__(self, name):
                return getattr(self.inner, name)

        log._file = Full(log._file)
        with pytest.raises(UserError, match=r"log\.jsonl: cannot be written \(No space left on device\)"):
            log.write({"step": 2})
    assert path.stat().st_size == size
    assert read_log(path) == [{"step": 1}]
