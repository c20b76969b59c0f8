"""A graph of ONNX operators, written as the model is read: one line for each operator."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.errors import UserError
from weft.interchange.extras import need

__all__ = ["OPSET", "Graph", "Value"]

Array = NDArray[Any]
Value = Any
"""A tensor in a graph, which is known by its name."""

OPSET = 17
"""The first with LayerNormalization; ONNX Runtime's mobile and web builds have all operators of it that are used here."""

_IR = 8  # the file format that belongs to it
MOST_BYTES = 2**31 - 1  # of a file, by its format

_LARGEST = 127  # of eight bits, as far below zero as above
_TYPES = {"float32": 1, "int64": 7}  # in ONNX's enumeration


class Graph:
    """`graph.Add(x, y, name=…)` appends an operator and gives its output, or a list of them with `outputs`.

    With `int8`, matrices and tables hold eight bits a weight, a scale for each row; products of matrices are of integers,
    what is multiplied with them rounded as it comes (Jacob et al. 2018, section 2).
    """

    def __init__(self, name: str, *, int8: bool = False) -> None:
        self.onnx: Any = need("onnx", extra="onnx")
        self.name = name
        self.int8 = int8
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.initializers: dict[str, Any] = {}
        self.size = 0  # of these, in bytes
        self.rounded: dict[str, tuple[Value, Value]] = {}
        """Tables of eight bits by name, each with its scales."""

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        if not operator[0].isupper():
            raise AttributeError(operator)

        def append(*inputs: Value, outputs: int = 1, **attributes: Any) -> Value | list[Value]:
            number = len(self.nodes)
            made = [f"{operator}_{number}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
            self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), made, **attributes))
            return made if outputs > 1 else made[0]

        return append

    def constant(self, value: Any, dtype: type = np.float32) -> Value:
        """A small tensor; equal ones are one."""
        array: Array = np.asarray(value, dtype)
        name = f"{array.dtype.name}{list(array.shape)}{array.ravel().tolist()}"
        return self.weight(name, array)

    def whole(self, *values: int) -> Value:
        """Whole numbers (N,), as shapes and axes are given."""
        return self.constant(values, np.int64)

    def weight(self, name: str, array: Array) -> Value:
        """A tensor that is part of the model. Raises UserError where it is one too much for a file."""
        if name not in self.initializers:
            self.size += array.nbytes
            if self.size > MOST_BYTES:
                less = "" if self.int8 else ": try --quantization int8"
                raise UserError(f"more than the 2 GiB of weights that an ONNX file may hold{less}")
            self.initializers[name] = self.onnx.numpy_helper.from_array(np.array(array, order="C"), name=name)
        return name

    def input(self, name: str, dtype: str, shape: Sequence[int | str]) -> Value:
        """A tensor that comes from outside; an axis of any length has a name."""
        self.inputs.append(self.onnx.helper.make_tensor_value_info(name, _TYPES[dtype], shape))
        return name

    def output(self, name: str, value: Value, shape: Sequence[int | str], *, dtype: str = "float32") -> None:
        """A tensor that goes outside under this name."""
        self.nodes.append(self.onnx.helper.make_node("Identity", [value], [name]))
        self.outputs.append(self.onnx.helper.make_tensor_value_info(name, _TYPES[dtype], shape))

    def linear(self, x: Value, name: str, matrix: Array, bias: Array | None = None) -> Value:
        """x Wᵀ + b for W (out, in): (…, in) to (…, out)."""
        if self.int8:
            table, scales = self._rounded(name, matrix)
            whole, scale, zero = self.DynamicQuantizeLinear(x, outputs=3)
            turned = self.Transpose(table, perm=[1, 0])  # made once, when the model is loaded
            product = self.cast(self.MatMulInteger(whole, turned, zero), "float32")
            y = self.Mul(product, self.Mul(scale, scales))
        else:
            y = self.MatMul(x, self.Transpose(self.weight(name, matrix), perm=[1, 0]))
        return y if bias is None else self.Add(y, self.weight(f"{name}.bias", bias))

    def look_up(self, name: str, table: Array, rows: Value) -> Value:
        """Rows of a table (R, D): (…,) to (…, D)."""
        if not self.int8:
            return self.Gather(self.weight(name, table), rows)
        whole, scales = self._rounded(name, table)
        vectors = self.cast(self.Gather(whole, rows), "float32")
        return self.Mul(vectors, self.Unsqueeze(self.Gather(scales, rows), self.whole(-1)))

    def cast(self, x: Value, dtype: str) -> Value:
        """The same numbers, or truths, as "float32" or "int64"."""
        return self.Cast(x, to=_TYPES[dtype])

    def length(self, x: Value, axis: int) -> Value:
        """How long a tensor is along an axis, (1,)."""
        return self.Shape(x, start=axis, end=axis + 1)

    def serialize(self) -> bytes:
        """The model as a file, checked."""
        helper = self.onnx.helper
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, list(self.initializers.values())
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR,
            producer_name="weft",
        )
        helper.set_model_props(model, {"precision": "int8" if self.int8 else "float32"})
        self.onnx.checker.check_model(model)
        found: bytes = model.SerializeToString()
        return found

    def _rounded(self, name: str, table: Array) -> tuple[Value, Value]:
        if name not in self.rounded:
            scales = np.maximum(np.abs(table).max(axis=1), 1e-12).astype(np.float32) / _LARGEST
            whole = np.rint(table / scales[:, None]).astype(np.int8)
            self.rounded[name] = self.weight(name, whole), self.weight(f"{name}.scales", scales)
        return self.rounded[name]
