"""Prints the files of the standard library that the job imports; run while the image is built."""

import importlib
import pkgutil
import sys
import sysconfig
from importlib.machinery import FrozenImporter
from pathlib import Path

import init_job

LAZY = ("difflib", "dotenv", "encodings.idna", "google.protobuf.internal.builder")
"""Imported inside functions: importing the job's modules does not bring them."""

for name in (*(module.name for module in pkgutil.walk_packages(init_job.__path__, "init_job.")), *LAZY):
    importlib.import_module(name)
stdlib = Path(sysconfig.get_path("stdlib"))
for name in sorted(sys.modules):
    path = stdlib.joinpath(*name.split("."))
    for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if file.is_file() and FrozenImporter.find_spec(name) is None:
            print(file)
