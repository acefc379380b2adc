"""nginx and HAProxy before a cloud: kept connections to it, and callers' offers to upgrade passed on."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCKED = "/metrics"
"""The path that a proxy gives nobody."""

_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream cloud {{ server 127.0.0.1:{cloud}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location {blocked} {{ return 403; }}
    location / {{
      proxy_pass http://cloud;
      proxy_http_version 1.1;
      proxy_next_upstream off;
      proxy_request_buffering off;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
    }}
  }}
}}
"""
# HAProxy takes Upgrade out of a request that has a body: here it is put back.
_HAPROXY = """
global
  maxconn 1024
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
  http-reuse always
frontend callers
  bind 127.0.0.1:{port}
  http-request deny if {{ path_beg {blocked} }}
  http-request set-header Upgrade x if {{ req.hdr(Connection) -m sub -i upgrade }}
  default_backend cloud
backend cloud
  server cloud 127.0.0.1:{cloud} pool-max-conn 4
"""


@contextmanager
def proxy(name: str, cloud: int, folder: Path) -> Iterator[int]:
    """The port of ``nginx`` or ``haproxy`` before a cloud on another port of loopback."""
    port = free_port()
    file = folder / f"{name}.conf"
    template = {"nginx": _NGINX, "haproxy": _HAPROXY}[name]
    file.write_text(template.format(port=port, cloud=cloud, folder=folder, blocked=BLOCKED))
    program = found(name)
    command = {
        "nginx": [program, "-p", str(folder), "-c", str(file)],
        "haproxy": [program, "-db", "-f", str(file)],
    }[name]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.kill()


def found(name: str) -> str:
    """Where a proxy's program is, or nothing."""
    return shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") or ""


def _wait_for(port: int) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")
