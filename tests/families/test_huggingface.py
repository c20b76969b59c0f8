"""Hugging Face's folders: every type of float, shards, and clear words for what cannot be read."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from weft.errors import UserError
from weft.families.huggingface import encode_weights, read_json, read_weights, write_files


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_every_type_are_read_exactly(dtype: torch.dtype, tmp_path: Path) -> None:
    weight = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_file({"a": weight, "empty": weight[:0]}, tmp_path / "model.safetensors")
    read = read_weights(tmp_path, loader="AutoModel")
    assert read["a"].dtype == np.float32
    assert torch.equal(torch.from_numpy(read["a"]), weight.float())
    assert read["empty"].shape == (0, 3)


def test_weights_there_and_back(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    (tmp_path / "model.safetensors").write_bytes(encode_weights({"a": matrix.T, "b": matrix[0]}))
    read = read_weights(tmp_path, loader="AutoModel")
    assert np.array_equal(read["a"], matrix.T)
    assert np.array_equal(read["b"], matrix[0])


def test_integers_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, dtype=torch.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="a is of type I8"):
        read_weights(tmp_path, loader="AutoModel")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    for number, name in enumerate("ab"):
        save_file({name: torch.full((2,), float(number))}, tmp_path / f"model-{number}.safetensors")
    where = {name: f"model-{number}.safetensors" for number, name in enumerate("ab")}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return tmp_path


def test_shards(sharded: Path) -> None:
    assert {name: value.tolist() for name, value in read_weights(sharded, loader="AutoModel").items()} == {
        "a": [0, 0],
        "b": [1, 1],
    }


def test_a_missing_shard(sharded: Path) -> None:
    (sharded / "model-1.safetensors").unlink()
    with pytest.raises(UserError, match=r"model-1\.safetensors: missing, though .* names it"):
        read_weights(sharded, loader="AutoModel")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {"c": "model-0.safetensors"}}, "names c, which no shard holds"),
        ({"weight_map": {"a": "../model-0.safetensors"}}, "not the plain name of a file"),
        ({"weight_map": {"a": 1}}, "no map of weights"),
        ({}, "no map of weights"),
    ],
)
def test_a_wrong_index(index: dict[str, object], message: str, sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=message):
        read_weights(sharded, loader="AutoModel")


def test_a_damaged_file(tmp_path: Path) -> None:
    content = encode_weights({"a": np.ones(100, np.float32)})
    for damaged in (b"", content[:50], content[:-1]):
        (tmp_path / "model.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match="damaged, or no safetensors"):
            read_weights(tmp_path, loader="AutoModel")


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match=r"a pickle.*from_pretrained\('.*'\)\.save_pretrained"):
        read_weights(tmp_path, loader="AutoModel")


def test_no_weights_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model\.safetensors in it"):
        read_weights(tmp_path, loader="AutoModel")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_of_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config\.json: "):
        read_json(tmp_path / "config.json")


def test_files_are_written_to_a_new_folder_only(tmp_path: Path) -> None:
    write_files(tmp_path / "new" / "out", {"a": b"1", "b": b"2"})
    assert (tmp_path / "new" / "out" / "b").read_bytes() == b"2"
    with pytest.raises(UserError, match="not an empty folder: give another --out"):
        write_files(tmp_path / "new" / "out", {"c": b"3"})
    with pytest.raises(UserError, match="not an empty folder"):
        write_files(tmp_path / "new" / "out" / "a", {"c": b"3"})
    assert sorted(path.name for path in (tmp_path / "new").rglob("*")) == ["a", "b", "out"]


def test_a_folder_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_files(tmp_path / "out", {"a": b"1", "no/such/folder": b"2"})
    assert not list(tmp_path.iterdir())
