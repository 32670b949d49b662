"""Decides where Kafka's jars and the Java connectors come from, and how a JVM is started.

Maven fetches them as it is configured on the machine. The versions are in the POMs: `kafka` shares
that of the test image, the others are in `benches/e2e/java`.
"""

import os
import shutil
from pathlib import Path

from rig.process import Failure, run

CLONE = Path(__file__).resolve().parents[3]
_POMS = CLONE / "benches/e2e/java"
_KAFKA_POM = CLONE / "integration/images/kafka/pom.xml"

# kafka-run-class.sh's KAFKA_JVM_PERFORMANCE_OPTS.
KAFKA_JVM = (
    "-server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 "
    "-XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true"
)

# What each plugin folder takes of its POM's jars, beside those at run time.
_PLUGINS = {
    "mirror": ["-DincludeArtifactIds=connect-mirror,connect-mirror-client"],
    "debezium-postgres": [],
    # Kafka's own are on the worker's class path, with a newer Jackson.
    "apicurio-avro": [
        "-DexcludeArtifactIds=connect-json,connect-api,kafka-clients,"
        "jackson-core,jackson-databind,jackson-annotations,jackson-datatype-jdk8,jackson-module-blackbird"
    ],
    # With a Jackson of its own, the plugin and the worker disagree on what a Module is.
    "debezium-jdbc": ["-DexcludeArtifactIds=jackson-core,jackson-databind,jackson-annotations"],
}

# Plugins that are found only by a scan of their classes.
UNLISTED = {"apicurio-avro"}

_LOGGING = """\
appender.stdout.type = Console
appender.stdout.name = STDOUT
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = WARN
rootLogger.appenderRef.stdout.ref = STDOUT
logger.connect.name = org.apache.kafka.connect
logger.connect.level = INFO
logger.broker.name = kafka.server.KafkaRaftServer
logger.broker.level = INFO
"""


class Java:
    """Kafka's jars in a folder, and the `java` on the path."""

    def __init__(self, folder: Path, jdbc: Path | None = None) -> None:
        self._folder = folder
        self._jdbc = jdbc
        self._libs = folder / "kafka"
        self._missing: dict[str, str] = {}
        folder.mkdir(parents=True, exist_ok=True)
        logging = folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        self._logging = f"-Dlog4j2.configurationFile=file:{logging}"
        self.executable = _executable()

    def fetch(self, plugins: set[str]) -> None:
        """Gets the jars that are missing. A plugin that cannot be had is noted, not fatal."""
        if not self._libs.exists():
            self._copy(_KAFKA_POM, self._libs, ["-DincludeScope=runtime"])
        # As in Kafka's own distribution, which keeps it off the class path.
        self._jars_of("file").mkdir(parents=True, exist_ok=True)
        for jar in self._libs.glob("connect-file-*.jar"):
            jar.rename(self._jars_of("file") / jar.name)
        for plugin in sorted(plugins & _PLUGINS.keys()):
            folder = self._jars_of(plugin)
            if folder.exists():
                continue
            options = ["-DincludeScope=runtime", *_PLUGINS[plugin]]
            try:
                self._copy(_POMS / f"{plugin}.xml", folder, options)
            except Failure as failure:
                self._missing[plugin] = str(failure)

    def lacks(self, plugins: tuple[str, ...]) -> bool:
        """Whether one of the plugins is to be had from its makers only, and was not given."""
        return "jdbc" in plugins and self._jdbc is None

    def trouble(self, plugins: tuple[str, ...]) -> str | None:
        """Why one of the plugins could not be had."""
        return next((self._missing[plugin] for plugin in plugins if plugin in self._missing), None)

    def plugin_path(self, plugins: tuple[str, ...]) -> str:
        """The worker's setting. Each folder in it holds plugins, each a folder."""
        return ",".join(str(self._jars_of(plugin).parent) for plugin in plugins)

    def _jars_of(self, plugin: str) -> Path:
        if plugin == "jdbc":
            return self._jdbc or self._folder / "no-jdbc/jars"
        return self._folder / "plugins" / plugin / "jars"

    def jars(self, pattern: str) -> list[Path]:
        """Those of Kafka's class path."""
        return sorted(self._libs.glob(pattern))

    def command(self, main: str, *, heap: str, jvm: str = KAFKA_JVM) -> list[str]:
        """The command line of a class of Kafka's, to be followed by its arguments."""
        options = [*heap.split(), *jvm.split(), self._logging]
        return [self.executable, *options, "-cp", f"{self._libs}/*", main]

    def _copy(self, pom: Path, folder: Path, options: list[str]) -> None:
        print(f"  fetching the jars of {pom.relative_to(CLONE)}", flush=True)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        maven = ["mvn", "-q", "-B", "-Dstyle.color=never", "-f", str(pom)]
        goal = ["dependency:copy-dependencies", f"-DoutputDirectory={part}", *options]
        run([*maven, *goal], self._folder / f"{pom.stem}-maven.log")
        os.replace(part, folder)


def _executable() -> str:
    home = os.environ.get("JAVA_HOME")
    found = str(Path(home, "bin/java")) if home else shutil.which("java")
    if not found or not shutil.which("mvn"):
        raise Failure("java and mvn are needed: `integration/setup.sh bench` installs them")
    return found
