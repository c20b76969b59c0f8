import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UserError
from weft.runs.folder import (
    file_of,
    finish_update,
    place_folder,
    read_manifest,
    refuse_used,
    update_folder,
    verify,
    write_folder,
)
from weft.runs.manifest import DamagedError, Manifest, parse_manifest

FILES = {"config.json": b'{"width": 8}', "model.safetensors": b"weights", "tokenizer.json": b"{}"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_folder(tmp_path / "model", kind="translate", files=FILES)
    return tmp_path / "model"


def test_a_folder_comes_back_as_it_was_written(model: Path) -> None:
    manifest = read_manifest(model)
    assert (manifest.kind, manifest.format) == ("translate", 1)
    assert {name: (model / name).read_bytes() for name in manifest.files} == FILES
    assert verify(model) == manifest
    assert sorted(entry.name for entry in model.parent.iterdir()) == ["model"]


def test_a_file_may_be_written_by_a_function(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.write_text("abc")

    manifest = write_folder(tmp_path / "model", kind="translate", files={"a.txt": write})
    assert manifest.files["a.txt"].size == 3
    assert verify(tmp_path / "model") == manifest


def test_files_have_the_rights_that_the_umask_gives(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        path.touch(mode=0o600)

    before = os.umask(0o027)
    try:
        write_folder(tmp_path / "model", kind="translate", files={"private": write})
    finally:
        os.umask(before)
    assert (tmp_path / "model" / "private").stat().st_mode & 0o777 == 0o640


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    with pytest.raises(
        UserError, match=r"model: cannot be written \(No space left on device\); nothing was changed"
    ):
        write_folder(tmp_path / "model", kind="translate", files=FILES | {"more": fail})
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-model-12345678").mkdir()
    (tmp_path / ".tmp-other-12345678").mkdir()
    write_folder(tmp_path / "model", kind="translate", files=FILES)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".tmp-other-12345678", "model"]


def test_a_folder_in_use_is_not_written_over(model: Path) -> None:
    with pytest.raises(UserError, match="model: there already, and not empty: give another --out"):
        write_folder(model, kind="translate", files={})
    assert verify(model).files.keys() == FILES.keys()


def test_a_run_in_the_way_can_be_resumed(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match=rf"weft train --resume {tmp_path}\) or give another --out"):
        refuse_used(tmp_path)


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    write_folder(tmp_path, kind="translate", files=FILES)
    assert verify(tmp_path).files.keys() == FILES.keys()


def test_an_update_replaces_and_keeps(model: Path) -> None:
    manifest = update_folder(
        model, kind="translate", files={"model.safetensors": b"better", "more.txt": b"!"}
    )
    assert verify(model) == manifest
    assert (model / "model.safetensors").read_bytes() == b"better"
    assert sorted(manifest.files) == ["config.json", "model.safetensors", "more.txt", "tokenizer.json"]
    assert sorted(entry.name for entry in model.iterdir()) == sorted(["manifest.json", *manifest.files])


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_an_update_cut_short_is_read_as_the_new_one(model: Path, moved: int) -> None:
    kept = read_manifest(model).files
    names = ["config.json", "model.safetensors"]
    staged = model / ".next"
    place_folder(staged, kind="translate", files=dict.fromkeys(names, b"new"), kept=kept)
    for name in names[:moved]:
        (staged / name).replace(model / name)
    assert verify(model).files["config.json"].size == 3
    assert file_of(model, "model.safetensors").read_bytes() == b"new"
    finish_update(model)
    assert not staged.exists()
    assert verify(model).files.keys() == FILES.keys()
    assert (model / "model.safetensors").read_bytes() == b"new"


def test_a_changed_byte_is_found(model: Path) -> None:
    (model / "config.json").write_bytes(b'{"width": 9}')
    assert read_manifest(model).files.keys() == FILES.keys()  # sizes alone do not show it
    with pytest.raises(DamagedError, match=r"config\.json: checksum differs .* the file is damaged"):
        verify(model)


def test_a_cut_file_is_found_at_once(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"wei")
    with pytest.raises(DamagedError, match=r"model\.safetensors: 3 bytes where 7 were written"):
        read_manifest(model)


def test_a_lost_file_is_found_at_once(model: Path) -> None:
    (model / "tokenizer.json").unlink()
    with pytest.raises(DamagedError, match=r"tokenizer\.json: missing"):
        read_manifest(model)


def zip_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")


def edit(path: Path, **changes: object) -> None:
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


LOOKS: list[tuple[str, Callable[[Path], object], str]] = [
    ("nothing", lambda p: (p.parent / "runs-1").mkdir(), r'runs: no such folder \(did you mean "runs-1"\?\)'),
    ("file", lambda p: p.write_text("text"), "runs: a file, where the folder of a model is needed"),
    ("pickle", lambda p: p.write_bytes(pickle.dumps({})), "runs: a Python pickle: .* convert it"),
    ("zip pickle", zip_pickle, "runs: a Python pickle: .* convert it"),
    ("empty", lambda p: p.mkdir(), r"not a folder of weft's: it has no manifest\.json"),
    (
        "hugging face",
        lambda p: (p.mkdir(), (p / "config.json").write_text('{"model_type": "marian"}')),
        "a Hugging Face folder: import it first: weft import .*runs --out RUN",
    ),
    (
        "hugging face pickle",
        lambda p: (
            p.mkdir(),
            (p / "config.json").write_text('{"architectures": []}'),
            (p / "pytorch_model.bin").write_bytes(pickle.dumps({})),
        ),
        "a Hugging Face folder: its weights are a pickle",
    ),
    (
        "ctranslate2",
        lambda p: (p.mkdir(), [(p / n).write_text("{}") for n in ("model.bin", "shared_vocabulary.json")]),
        "a model for CTranslate2",
    ),
    ("pickles", lambda p: (p.mkdir(), zip_pickle(p / "best.pt")), r"best\.pt is a Python pickle"),
    (
        "no manifest",
        lambda p: (p / "checkpoints").mkdir(parents=True),
        "damaged: a run without its manifest.json",
    ),
    ("parent", lambda p: write_folder(p / "a", kind="t", files={}), "no model here, but inside it: .*runs/a"),
    (
        "newer",
        lambda p: (write_folder(p, kind="t", files={}), edit(p, format=99, weft="9.0")),
        "written by weft '9.0' in format 99, .* update weft",
    ),
    (
        "format",
        lambda p: (write_folder(p, kind="t", files={}), edit(p, format="x")),
        "format 'x' is none of weft's",
    ),
    ("other manifest", lambda p: (p.mkdir(), (p / "manifest.json").write_text("{}")), "not written by weft"),
    (
        "no json",
        lambda p: (p.mkdir(), (p / "manifest.json").write_text("{")),
        "the file is damaged: it is not JSON",
    ),
    (
        "way out",
        lambda p: (
            write_folder(p, kind="t", files={}),
            edit(p, files={"../secret": {"size": 1, "sha256": "0" * 64}}),
        ),
        "'../secret' is not the plain name of a file",
    ),
    (
        "checkpoint",
        lambda p: write_folder(p, kind="checkpoint", files={}),
        "a checkpoint of a run: give the run itself",
    ),
]


@pytest.mark.parametrize(("make", "message"), [look[1:] for look in LOOKS], ids=[look[0] for look in LOOKS])
def test_whatever_is_no_model_is_named(make: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "outer" / "runs"
    path.parent.mkdir()
    make(path)
    with pytest.raises(UserError, match=message) as caught:
        read_manifest(path)
    assert "\n" not in str(caught.value)


def test_the_file_of_a_model_leads_to_its_folder(model: Path) -> None:
    with pytest.raises(UserError, match=rf"a file, where the folder of a model is needed: give {model}$"):
        read_manifest(model / "config.json")


@pytest.mark.parametrize("name", ["a sentence " * 40, "nul\0"])
def test_what_cannot_be_a_path_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError):
        read_manifest(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
GARBAGE = st.fixed_dictionaries(
    {"format": st.just(1) | JSON, "weft": JSON, "files": JSON}, optional={"kind": JSON, "other": JSON}
)


@given(st.binary() | GARBAGE.map(lambda data: json.dumps(data).encode()) | st.just(b"[" * 100_000))
def test_garbage_for_a_manifest_is_a_clear_error(content: bytes) -> None:
    try:
        manifest = parse_manifest(content, path=Path("manifest.json"))
    except UserError as error:
        message = str(error)
    else:
        message = "manifest.json: read"
        assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
    assert message.startswith("manifest.json: ")
