"""Runs what docker-compose.yml and the Dockerfiles say, without an engine.

A container's root is put together from this machine's system and Python, read-only, and from the files that
the image's last stage copies; then entry point, command, environment, user, working directory, secrets,
volumes, tmpfs, capabilities and health check are those of the files. What ``RUN`` makes is not made: Python's
packages are those of this interpreter. Limits of memory and CPU are not set.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from splitwire.report.testbed.shaped_link import bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yml"
_BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEM = ("/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/usr")


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or directory of this machine in a container."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, kw_only=True)
class Image:
    """What the last stage of a Dockerfile says."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    user: str
    directory: str
    files: tuple[Mount, ...]


@dataclass(frozen=True, kw_only=True)
class Container:
    """A service of a Compose file with its image."""

    image: Image
    command: tuple[str, ...]
    environment: dict[str, str]
    mounts: tuple[Mount, ...]
    tmpfs: tuple[str, ...]
    read_only: bool
    without_capabilities: bool
    no_new_privileges: bool
    health: tuple[str, ...] | None
    memory: int
    """The limit in bytes."""

    def argv(
        self,
        root: Path,
        hosts: Path,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        mounts: Sequence[Mount] = (),
    ) -> list[str]:
        """Give the command that runs the container as root of this machine.

        ``root``: an empty directory. ``hosts``: becomes /etc/hosts. ``command``, ``environment``, ``mounts``
        replace and add, as the options of ``docker compose run`` do.
        """
        return self._argv(
            root, hosts, (*self.image.entrypoint, *(command or self.command)), environment or {}, mounts
        )

    def health_argv(self, root: Path, hosts: Path) -> list[str]:
        """Give the command that runs the health check."""
        assert self.health is not None
        return self._argv(root, hosts, self.health, {}, ())

    def _argv(
        self,
        root: Path,
        hosts: Path,
        argv: Sequence[str],
        environment: Mapping[str, str],
        mounts: Sequence[Mount],
    ) -> list[str]:
        replaced = {mount.target for mount in mounts}
        mounts = [*(mount for mount in self.mounts if mount.target not in replaced), *mounts]
        user, _, group = self.image.user.partition(":")
        as_user = ["setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups"]
        if self.without_capabilities:
            as_user += ["--bounding-set=-all", "--inh-caps=-all"]
        if self.no_new_privileges:
            as_user += ["--no-new-privs"]
        variables = {"HOME": "/", **self.image.environment, **self.environment, **environment}
        settings = [f"{name}={value}" for name, value in variables.items()]
        inside = [*as_user, *bound()]
        inside += ["env", "-i", f"--chdir={self.image.directory}", *settings, *argv]
        script = "\n".join(
            [
                "set -e",
                "mount --make-rprivate /",
                f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(root))}",
                *_system(root),
                *(line for mount in (*self.image.files, *mounts) for line in _bind(root, mount)),
                *(line for target in self.tmpfs for line in _tmpfs(root, target)),
                f"mount --bind {shlex.quote(str(hosts))} {shlex.quote(f'{root}/etc/hosts')}",
                f"mkdir -p {shlex.quote(str(root) + self.image.directory)}",
                *([f"mount -o remount,ro {shlex.quote(str(root))}"] if self.read_only else []),
                shlex.join(["exec", "chroot", str(root), *inside]),
            ]
        )
        return ["unshare", "--mount", "sh", "-c", script]


def read_container(service: str, secrets: Mapping[str, Path]) -> Container:
    """Read a service of docker-compose.yml and its Dockerfile; ``secrets`` gives their files, by name."""
    described = YAML(typ="safe").load(COMPOSE_FILE)["services"][service]
    image = read_image(ROOT / described["build"]["context"] / described["build"]["dockerfile"])
    volumes = (volume.split(":") for volume in described.get("volumes", ()))
    test = described.get("healthcheck", {}).get("test")
    memory = described["deploy"]["resources"]["limits"]["memory"]
    return Container(
        image=image,
        command=tuple(described.get("command", image.command)),
        environment=dict(described.get("environment", {})),
        mounts=(
            *(Mount(source=secrets[name], target=f"/run/secrets/{name}") for name in described["secrets"]),
            *(
                Mount(source=ROOT / source, target=target, writable="ro" not in options)
                for source, target, *options in volumes
            ),
        ),
        tmpfs=tuple(described.get("tmpfs", ())),
        read_only=described["read_only"],
        without_capabilities="ALL" in described["cap_drop"],
        no_new_privileges="no-new-privileges:true" in described["security_opt"],
        health=tuple(test[1:]) if test else None,
        memory=int(memory[:-1]) * {"M": 1 << 20, "G": 1 << 30}[memory[-1]],
    )


def read_image(dockerfile: Path) -> Image:
    """Read the last stage of a Dockerfile."""
    variables: dict[str, str] = {"PATH": _BASE_PATH}
    environment: dict[str, str] = {}
    words: dict[str, Any] = {"ENTRYPOINT": [], "CMD": []}
    user, directory, files = "0", "/", list[Mount]()
    for instruction, rest in _last_stage(dockerfile.read_text()):
        text = Template(rest).substitute(variables) if instruction in {"COPY", "ENV"} else rest
        if instruction in {"ARG", "ENV"}:
            values = dict(word.split("=", 1) for word in shlex.split(text))
            variables |= values
            if instruction == "ENV":
                environment |= values
        elif instruction == "COPY":
            files += _copied(text.split())
        elif instruction == "USER":
            user = rest
        elif instruction == "WORKDIR":
            directory = rest
        elif instruction in words:
            words[instruction] = json.loads(rest)
    return Image(
        entrypoint=tuple(words["ENTRYPOINT"]),
        command=tuple(words["CMD"]),
        environment={"PATH": _BASE_PATH, **environment},
        user=user,
        directory=directory,
        files=tuple(files),
    )


def _last_stage(text: str) -> Iterator[tuple[str, str]]:
    lines = text.replace("\\\n", " ").splitlines()
    instructions = [line.split(None, 1) for line in lines if line.strip() and not line.startswith("#")]
    last = max(place for place, (name, _) in enumerate(instructions) if name == "FROM")
    yield from ((name, rest) for name, rest in instructions[last + 1 :])


def _copied(words: Sequence[str]) -> Iterator[Mount]:
    """Tell what ``COPY`` brings: from the context; from an earlier stage, this interpreter's packages."""
    *sources, target = words
    if sources[0].startswith("--from="):
        yield Mount(source=Path(sys.prefix), target=target)
        return
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for pattern in sources:
        found = sorted(ROOT.glob(pattern))
        if not found or not any(Path(pattern).is_relative_to(name) for name in allowed):
            raise FileNotFoundError(f"{pattern} is not in the context of the images")
        for source in found:
            yield Mount(source=source, target=f"{target}{source.name}" if target.endswith("/") else target)


def _system(root: Path) -> Iterator[str]:
    """Bring this machine's system, and its Python where that is elsewhere."""
    base = Path(sys.base_prefix)
    for path in (*map(Path, _SYSTEM), *([] if base.is_relative_to("/usr") else [base])):
        if path.is_symlink():
            yield f"ln -s {shlex.quote(str(path.readlink()))} {shlex.quote(f'{root}{path}')}"
        elif path.exists():
            yield from _bind(
                root, Mount(source=path, target=str(path), writable=path.name in {"dev", "proc"})
            )


def _bind(root: Path, mount: Mount) -> Iterator[str]:
    source, target = shlex.quote(str(mount.source)), shlex.quote(f"{root}{mount.target}")
    if mount.source.is_dir():
        yield f"mkdir -p {target}"
    else:
        yield f"mkdir -p {shlex.quote(str(Path(f'{root}{mount.target}').parent))} && touch {target}"
    yield f"mount --rbind {source} {target}"
    if not mount.writable:
        yield f"mount -o remount,bind,ro {target}"


def _tmpfs(root: Path, target: str) -> Iterator[str]:
    place = shlex.quote(f"{root}{target}")
    yield f"mkdir -p {place}"
    yield f"mount -t tmpfs -o mode=1777 tmpfs {place}"
