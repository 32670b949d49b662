"""What is measured, one subject a module."""

from rig.scenarios.avro import AvroLake, AvroSink
from rig.scenarios.database import PostgresSink, PostgresSource
from rig.scenarios.files import FileSink, FileSource, JsonSink
from rig.scenarios.jdbc import JdbcSink, JdbcSource
from rig.scenarios.mirror import Mirror
from rig.scenarios.quiet import Idle, StartUp
from rig.scenarios.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    StartUp(),
    FileSource(),
    FileSink(),
    JsonSink(),
    AvroSink(),
    AvroLake(),
    PostgresSource(),
    PostgresSink(),
    JdbcSource("bulk", schemas=False),
    JdbcSource("bulk", schemas=True),
    JdbcSource("incrementing", schemas=False),
    JdbcSource("incrementing", schemas=True),
    JdbcSink("insert"),
    JdbcSink("upsert"),
    Mirror(),
    Idle(),
)
