"""The figures of docs/performance.md, as ratios between programs that take turns on one machine: `python -m bench`."""
