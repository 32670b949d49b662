"""Rows of PostgreSQL into a topic, values of a topic into PostgreSQL."""

import subprocess

from rig import data
from rig.digest import Digest, digest
from rig.floor import Floor, produce
from rig.peer import Peer
from rig.postgres import DATABASE, USER
from rig.process import Process
from rig.scenarios.files import fill
from rig.scenarios.scenario import JSON, STRING, Copy, check, topic_digest
from rig.site import Site
from rig.worker import Job

_TABLE = "orders"
_CONVERTERS = {
    "key.converter": JSON,
    "key.converter.schemas.enable": "false",
    "value.converter": JSON,
    "value.converter.schemas.enable": "true",
}


class PostgresSource(Copy):
    name = "postgres-source"
    title = "PostgreSQL source"
    about = (
        "A table of eight columns into a topic of one partition, JsonConverter with schemas. Not "
        "the same connector on both sides: Java has Debezium 3.7.0.Final (a snapshot, flattened by "
        "ExtractNewRecordState), as Maven Central has no JDBC source; Millrace has its JDBC source "
        "(incrementing). jdbc-incrementing has the same on both. The payloads are equal byte for "
        "byte. "
        "Raw client: psql COPY TO STDOUT into kcat -P, text and not JSON."
    )
    plugins = ("file", "debezium-postgres")

    def prepare(self, site: Site) -> None:
        self._orders = data.orders(site.data, site.sizes.orders)
        site.postgres.load(_TABLE, self._orders.copy_text)

    def finish(self, site: Site) -> None:
        site.postgres.execute(f"drop table {_TABLE}")

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        is_java = peer.program == "java"
        topic = f"{tag}.public.{_TABLE}" if is_java else f"{tag}.{_TABLE}"
        config = _debezium(site, peer, tag) if is_java else _jdbc(site, peer, tag)
        site.kafka.create(topic, 1)

        def clear() -> None:
            site.kafka.delete(topic)
            _drop_replication(site)

        return Job(
            config={**config, **_CONVERTERS, **peer.producer_settings},
            progress=lambda: site.kafka.records(topic),
            goal=self._orders.count,
            records=self._orders.count,
            bytes=self._orders.envelopes.bytes,
            check=lambda: check(
                "payloads", topic_digest(site, topic, data.payload_of), self._orders.payloads
            ),
            clear=clear,
        )

    def floor(self, site: Site, tag: str) -> Floor:
        site.kafka.create(tag, 1)
        rows = self._orders.copy_text
        select = site.postgres.psql(f"copy {_TABLE} to stdout")
        return Floor(
            commands=[select, produce(site.broker.address, tag)],
            output=None,
            records=rows.count,
            bytes=rows.bytes,
            check=lambda: check("topic", topic_digest(site, tag), rows.digest),
            clear=lambda: site.kafka.delete(tag),
        )


def _jdbc(site: Site, peer: Peer, tag: str) -> dict[str, str]:
    where = f"127.0.0.1:{site.postgres.port}/{DATABASE}"
    return {
        "connector.class": "io.confluent.connect.jdbc.JdbcSourceConnector",
        "tasks.max": "1",
        "connection.url": f"jdbc:postgresql://{where}?user={USER}&password=none",
        "mode": "incrementing",
        "incrementing.column.name": "id",
        "table.whitelist": _TABLE,
        "topic.prefix": f"{tag}.",
        **({"batch.max.rows": "5000"} if peer.is_tuned else {}),
    }


def _debezium(site: Site, peer: Peer, tag: str) -> dict[str, str]:
    tuned = {"max.batch.size": "8192", "max.queue.size": "32768"}
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "tasks.max": "1",
        "database.hostname": "127.0.0.1",
        "database.port": str(site.postgres.port),
        "database.user": USER,
        "database.password": "none",
        "database.dbname": DATABASE,
        "topic.prefix": tag,
        "plugin.name": "pgoutput",
        "slot.name": tag.replace("-", "_"),
        "table.include.list": f"public.{_TABLE}",
        "snapshot.mode": "initial_only",
        "snapshot.fetch.size": "5000",
        "time.precision.mode": "connect",
        "transforms": "flat",
        "transforms.flat.type": "io.debezium.transforms.ExtractNewRecordState",
        **(tuned if peer.is_tuned else {}),
    }


def _drop_replication(site: Site) -> None:
    """Debezium leaves its slot and its publication behind."""
    slots = "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active"
    site.postgres.execute(slots)
    site.postgres.execute("drop publication if exists dbz_publication")


class PostgresSink(Copy):
    name = "postgres-sink"
    title = "PostgreSQL sink"
    about = (
        "Orders as JSON with schemas, in one partition, inserted into a table with a primary key. "
        "Java alone, Debezium's JDBC sink 3.5.0.Final: jdbc-sink-insert has the same connector on "
        "both sides."
    )
    programs = ("java",)
    plugins = ("file", "debezium-jdbc")
    has_floor = False

    def prepare(self, site: Site) -> None:
        self._orders = data.orders(site.data, site.sizes.inserts)
        self._topic = f"{self.name}-values"
        fill(site, self._topic, 1, self._orders.envelopes)

    def finish(self, site: Site) -> None:
        site.kafka.delete(self._topic)

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        table = tag.replace("-", "_")
        site.postgres.execute(f"create table {table} ({data.TABLE_COLUMNS})")
        # Rows come in the order of their ids: the highest says how many there are, at no cost.
        arrived = f"select coalesce(max(id), 0) from {table}"
        return Job(
            config={**_debezium_sink(site, peer, table), "topics": self._topic},
            progress=lambda: int(site.postgres.ask(arrived)),
            goal=self._orders.count,
            records=self._orders.count,
            bytes=self._orders.envelopes.bytes,
            check=lambda: check("table", _table_digest(site, table), self._orders.copy_text.digest),
            clear=lambda: site.postgres.execute(f"drop table {table}"),
            look_s=0.25,  # each is a launch of psql
        )


def _debezium_sink(site: Site, peer: Peer, table: str) -> dict[str, str]:
    return {
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "connection.url": f"jdbc:postgresql://127.0.0.1:{site.postgres.port}/{DATABASE}",
        "connection.username": USER,
        "connection.password": "none",
        "insert.mode": "insert",
        "primary.key.mode": "record_value",
        "primary.key.fields": "id",
        "schema.evolution": "none",
        "collection.name.format": table,
        **_CONVERTERS,
        "key.converter": STRING,
        **({"batch.size": "5000"} if peer.is_tuned else {}),
        **peer.consumer_settings,
    }


def _table_digest(site: Site, table: str) -> Digest:
    command = site.postgres.psql(f"copy {table} to stdout")
    reader = Process(command, site.scratch / "check.log", stdout=subprocess.PIPE)
    try:
        return digest(reader.output)
    finally:
        reader.output.close()
        reader.wait(60)
