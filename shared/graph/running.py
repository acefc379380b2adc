"""A graph on ncnn: small, and fast on ARM and x86."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import ncnn
import numpy as np

from splitwire.shared.cores import usable_cores
from splitwire.shared.errors import GraphInvalid
from splitwire.shared.graph.reading import PICTURE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from splitwire.shared.graph.reading import Graph

_address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Runner:
    """Computes in float32 from float16 weights.

    ncnn's half-precision arithmetic stays off: a photograph of a cat brings VGG16 activations of 7,900, their
    Winograd transforms are larger still, and float16 ends at 65,504.
    """

    def __init__(self, graph: Graph) -> None:
        """Load a graph with its weights.

        Raises:
            GraphInvalid: ncnn can't load it.

        """
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = usable_cores()
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = options.use_bf16_packed = False
        if self._net.load_param_mem(graph.text()) or self._net.load_model(_Weights(graph)):
            raise GraphInvalid("ncnn can't load it")

    def __call__(self, picture: NDArray[np.float32]) -> Outputs:
        """Take a prepared picture, float32 [3, rows, columns], to outputs that are computed when they are asked for."""
        return Outputs(self._net, picture)


class Outputs(dict[str, "NDArray[np.float32]"]):
    """A picture's outputs by name, float32. What several need is computed once."""

    def __init__(self, net: ncnn.Net, picture: NDArray[np.float32]) -> None:
        super().__init__()
        self._picture = np.ascontiguousarray(picture)  # ncnn reads from it until all is computed
        self._extractor = net.create_extractor()
        self._extractor.input(PICTURE, ncnn.Mat(self._picture))

    def __missing__(self, name: str) -> NDArray[np.float32]:
        """Compute one."""
        failed, output = self._extractor.extract(name)
        if failed:
            raise KeyError(name)
        self[name] = np.array(output, dtype=np.float32)
        return self[name]


class _Weights(ncnn.DataReader):  # type: ignore[misc]
    """Gives ncnn the weights without a file."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._arrays = (array.to_bytes() for layer in graph.layers for array in layer.arrays)
        self._left = b""

    def read(self, place: object, size: int) -> int:
        """Write the next bytes at ``place``, a capsule with an address; return how many, 0 where there are fewer."""
        self._left = self._left or next(self._arrays, b"")
        if size > len(self._left):
            return 0
        ctypes.memmove(_address(place, None), self._left, size)
        self._left = self._left[size:]
        return size
