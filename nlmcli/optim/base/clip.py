"""Clipping by the global norm: g ← g · min(1, c / |g|), so that one steep place cannot throw θ far away."""


def clip_scale(length: float, limit: float) -> float:
    """min(1, c / |g|): what a gradient of this length is multiplied by; 1 for a limit of 0.  Pascanu, Mikolov & Bengio 2013."""
    return 1.0 if not limit or length <= limit else limit / length
