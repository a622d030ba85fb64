"""The points of a grid and of a random search, for Optuna: trial n gets what the sweep's file says of n."""

from typing import Any

from optuna.samplers import BaseSampler

from nlmcli.engine.sweep.space import Space
from nlmcli.options import long_name


class ByNumber(BaseSampler):
    """Gives every option of a trial the value of the trial's point."""

    def __init__(self, space: Space):
        self.space = space

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        return {long_name(name): value for name, value in self.space.point(trial.number).items()}[param_name]
