"""Whatever fails, is killed or runs beside it: the job ends with the right code, and the next run gets there.

`runner` starts the job as a process, `shim` hurts its file calls, `proxy` hurts its requests, `world` holds a server
with its data, a volume, and what must be true of both in the end. `report` writes docs/reliability.md.
"""
