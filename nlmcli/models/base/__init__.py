"""What architectures share."""

from nlmcli.models.base.model import Config, Model, State, context, hidden, layers, tie

__all__ = ["Config", "Model", "State", "context", "hidden", "layers", "tie"]
