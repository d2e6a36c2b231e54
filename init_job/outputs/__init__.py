"""The places where the token goes: start with `interface`, then one module per format, and `files` for the disk."""
