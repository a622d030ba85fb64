"""nlm: train, examine and sample tiny neural language models on your own text, on a CPU.

From Python: `train`, `load` and `resume` return a `Trained` model; see nlmcli.engine.api.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlmcli.engine.api import Trained, load, resume, train
    from nlmcli.engine.writing.sampling import Sampling
    from nlmcli.errors import InputError

__version__ = "0.1.0"
__all__ = ["InputError", "Sampling", "Trained", "load", "resume", "train"]


def __getattr__(name: str) -> Any:
    """Import a public name on first access, so that `nlm --help` does not load the engine."""
    if name not in __all__:
        raise AttributeError(f"module 'nlmcli' has no attribute {name!r}")
    from nlmcli.engine import api

    return getattr(api, name)
