"""One file format per file; `nlm export` knows each file in this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlmcli.registry import Registry

if TYPE_CHECKING:
    from nlmcli.engine.exchange.format import Format

FORMATS: Registry[Format] = Registry("format", __name__, "nlmcli.engine.exchange.format:Format")
