"""Decides what schema registry a run uses: Apicurio, which speaks Confluent's REST API as well as its own."""

import json
import os
import re
import shutil
import tarfile
import urllib.request
from pathlib import Path

from rig.process import Failure, Process, free_port, run, wait_until

_ARTIFACT = "io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all"
_LEAST_JAVA = 21
_OPTIONS = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Registry:
    """A running registry that forgets everything when it stops."""

    def __init__(self, kept: Path, folder: Path) -> None:
        program = _program(kept)
        port, management = free_port(), free_port()
        self._base = f"http://127.0.0.1:{port}/apis"
        settings = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": port,
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": management,
            "apicurio.storage.kind": "sql",
            "apicurio.storage.sql.kind": "h2",
            "apicurio.datasource.url": "jdbc:h2:mem:registry_db",
        }
        options = [f"-D{key}={value}" for key, value in settings.items()]
        command = [_java(), *_OPTIONS, *options, "-jar", str(program / "quarkus-run.jar")]
        self._process = Process(command, folder / "registry.log")
        wait_until("the registry's start", 90, self._answers)

    @property
    def confluent(self) -> str:
        """Where it speaks Confluent's API."""
        return f"{self._base}/ccompat/v7"

    @property
    def own(self) -> str:
        """Where it speaks the API that its converters of version 2 know."""
        return f"{self._base}/registry/v2"

    def _answers(self) -> bool:
        if self._process.exit_code() is not None:
            raise Failure(f"the registry ended:\n{self._process.tail()}")
        try:
            with urllib.request.urlopen(f"{self.confluent}/subjects", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def register(self, subject: str, schema: object) -> int:
        """The schema's id."""
        body = json.dumps({"schema": json.dumps(schema)}).encode()
        request = urllib.request.Request(
            f"{self.confluent}/subjects/{subject}/versions",
            data=body,
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(json.load(answer)["id"])

    def stop(self) -> None:
        self._process.stop()


def _program(kept: Path) -> Path:
    """The folder of the unpacked program, fetched when it is not there."""
    folder = kept / "apicurio"
    if not folder.exists():
        print("  fetching Apicurio Registry", flush=True)
        part = folder.with_name("apicurio.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        copy = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={_ARTIFACT}"]
        run([*copy, f"-DoutputDirectory={part}"], kept / "apicurio-maven.log")
        [archive] = part.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(part, filter="data")
        archive.unlink()
        os.replace(part, folder)
    return folder


def _java() -> str:
    """It needs a newer Java than Kafka."""
    for release in sorted(Path("/usr/lib/jvm").glob("*/release")):
        version = re.search(r'JAVA_VERSION="(\d+)', release.read_text())
        if version and int(version[1]) >= _LEAST_JAVA:
            return str(release.parent / "bin/java")
    raise Failure(f"Apicurio Registry needs Java {_LEAST_JAVA} or newer in /usr/lib/jvm")
