"""nlm: train, examine and sample tiny neural language models on your own text, on a CPU."""

__version__ = "0.1.0"
