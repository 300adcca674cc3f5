"""Speech2Face as a notebook series: the machinery under the seven notebooks."""

__version__ = "0.1.0"
