"""The two generations of ChirpStack behind one interface: start with `interface`, then `v3` and `v4`."""
