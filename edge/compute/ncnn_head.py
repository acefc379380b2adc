"""The head on ncnn: small, fast on ARM and x86, and the default."""

from __future__ import annotations

import ctypes
from itertools import chain
from typing import TYPE_CHECKING, Any

import ncnn
import numpy as np

from splitwire.shared.bundle import CONVOLUTIONS
from splitwire.shared.cores import usable_cores
from splitwire.shared.errors import BundleInvalid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

_BLOCKS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Numbers of VGG16's convolutions, as in torchvision; a pooling follows each block."""
_DEEP = (*_BLOCKS[3], *_BLOCKS[4])
"""They have nine tenths of the weights, which Winograd's algorithm keeps transformed: four times as many."""

_WITHOUT_WINOGRAD = 1 << 6
"""A layer's parameter 31 (docs/developer-guide/layer-feat-mask)."""
_HALF_PRECISION_WEIGHTS = np.array(0x01306B47, "<u4")
_address = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class NcnnHead:
    """The convolutions, computed in float32 from float16 weights.

    ncnn's half-precision arithmetic stays off: a photograph of a cat brings activations of 7,900, their
    Winograd transforms are larger still, and float16 ends at 65,504.
    """

    def __init__(self, bundle: Bundle, *, low_memory: bool = False) -> None:
        """Build ncnn's network from the bundle's weights.

        Args:
            bundle: with the device's files.
            low_memory: without Winograd's transformed weights where they are largest: less memory, and slower.

        Raises:
            BundleInvalid: the weights are not those of VGG16's convolutions.

        """
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = usable_cores()
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_storage = options.use_bf16_packed = False
        size = bundle.manifest.preparation.size
        weights = list(_weights(bundle))
        if self._net.load_param_mem(_description(size, weights, _DEEP if low_memory else ())):
            raise BundleInvalid(bundle.path, "ncnn can't build the convolutions")
        if self._net.load_model(_ModelFile(weights)):
            raise BundleInvalid(bundle.path, "ncnn can't load the convolutions")

    def __call__(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run it: prepared picture [3, 224, 224] -> feature [512, 7, 7], both float32."""
        picture = np.ascontiguousarray(picture)  # ncnn reads from it until the feature is extracted
        extractor = self._net.create_extractor()
        extractor.input("picture", ncnn.Mat(picture))
        _, feature = extractor.extract("feature")
        return np.array(feature, dtype=np.float32)


class _ModelFile(ncnn.DataReader):  # type: ignore[misc]
    """Gives ncnn the weights as its model file has them, without a file."""

    def __init__(self, weights: list[tuple[int, NDArray[np.float16], NDArray[np.float32]]]) -> None:
        super().__init__()
        self._pieces = iter([piece for _, weight, bias in weights for piece in _pieces(weight, bias)])

    def read(self, place: object, size: int) -> int:
        """Write the next piece at ``place``, a capsule with an address; return its bytes, 0 where others are wanted."""
        piece = next(self._pieces, None)
        if piece is None or piece.nbytes != size:
            return 0
        ctypes.memmove(_address(place, None), piece.ctypes.data, size)
        return size


def _pieces(weight: NDArray[np.float16], bias: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """Give what ncnn reads of a layer, each at once."""
    values = weight.ravel()
    return _HALF_PRECISION_WEIGHTS, np.pad(values, (0, values.size % 2)) if values.size % 2 else values, bias


def _weights(bundle: Bundle) -> Iterator[tuple[int, NDArray[np.float16], NDArray[np.float32]]]:
    """Collect each convolution's number, weight [out, in, 3, 3] and bias [out]."""
    tensors, inputs = bundle.tensors_of(None), 3
    for number in chain.from_iterable(_BLOCKS):
        try:
            weight, bias = (tensors[f"{CONVOLUTIONS}.{number}.{kind}"] for kind in ("weight", "bias"))
        except KeyError as exc:
            raise BundleInvalid(
                bundle.path, f"there is no tensor {exc.args[0]!r}; copy the bundle again"
            ) from exc
        if weight.shape[1:] != (inputs, 3, 3) or bias.shape != weight.shape[:1]:
            raise BundleInvalid(bundle.path, f"convolution {number} does not fit; copy the bundle again")
        inputs = len(weight)
        yield number, weight.astype("<f2", copy=False), bias.astype("<f4", copy=False)


def _description(
    size: int, weights: list[tuple[int, NDArray[np.float16], NDArray[np.float32]]], plain: tuple[int, ...]
) -> str:
    """Write the network as ncnn's text form (docs/developer-guide/param-and-model-file-structure).

    ``plain``: numbers of the convolutions that are not to use Winograd's algorithm.
    """
    shapes = {number: weight for number, weight, _ in weights}
    layers = [f"Input picture 0 1 picture 0={size} 1={size} 2=3"]
    last = "picture"
    for block, numbers in enumerate(_BLOCKS, start=1):
        for number in numbers:
            name, weight = f"convolution{number}", shapes[number]
            masked = _WITHOUT_WINOGRAD if number in plain else 0
            layers.append(
                f"Convolution {name} 1 1 {last} {name} "
                f"0={len(weight)} 1=3 4=1 5=1 6={weight.size} 9=1 31={masked}"
            )
            last = name
        name = "feature" if block == len(_BLOCKS) else f"pooling{block}"
        layers.append(f"Pooling {name} 1 1 {last} {name} 0=0 1=2 2=2")
        last = name
    return "\n".join(["7767517", f"{len(layers)} {len(layers)}", *layers, ""])
