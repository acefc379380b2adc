"""The peer: the same frames, codecs, tail and JSON behind LitServe."""

# Annotations stay objects: LitServe gives them to FastAPI.
import argparse
from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from splitwire.cloud.inference.engine import Decoded, Engine
from splitwire.shared.bundle import default_bundle_path, load_bundle
from splitwire.shared.frame import unpack
from splitwire.shared.task import task_of


class TailAPI(litserve.LitAPI):  # type: ignore[misc]  # has no types
    """LitServe's four stages, each with what the cloud does there."""

    def setup(self, _: str) -> None:
        """Load the tail."""
        self._bundle = load_bundle(default_bundle_path(), "cloud")
        self._engine = Engine([self._bundle], "cpu")
        self._engine.warm_up()

    def decode_request(self, request: Annotated[bytes, Body()]) -> Decoded:
        """Frame to symbols."""
        frame = unpack(request)
        return self._engine.loaded(frame.fingerprint).decode(frame)

    def batch(self, inputs: list[Decoded]) -> list[Decoded]:
        """Frames of one picture each."""
        return inputs

    def predict(self, x: list[Decoded]) -> NDArray[np.float32]:
        """Symbols to latents, and the tail."""
        return self._engine.classify(x)

    def unbatch(self, output: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Give each frame its probabilities."""
        return list(output)

    def encode_response(self, output: NDArray[np.float32]) -> dict[str, Any]:
        """Name the likeliest class."""
        task = task_of(self._bundle.manifest)
        (picture,) = task.likeliest(*task.rank(output[None]), top=1)
        return task.named(picture)


def main() -> None:
    """Serve on loopback until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("batch_timeout", type=float)
    options = parser.parse_args()
    api = TailAPI(max_batch_size=64, batch_timeout=options.batch_timeout, api_path="/infer")
    server = litserve.LitServer(api, accelerator="cpu", devices=1, fast_queue=True)
    server.run(
        host="127.0.0.1", port=options.port, log_level="error", generate_client_file=False, num_api_servers=1
    )


if __name__ == "__main__":
    main()
