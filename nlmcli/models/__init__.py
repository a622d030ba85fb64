"""One architecture per file; every command knows each file in this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlmcli.registry import Registry

if TYPE_CHECKING:
    from nlmcli.models.base.model import Model

MODELS: Registry[Model] = Registry("model", __name__, "nlmcli.models.base.model:Model")


def neural_names() -> list[str]:
    """The names of the models that are trained by gradient descent."""
    return [name for name, model in MODELS.members().items() if model.neural]
