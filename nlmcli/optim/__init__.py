"""One optimizer per file, as published, on the flat vector θ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlmcli.registry import Registry

if TYPE_CHECKING:
    from nlmcli.optim.base.optimizer import Optimizer

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", __name__, "nlmcli.optim.base.optimizer:Optimizer")
