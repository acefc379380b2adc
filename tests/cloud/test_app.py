"""The cloud's application, route by route and status by status."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
import torch

from splitwire.cloud.app import application_of, create_app, running_app
from splitwire.cloud.inference.device_files import DeviceFiles
from splitwire.cloud.inference.engine import Decoded, Engine
from splitwire.cloud.inference.service import Service
from splitwire.cloud.settings import CloudSettings
from splitwire.models.loading import load_tails
from splitwire.shared.bundle import load_manifest
from splitwire.shared.errors import BundleFileMismatch, BundleMissing, SettingsError
from splitwire.shared.frame import MAX_SHORT_BYTES, Frame, largest_frame, pack
from splitwire.shared.messages import Answer, Model
from tests.cloud.application import OCTETS, error_of, frame_of, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from splitwire.shared.bundle import Bundle

pytestmark = pytest.mark.anyio
LARGEST = largest_frame(MAX_SHORT_BYTES)


@pytest.mark.parametrize("quality", ["paper", "int8"])
async def test_a_frame_is_answered_with_what_the_tail_says(
    client: httpx.AsyncClient,
    device_bundle: Bundle,
    cloud_bundle: Bundle,
    latent: NDArray[np.float32],
    quality: str,
) -> None:
    response = await client.post("/infer?top=3", content=frame_of(device_bundle, [latent], quality))
    answer = Answer.model_validate_json(response.content)
    (prediction,) = answer.predictions
    codec = cloud_bundle.codec(quality)
    y_hat = torch.from_numpy(codec.dequantise(codec.quantise(latent)))[None]
    with torch.inference_mode():
        (expected,) = torch.softmax(load_tails(cloud_bundle)[quality](y_hat), dim=1).numpy()
    assert prediction.class_id == expected.argmax()
    assert prediction.label == cloud_bundle.manifest.classes[prediction.class_id]
    assert prediction.probability == pytest.approx(float(expected.max()), abs=1e-5)
    assert [guess.probability for guess in prediction.top] == pytest.approx(
        sorted(expected)[:-4:-1], abs=1e-5
    )
    assert (answer.bundle, answer.quality, answer.device) == (cloud_bundle.manifest.id, quality, "cpu")


async def test_many_pictures_in_a_frame_are_answered_in_order(
    client: httpx.AsyncClient, device_bundle: Bundle
) -> None:
    rng = np.random.default_rng(1)
    latents = [rng.normal(scale=20, size=(128, 5, 5)).astype(np.float32) for _ in range(5)]
    together = await client.post("/infer", content=frame_of(device_bundle, latents))
    alone = [await client.post("/infer", content=frame_of(device_bundle, [latent])) for latent in latents]
    singles = [response.json()["predictions"][0] for response in alone]
    for one, other in zip(together.json()["predictions"], singles, strict=True):
        assert one["class_id"] == other["class_id"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-4)


async def test_requests_that_arrive_together_are_all_answered(
    client: httpx.AsyncClient, frame: bytes
) -> None:
    responses = await asyncio.gather(*(client.post("/infer", content=frame) for _ in range(50)))
    assert {response.status_code for response in responses} == {200}


async def test_400_bytes_that_are_no_frame(client: httpx.AsyncClient, frame: bytes) -> None:
    for body in (b"", b"hello", frame[:5], frame[:-1], frame + b"x"):
        response = await client.post("/infer", content=body)
        assert response.status_code == 400, response.text
        assert error_of(response).startswith(("Frame", "Payload"))


async def test_400_values_that_overflow_in_the_network(
    client: httpx.AsyncClient, device_bundle: Bundle
) -> None:
    huge = np.full((128, 5, 5), 3e38, dtype=np.float32)
    response = await client.post("/infer", content=frame_of(device_bundle, [huge], "paper"))
    assert (response.status_code, error_of(response)) == (400, "PayloadInvalid")


async def test_400_a_quality_that_is_not_the_fingerprints(client: httpx.AsyncClient, frame: bytes) -> None:
    response = await client.post("/infer", content=frame[:5] + b"\x63" + frame[6:])
    assert (response.status_code, error_of(response)) == (400, "FrameQualityInvalid")


@pytest.mark.parametrize("top", ["0", "-1", "x", "1.5", "", "9" * 30])
async def test_400_never_422_a_parameter_that_is_not_allowed(
    client: httpx.AsyncClient, frame: bytes, top: str
) -> None:
    response = await client.post("/infer", params={"top": top}, content=frame)
    assert (response.status_code, error_of(response)) == (400, "ParameterInvalid")


@pytest.mark.parametrize("deadline", ["x", "-5", "1e3", "nan"])
async def test_400_a_deadline_that_is_no_number(
    client: httpx.AsyncClient, frame: bytes, deadline: str
) -> None:
    response = await client.post("/infer", content=frame, headers={"Deadline-Ms": deadline})
    assert (response.status_code, error_of(response)) == (400, "ParameterInvalid")


async def test_401_without_and_403_with_a_wrong_key(tmp_path: Path, frame: bytes) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# rotated in May\nold-key\nnew-key\n")
    async with serving(key_file=keys) as client:
        missing = await client.post("/infer", content=frame)
        wrong = await client.post("/infer", content=frame, headers={"Authorization": "Bearer nope"})
        assert (missing.status_code, error_of(missing)) == (401, "KeyMissing")
        assert (wrong.status_code, error_of(wrong)) == (403, "KeyWrong")
        assert (await client.get("/model")).status_code == 401
        for key in ("old-key", "new-key"):
            right = await client.post("/infer", content=frame, headers={"Authorization": f"Bearer {key}"})
            assert right.status_code == 200


async def test_the_key_and_whether_the_cloud_drains_are_checked_before_anything_else(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("right\n")
    headers = {"Deadline-Ms": "x", "Content-Type": "x"}
    service = Service(CloudSettings(device="cpu", key_file=keys))
    transport = httpx.ASGITransport(application_of(service))
    async with (
        service.running(),
        httpx.AsyncClient(transport=transport, base_url="http://cloud", headers=headers) as client,
    ):
        for authorization, status in (("", 401), ("Bearer wrong", 403), ("Bearer right", 400)):
            client.headers["Authorization"] = authorization
            assert (await client.post("/infer?top=x")).status_code == status
        service.refuse()
        assert (await client.post("/infer?top=x")).status_code == 503


async def test_409_another_bundles_frame_names_both_fingerprints(
    client: httpx.AsyncClient, frame: bytes, device_bundle: Bundle
) -> None:
    response = await client.post("/infer", content=frame[:1] + b"\x01\x02\x03\x04" + b"\x63" + frame[6:])
    body = response.json()
    assert (response.status_code, body["error"]) == (409, "FingerprintUnknown")
    assert body["fingerprint"] == "04030201"
    assert body["loaded"] == {
        f"{device_bundle.manifest.fingerprint(name):08x}": f"{device_bundle.manifest.id}/{name}"
        for name in device_bundle.manifest.qualities
    }


async def test_413_a_body_over_the_cap_announced_or_not(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(LARGEST // 65_536 + 2):
            yield bytes(65_536)

    announced = await client.post("/infer", content=bytes(LARGEST + 1))
    streamed = await client.post("/infer", content=chunks())
    for response in (announced, streamed):
        assert (response.status_code, error_of(response)) == (413, "BodyTooLarge")


async def test_a_body_may_be_as_long_as_the_largest_latents_need(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = pack(Frame(fingerprint=1, quality=0, payloads=(bytes(51_200),) * 64))
    response = await client.post("/infer", content=long)
    assert (response.status_code, error_of(response)) == (413, "BodyTooLarge")
    monkeypatch.setattr(Engine, "longest_frame", lambda _: largest_frame(51_200))
    async with serving() as larger:
        response = await larger.post("/infer", content=long)
        assert (response.status_code, error_of(response)) == (409, "FingerprintUnknown")


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/json"}, {**OCTETS, "Content-Encoding": "gzip"}]
)
async def test_415_another_type_or_any_encoding(
    client: httpx.AsyncClient, frame: bytes, headers: dict[str, str]
) -> None:
    response = await client.post("/infer", content=frame, headers=headers)
    assert (response.status_code, error_of(response)) == (415, "BodyTypeUnsupported")


async def test_503_before_the_model_is_loaded_while_healthz_is_alive(frame: bytes) -> None:
    transport = httpx.ASGITransport(create_app(CloudSettings(device="cpu")))
    async with httpx.AsyncClient(transport=transport, base_url="http://cloud", headers=OCTETS) as client:
        for response in (await client.post("/infer", content=frame), await client.get("/readyz")):
            assert (response.status_code, error_of(response)) == (503, "NotReady")
            assert int(response.headers["Retry-After"]) >= 1
        assert (await client.get("/healthz")).status_code == 200


async def test_504_a_deadline_that_has_passed(client: httpx.AsyncClient, frame: bytes) -> None:
    response = await client.post("/infer", content=frame, headers={"Deadline-Ms": "0"})
    assert (response.status_code, error_of(response)) == (504, "DeadlinePassed")


async def test_an_unforeseen_failure_is_a_500_and_the_next_request_is_served(
    client: httpx.AsyncClient, frame: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "classify", lambda *_: 1 / 0)
        failed = await client.post("/infer", content=frame)
        assert (failed.status_code, error_of(failed)) == (500, "Failure")
        assert failed.headers["X-Request-Id"]
        assert (await client.get("/readyz")).status_code == 500
    assert (await client.post("/infer", content=frame)).status_code == 200
    assert (await client.get("/readyz")).status_code == 200


async def test_an_error_that_tells_of_this_machine_is_not_shown_but_raised_for_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: DeviceFiles) -> None:
        raise BundleMissing("/a/secret/place", "gone")

    monkeypatch.setattr(DeviceFiles, "describe", broken)
    async with serving() as client:
        response = await client.get("/bundles")
        assert (response.status_code, error_of(response)) == (500, "Failure")
        assert "secret" not in response.text
    async with running_app(CloudSettings(device="cpu")) as app:
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud") as client:
            with pytest.raises(BundleMissing):
                await client.get("/bundles")


async def test_readiness_is_proved_by_a_forward_pass_that_all_who_ask_share(
    cloud_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    tails = len({id(tail) for tail in load_tails(cloud_bundle).values()})
    passes: list[int] = []
    classify = Engine.classify

    def counted(engine: Engine, frames: Sequence[Decoded]) -> NDArray[np.float32]:
        passes.append(sum(len(frame.symbols) for frame in frames))
        return classify(engine, frames)

    monkeypatch.setattr(Engine, "classify", counted)
    now = 100.0
    async with serving(clock=lambda: now) as client:
        passes.clear()
        responses = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
        assert {response.status_code for response in responses} == {200}
        assert passes == [1] * tails, "one picture through every tail, once for all 20"
        now += 0.9
        await client.get("/readyz")
        assert passes == [1] * tails, "it has worked within the last second"
        now += 0.2
        await client.get("/readyz")
        assert passes == [1] * 2 * tails


async def test_head_is_answered_on_the_supervisors_routes(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz"):
        assert (await client.head(path)).status_code == 200


async def test_model_describes_every_loaded_bundle(client: httpx.AsyncClient, bundle_path: Path) -> None:
    manifest = load_manifest(bundle_path)
    model = Model.model_validate_json((await client.get("/model")).content)
    assert (model.device, model.precision) == ("cpu", "float32")
    (loaded,) = model.bundles
    assert loaded.manifest == manifest
    assert loaded.fingerprints["int8"] == f"{manifest.fingerprint('int8'):08x}"


async def test_other_paths_and_methods_get_the_same_kind_of_error(client: httpx.AsyncClient) -> None:
    assert error_of(await client.get("/nowhere")) == "NotFound"
    assert error_of(await client.get("/infer")) == "MethodNotAllowed"


async def test_the_openapi_page_lists_every_status_and_no_422(client: httpx.AsyncClient) -> None:
    description = (await client.get("/openapi.json")).json()
    statuses = set(description["paths"]["/infer"]["post"]["responses"])
    assert statuses == {"200", "400", "401", "403", "408", "409", "413", "415", "429", "431", "503", "504"}
    for methods in description["paths"].values():
        assert all("431" in route["responses"] for route in methods.values())


async def test_a_damaged_bundle_stops_the_start(bundle_copy: Path) -> None:
    file = bundle_copy / "cloud" / "cae.safetensors"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(BundleFileMismatch):
        async with serving(bundles=(bundle_copy,)):
            pass


@pytest.mark.parametrize("content", [None, "", "# only a comment\n"])
async def test_a_key_file_without_keys_stops_the_start(tmp_path: Path, content: str | None) -> None:
    keys = tmp_path / "keys"
    if content is not None:
        keys.write_text(content)
    with pytest.raises(SettingsError, match="key file"):
        async with serving(key_file=keys):
            pass
