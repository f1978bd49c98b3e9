"""Builds the cpu image without a daemon, measures it, and runs it: ``sudo python check_image.py``.

Buildah runs the Dockerfile in a chroot. The base, debian:bookworm-slim, is made by mmdebstrap from
Debian's mirror, without what that image leaves out, so no registry is needed. Needs
root, buildah and mmdebstrap (Debian's packages), and Python alone.

pip in the build has the configuration of pip here. Prints figures; an assertion stops it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from launch import free_port

ROOT = Path(__file__).resolve().parents[2]
BASE = "docker.io/library/debian:bookworm-slim"
LEFT_OUT = ("man", "doc", "locale", "info", "lintian", "groff", "linda")
"""Folders of /usr/share that the slim images do not have."""
MAX_IMAGE_MB = 300
MAX_START_SECONDS = 2.0
"""Processor time until the service is ready: that of the clock depends on what else runs."""
TIMEOUT_SECONDS = 120
USER = 10001


class Builder:
    """Buildah with a storage of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        storage = ["--root", folder / "storage", "--runroot", folder / "run"]
        self.command = ["buildah", *map(str, storage), "--storage-driver", "vfs"]

    def run(self, *arguments: str | Path, quiet: bool = True) -> str:
        """Run one command; its output."""
        output = subprocess.PIPE if quiet else None
        done = subprocess.run([*self.command, *arguments], check=True, stdout=output, text=True)
        return (done.stdout or "").strip()


def make_base(folder: Path, mirror: str | None) -> Path:
    """The root file system of Debian's slim image as a tar file."""
    tar = folder / "base.tar"
    rules = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT]
    subprocess.run(
        [
            *("mmdebstrap", "--quiet", "--variant=minbase", "--include=usr-is-merged"),
            "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
            *('--aptopt=Apt::Install-Recommends "false"', *rules),
            *("bookworm", tar, *([mirror] if mirror else [])),
        ],
        check=True,
    )
    return tar


def build(builder: Builder, base: Path) -> None:
    """Build the image ``cpu``, in the format that keeps HEALTHCHECK."""
    container = builder.run("from", "scratch")
    builder.run("add", "--quiet", container, base, "/")
    builder.run("commit", "--quiet", container, BASE)
    builder.run("rm", container)
    values = pip_configuration(builder.folder)
    paths = {path for value in values.values() for path in re.findall(r"(?:^|//|\s)(/\S+)", value)}
    mounted = {path.removesuffix("/simple") for path in paths}  # an index and its files
    secret, dockerfile = builder.folder / "pip.conf", builder.folder / "Dockerfile"
    secret.write_text("[global]\n" + "".join(f"{key} = {text}\n" for key, text in values.items()))
    dockerfile.write_text(without_gpu((ROOT / "Dockerfile").read_text()))
    builder.run(
        *("build", "--isolation", "chroot", "--format", "docker", "--pull-never"),
        *("--secret", f"id=pip,src={secret}", "--target", "cpu", "--tag", "cpu"),
        *(f"--volume={path}:{path}:ro" for path in mounted if Path(path).exists()),
        *("--file", dockerfile, "--ignorefile", ROOT / ".dockerignore", ROOT),
        quiet=False,
    )


def without_gpu(dockerfile: str) -> str:
    """The stages that the cpu image needs: old releases of Buildah build the others as well."""
    first, *stages = re.split(r"^(?=FROM )", dockerfile, flags=re.MULTILINE)
    return first + "".join(stage for stage in stages if not re.match(r"FROM \S+ AS gpu", stage))


def pip_configuration(folder: Path) -> dict[str, str]:
    """What this machine's pip needs to find packages. Its files are mounted under their names."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = dict(re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE))
    names = {"cert", "index-url", "extra-index-url", "find-links", "trusted-host", "timeout"}
    values = {name: found[name] for name in sorted(names & found.keys())}
    if "cert" in values:  # the name is taken by the image's own certificates
        copy = folder / "certificates.crt"
        copy.write_bytes(Path(values["cert"]).read_bytes())
        values["cert"] = str(copy)
    return values


def megabytes(folder: Path) -> float:
    """Bytes of all files, hard links once, in MB."""
    sizes = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            status = (Path(parent) / name).lstat()
            sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values()) / 1e6


class Container:
    """A container that runs the service as the image says, on a port of this machine."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._name = builder.run("from", "--pull-never", "cpu")
        self.root = Path(builder.run("mount", self._name))
        self.data = builder.folder / "data"  # Buildah makes no volume for a run
        self.data.mkdir()
        os.chown(self.data, USER, USER)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> list[str]:
        """A command in the container, with its user and its environment."""
        own = [*self._builder.command, "run", "--isolation", "chroot"]
        own += ["--volume", f"{self.data}:/data", "--env", f"THUMBSTREAM_PORT={self.port}"]
        return [*own, self._name, "--", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command while the service runs."""
        command = self.command(*arguments)
        return subprocess.run(command, check=False, capture_output=True, text=True)

    def start(self) -> float:
        """Start the service; seconds until it is ready."""
        began = time.monotonic()
        self._process = subprocess.Popen(self.command("thumbstream", "serve"))
        while self._process.poll() is None and time.monotonic() < began + TIMEOUT_SECONDS:
            with suppress(OSError), self.get("/readyz"):
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError("the service did not become ready")

    def get(self, path: str, body: bytes | None = None) -> urllib.request._UrlopenRet:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body)
        if body is not None:
            request.add_header("Content-Type", "image/*")
        return urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)

    def processor_seconds(self) -> float:
        """Processor time of the service until now, from its own metrics."""
        with self.get("/metrics") as response:
            text = response.read().decode()
        return float(re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)[1])

    def stop(self) -> int:
        """Send SIGTERM to the service; its exit status."""
        assert self._process is not None
        variable = f"THUMBSTREAM_PORT={self.port}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                variables = (folder / "environ").read_bytes().split(b"\0")
                if words[1:2] == [b"/opt/thumbstream/bin/thumbstream"] and variable in variables:
                    os.kill(int(folder.name), signal.SIGTERM)
        return self._process.wait(TIMEOUT_SECONDS)


def check(builder: Builder) -> dict[str, float]:
    """Run the image ``cpu`` and check what it is for."""
    config = json.loads(builder.run("inspect", "--type", "image", "cpu"))["Docker"]["config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Healthcheck"]["Test"] == ["CMD", "healthcheck.py"]
    container = Container(builder)
    size = megabytes(container.root)
    models = [
        path.name for path in container.root.glob("opt/thumbstream/lib/*/*/thumbstream/_models/*")
    ]
    assert models == ["thumbstream-2"], models
    assert container.call("healthcheck.py").returncode == 1
    clock = container.start()
    processor = container.processor_seconds()
    assert container.call("healthcheck.py").returncode == 0
    picture = ROOT / "service/thumbstream/web/samples/coffee.jpg"
    with container.get("/compress", picture.read_bytes()) as response:
        key = json.load(response)["id"]
    with container.get(f"/thumb/{key}?bytes=24") as response:
        assert len(response.read()) == 24
    backup = container.call("backup_sqlite.py", "thumbstream.db", "backup.db")
    assert backup.returncode == 0, backup.stderr
    assert container.call("test", "-O", "/data/backup.db").returncode == 0  # the user's own
    assert container.call("touch", "/usr/local/x").returncode != 0
    assert container.stop() == 0
    return {"MB": size, "seconds to ready": clock, "processor seconds to ready": processor}


def main() -> None:
    """Build, check, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mirror", help="line of sources.list; default: deb.debian.org")
    parser.add_argument("--base", type=Path, help="tar file of an earlier run, to save minutes")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        builder = Builder(Path(name))
        build(builder, args.base or make_base(Path(name), args.mirror))
        figures = check(builder)
        subprocess.run([*builder.command, "umount", "--all"], check=False)
    print(json.dumps({key: round(value, 2) for key, value in figures.items()}))
    assert figures["MB"] <= MAX_IMAGE_MB
    assert figures["processor seconds to ready"] <= MAX_START_SECONDS


if __name__ == "__main__":
    main()
