import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from weft.errors import UserError
from weft.runs.folder import write_folder
from weft.runs.tensors import load_tensors, read_tensors, save_tensors

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.uint8, torch.bool)


def save(path: Path, **tensors: Tensor) -> Path:
    save_tensors(path / "model.safetensors", tensors)
    return path


def save_parts(path: Path) -> Path:
    save_file({"a": torch.zeros(2)}, path / "one.safetensors")
    save_file({"b": torch.ones(3)}, path / "two.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def test_every_type_and_shape_comes_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {str(dtype): (torch.randn(3, 5) * 9).to(dtype) for dtype in DTYPES}
    tensors |= {"scalar": torch.tensor(0.1), "empty": torch.zeros(0, 4), "turned": torch.randn(4, 3).T}
    save_tensors(tmp_path / "x.safetensors", tensors)
    again = read_tensors(tmp_path / "x.safetensors")
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)
        assert again[name].numel() == 0 or again[name].data_ptr() % 64 == 0


def test_tied_weights_are_written_once_and_come_back_under_all_names(tmp_path: Path) -> None:
    model = nn.ModuleList([nn.Embedding(100, 32), nn.Linear(32, 100, bias=False)])
    model[1].weight = model[0].weight
    save(tmp_path, **model.state_dict())
    assert (tmp_path / "model.safetensors").stat().st_size < 1.1 * 100 * 32 * 4
    again = load_tensors(tmp_path, {name: tensor.shape for name, tensor in model.state_dict().items()})
    assert again["0.weight"] is again["1.weight"]
    assert torch.equal(again["1.weight"], model[0].weight)


def test_views_of_one_memory_come_back(tmp_path: Path) -> None:
    fused = torch.randn(6, 4)
    save(tmp_path, query=fused[:2], key=fused[2:4], all=fused, gradient=fused.clone().requires_grad_())
    again = read_tensors(tmp_path)
    assert torch.equal(again["all"], fused)
    assert torch.equal(torch.cat([again["query"], again["key"]]), fused[:4])
    assert not again["gradient"].requires_grad


def test_parts_are_read_as_one(tmp_path: Path) -> None:
    tensors = load_tensors(save_parts(tmp_path), {"a": (2,), "b": (3,)})
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"a": [0, 0], "b": [1, 1, 1]}


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"a.weight": (2, 3)}, "tensor 'b.bias' that the model does not have"),
        ({"a.weights": (2, 3), "b.bias": (3,)}, r"no tensor 'a\.weights' \(did you mean \"a\.weight\"\?\)"),
        ({"a.weight": (2, 3), "b.bias": (3,), "x": (), "y": ()}, "no tensor 'x' and 1 more"),
        ({"a.weight": (3, 2), "b.bias": (3,)}, r"a\.weight: shape \[2, 3\] where the model has \[3, 2\]"),
    ],
)
def test_names_and_shapes_are_held_to(
    expected: dict[str, tuple[int, ...]], message: str, tmp_path: Path
) -> None:
    save(tmp_path, **{"a.weight": torch.zeros(2, 3), "b.bias": torch.zeros(3)})
    with pytest.raises(UserError, match=message):
        load_tensors(tmp_path, expected)


def test_a_lost_part_is_named(tmp_path: Path) -> None:
    (save_parts(tmp_path) / "two.safetensors").unlink()
    with pytest.raises(UserError, match=r"two\.safetensors: missing, though model\.safetensors\.index\.json"):
        read_tensors(tmp_path)


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../b"}}', '{"weight_map": {"a": 1}}']
)
def test_a_damaged_index_is_named(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(
        UserError, match=r"index\.json: (the file is damaged|.* is not the plain name of a file)"
    ):
        read_tensors(tmp_path)


@pytest.mark.parametrize("length", [0, 5, 40, 150])
def test_a_cut_file_is_named(length: int, tmp_path: Path) -> None:
    file = save(tmp_path, a=torch.zeros(64)) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(UserError, match=r"model\.safetensors: the file is damaged, or is no safetensors"):
        read_tensors(tmp_path)


@pytest.mark.parametrize("aliases", ["{", "[1]", '{"b": "gone"}', '{"b": [1]}'])
def test_damaged_aliases_are_named(aliases: str, tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"aliases": aliases})
    with pytest.raises(UserError, match=r"model\.safetensors: the file is damaged"):
        read_tensors(tmp_path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    for path in (tmp_path, tmp_path / "pytorch_model.bin"):
        with pytest.raises(UserError, match=r"a Python pickle: .* convert it"):
            read_tensors(path)


def test_a_folder_without_weights_says_why(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model\.safetensors"):
        read_tensors(tmp_path)
    with pytest.raises(UserError, match="gone: no such folder"):
        read_tensors(tmp_path / "gone")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="has no model yet: go on with it"):
        read_tensors(tmp_path)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        save_tensors(path / "no folder" / "x", {"a": torch.zeros(1)})

    with pytest.raises(UserError, match=r"model: cannot be written .*No such file"):
        write_folder(tmp_path / "model", kind="translate", files={"model.safetensors": fail})
    assert list(tmp_path.iterdir()) == []
