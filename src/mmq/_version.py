"""The version of mmq, which saved files and reports name."""

__version__ = "0.1.0"
