"""One task per file: what a head reads from an encoder, its loss and its answers. The folder is the registry of --task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlmcli.registry import Registry

if TYPE_CHECKING:
    from nlmcli.heads.base.head import Task

HEADS: Registry[Task] = Registry("task", __name__, "nlmcli.heads.base.head:Task")
