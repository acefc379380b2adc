"""What a cloud can be told. Each field is a flag of ``cloud-server``, but for those that are not parsed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from splitwire.shared.bundle import default_bundle_path
from splitwire.shared.command import PREFIX
from splitwire.shared.frame import MAX_PAYLOADS_BYTES
from splitwire.shared.settings import Settings

_NO_FLAG = Parameter(parse=False)


class CloudSettings(Settings):
    """How to answer.

    ``queue_pictures`` and ``body_bytes`` grow fourfold at most where callers share them: see
    ``splitwire.cloud.inference.room.Room``.
    """

    bundles: Annotated[
        tuple[Path, ...], Parameter(name="--bundle", env_var=f"{PREFIX}BUNDLE", negative="")
    ] = Field(
        default_factory=lambda: (default_bundle_path(),),
        min_length=1,
        description="Folder of a model bundle; may repeat (in the variable: with colons between). "
        "A frame is served by the first that can.",
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N.")
    key_file: Annotated[Path | None, Parameter(env_var=f"{PREFIX}KEY_FILE")] = Field(
        default=None,
        description="Accepted API keys, one a line; read again when it changes. Without: this machine only.",
    )
    queue_pictures: Annotated[int, _NO_FLAG] = Field(
        default=512, ge=64, description="How many may wait for the model."
    )
    body_bytes: Annotated[int, _NO_FLAG] = Field(
        default=16 << 20,
        ge=MAX_PAYLOADS_BYTES,
        description="How much of bodies may be there, from their announcement to their answer.",
    )
    body_seconds: Annotated[float, _NO_FLAG] = Field(
        default=10.0, gt=0, description="How long a frame may take to arrive."
    )
    batch_pictures: Annotated[int, _NO_FLAG] = Field(
        default=64, ge=1, description="How many pictures the model takes at once."
    )


class ServerSettings(Settings):
    """How to serve: settings of the process around the application."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65_535, description="Port; 0 takes a free one.")
    open_to_all: Annotated[bool, Parameter(name="--open", negative="")] = Field(
        default=False, description="Serve other machines without asking for keys."
    )
    tls_certificate: Path | None = Field(
        default=None, description="Certificate chain, a PEM file: serve HTTPS."
    )
    tls_key: Path | None = Field(default=None, description="The certificate's key, a PEM file.")
    connections: int = Field(
        default=2048,
        ge=1,
        description="How many may be open; fewer where the limit of open files is lower.",
    )
    drain_seconds: float = Field(
        default=10.0, ge=1, description="How long stopping may take, with work still queued."
    )
