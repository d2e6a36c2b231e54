"""Give a ChirpStack its first API key: wait, log in, create the key once, write its token."""

__version__ = "0.1.0"
