"""Gradient clipping by the global norm: g ← g · min(1, c / |g|), so that one steep step cannot throw θ far off."""


def clip_scale(norm: float, limit: float) -> float:
    """min(1, c / |g|): the factor for a gradient of this norm; 1 if the limit is 0.  Pascanu, Mikolov & Bengio 2013."""
    return 1.0 if not limit or norm <= limit else limit / norm
