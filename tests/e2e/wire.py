"""What else a test does to a shaped link: count what passes, cut it, restore it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from splitwire.report.testbed.shaped_link import INTERFACE

if TYPE_CHECKING:
    from splitwire.report.testbed.shaped_link import Node, ShapedLink


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """Bytes that the device's interface sent and received, Ethernet headers included."""

    sent: int
    received: int

    def since(self, earlier: Traffic) -> Traffic:
        """Give what came after an earlier reading."""
        return Traffic(sent=self.sent - earlier.sent, received=self.received - earlier.received)


def traffic(link: ShapedLink) -> Traffic:
    """Read the counters of the device's interface, both ways."""
    counted = json.loads(_ip(link.device, "-json", "-statistics", "link", "show", INTERFACE))[0]["stats64"]
    return Traffic(sent=counted["tx"]["bytes"], received=counted["rx"]["bytes"])


def cut(link: ShapedLink) -> None:
    """Let every packet be lost, both ways, without a word to either node's programs."""
    _ip(link.cloud, "link", "set", INTERFACE, "down")


def restore(link: ShapedLink) -> None:
    """Undo ``cut``."""
    _ip(link.cloud, "link", "set", INTERFACE, "up")


def _ip(node: Node, *arguments: str) -> bytes:
    done = node.run(["ip", *arguments], stdout=subprocess.PIPE)
    done.check_returncode()
    output: bytes = done.stdout
    return output
