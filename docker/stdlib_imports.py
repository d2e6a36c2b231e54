"""Prints the files of the standard library that the job imports; run while the image is built."""

import ast
import contextlib
import importlib
import pkgutil
import sys
import sysconfig
from importlib.machinery import FrozenImporter
from pathlib import Path

import init_job

names = {
    *(module.name for module in pkgutil.walk_packages(init_job.__path__, "init_job.")),
    "encodings.idna",  # by the resolver
}
# What is imported inside functions as well.
for source in Path(init_job.__path__[0]).rglob("*.py"):
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
for name in sorted(names):
    with contextlib.suppress(ImportError):  # `from module import function`
        importlib.import_module(name)

stdlib = Path(sysconfig.get_path("stdlib"))
for name in sorted(sys.modules):
    path = stdlib.joinpath(*name.split("."))
    for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if file.is_file() and FrozenImporter.find_spec(name) is None:
            print(file)
