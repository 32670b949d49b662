"""The same JDBC connector on both sides: a table into a topic, a topic into a table."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from rig import data
from rig.digest import Digest, digest
from rig.floor import Floor
from rig.peer import PSQL, Peer
from rig.postgres import DATABASE, USER
from rig.process import Process
from rig.scenarios.files import fill
from rig.scenarios.scenario import JSON, STRING, Copy, check, topic_digest
from rig.site import Site
from rig.worker import Job

_TABLE = "bench_rows"
_CREATE = f"""
create table {_TABLE} (id bigserial primary key, customer text not null,
  amount double precision not null, quantity int, active boolean not null,
  created_at timestamp not null, country varchar(2), note text)"""
_FILL = f"""
insert into {_TABLE} (customer, amount, quantity, active, created_at, country, note)
select 'customer-' || lpad((g::bigint * 7919 % 1000000)::text, 6, '0'), (g % 100000) / 100.0 + 0.01,
  nullif(g % 100, 13), g % 2 = 0, timestamp '2024-01-01' + (g || ' seconds')::interval,
  (array['FR', 'DE', 'US', 'JP', 'BR', null])[1 + g % 6], substr(md5(g::text), 1, 30)
from generate_series(1, {{rows}}) g"""
# What JsonConverter writes of a row, made by the database: Java's doubles always show a fraction.
_PAYLOADS = f"""
copy (select concat('{{"id":', id, ',"customer":"', customer, '","amount":', amount,
  case when amount = trunc(amount) then '.0' end, ',"quantity":', coalesce(quantity::text, 'null'),
  ',"active":', active::text, ',"created_at":', (extract(epoch from created_at) * 1000)::bigint,
  ',"country":', coalesce('"' || country || '"', 'null'), ',"note":"', note, '"}}')
from {_TABLE}) to stdout with (format csv, delimiter e'\\x02', quote e'\\x01')"""


def _url(site: Site) -> str:
    return f"jdbc:postgresql://127.0.0.1:{site.postgres.port}/{DATABASE}?user={USER}&password=none"


def _copied(site: Site, sql: str, part: Callable[[bytes], bytes] | None = None) -> Digest:
    """Of what a COPY writes."""
    log = site.scratch / "check.log"
    reader = Process(site.postgres.psql(sql), log, stdout=subprocess.PIPE)
    try:
        return digest(reader.output, part)
    finally:
        reader.output.close()
        reader.wait(60)


def _without_end(line: bytes) -> bytes:
    return line[:-1]


class JdbcSource(Copy):
    """A table of eight columns into a topic of one partition."""

    plugins = ("file", "jdbc")
    floor_peer = PSQL

    def __init__(self, mode: str, *, schemas: bool) -> None:
        self._mode, self._schemas = mode, schemas
        form = "with schemas" if schemas else "without schemas"
        self.name = f"jdbc-{mode}" + ("-schemas" if schemas else "")
        self.title = f"JDBC source, {mode}, JSON {form}"
        self.about = (
            f"A PostgreSQL table of eight columns into a topic of one partition, mode={mode}, "
            f"JsonConverter {form}. Java: Aiven's JDBC connector; tuned: batch.max.rows=5000, and "
            "for Java defaultRowFetchSize=5000 in the URL, without which its driver holds the "
            "whole table. Raw client: psql COPY TO STDOUT into /dev/null."
        )

    def prepare(self, site: Site) -> None:
        rows = site.sizes.rows
        site.postgres.execute(f"drop table if exists {_TABLE}; {_CREATE}")
        site.postgres.execute(_FILL.format(rows=rows))
        site.postgres.execute(f"vacuum analyze {_TABLE}")
        self._rows = rows
        self._payloads = _copied(site, _PAYLOADS, _without_end)

    def finish(self, site: Site) -> None:
        site.postgres.execute(f"drop table {_TABLE}")

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        topic = f"{tag}.{_TABLE}"
        site.kafka.create(topic, 1)
        part = data.payload_of if self._schemas else _without_end
        return Job(
            config={**self._config(site, peer, tag), **peer.producer_settings},
            progress=lambda: site.kafka.records(topic),
            goal=self._rows,
            records=self._rows,
            bytes=0,
            check=lambda: check("payloads", topic_digest(site, topic, part), self._payloads),
            clear=lambda: site.kafka.delete(topic),
        )

    def _config(self, site: Site, peer: Peer, tag: str) -> dict[str, str]:
        fetch = "&defaultRowFetchSize=5000" if peer.is_tuned and peer.program == "java" else ""
        return {
            "connector.class": "io.aiven.connect.jdbc.JdbcSourceConnector",
            "tasks.max": "1",
            "connection.url": _url(site) + fetch,
            "mode": self._mode,
            **({"incrementing.column.name": "id"} if self._mode == "incrementing" else {}),
            "table.whitelist": _TABLE,
            "topic.prefix": f"{tag}.",
            # A second reading of the whole table would be one too many.
            "poll.interval.ms": "3600000" if self._mode == "bulk" else "5000",
            "key.converter": JSON,
            "key.converter.schemas.enable": "false",
            "value.converter": JSON,
            "value.converter.schemas.enable": str(self._schemas).lower(),
            **({"batch.max.rows": "5000"} if peer.is_tuned else {}),
        }

    def floor(self, site: Site, tag: str) -> Floor:
        return Floor(
            commands=[site.postgres.psql(f"copy {_TABLE} to stdout")],
            output=Path("/dev/null"),
            records=self._rows,
            bytes=0,
            check=lambda: f"{self._rows:,} rows",
            clear=lambda: None,
        )


class JdbcSink(Copy):
    """Orders of a topic into a table with a primary key."""

    plugins = ("file", "jdbc")
    floor_peer = PSQL

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self.name = f"jdbc-sink-{mode}"
        self.title = f"JDBC sink, {mode}"
        there = "an empty table" if mode == "insert" else "a table that holds half of them"
        self.about = (
            f"Orders as JSON with schemas, in one partition, into {there}, which has a primary "
            f"key: insert.mode={mode}. Java: Aiven's JDBC connector; tuned: batch.size=5000 and "
            "reWriteBatchedInserts=true in Java's URL. Raw client: psql's \\copy of a file."
        )

    def prepare(self, site: Site) -> None:
        self._orders = data.orders(site.data, site.sizes.orders)
        self._topic = f"{self.name}-values"
        fill(site, self._topic, 1, self._orders.envelopes)

    def finish(self, site: Site) -> None:
        site.kafka.delete(self._topic)

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        table = self._create(site, tag)
        # Rows come in the order of their ids: the highest says how many there are, at no cost.
        arrived = f"select coalesce(max(id), 0) from {table}"
        return Job(
            config={**self._config(site, peer, table), **peer.consumer_settings},
            progress=lambda: int(site.postgres.ask(arrived)),
            goal=self._orders.count,
            records=self._orders.count,
            bytes=self._orders.envelopes.bytes,
            check=lambda: check("table", _copied(site, f"copy {table} to stdout"), self._orders.copy_text.digest),
            clear=lambda: site.postgres.execute(f"drop table {table}"),
            look_s=0.25,  # each is a launch of psql
        )

    def _create(self, site: Site, tag: str) -> str:
        table = tag.replace("-", "_")
        site.postgres.execute(f"create table {table} ({data.TABLE_COLUMNS})")
        if self._mode == "upsert":
            half = f"generate_series(1, {self._orders.count // 2}) g"
            values = "g, 'before', 0, 0, false, timestamp '2000-01-01', null, null"
            site.postgres.execute(f"insert into {table} select {values} from {half}")
            site.postgres.execute(f"vacuum analyze {table}")
        return table

    def _config(self, site: Site, peer: Peer, table: str) -> dict[str, str]:
        rewrite = "&reWriteBatchedInserts=true" if peer.is_tuned and peer.program == "java" else ""
        by_id = {"pk.mode": "record_value", "pk.fields": "id"}
        return {
            "connector.class": "io.aiven.connect.jdbc.JdbcSinkConnector",
            "tasks.max": "1",
            "topics": self._topic,
            "connection.url": _url(site) + rewrite,
            "insert.mode": self._mode,
            **(by_id if self._mode == "upsert" else {"pk.mode": "none"}),
            "table.name.format": table,
            "key.converter": STRING,
            "value.converter": JSON,
            "value.converter.schemas.enable": "true",
            **({"batch.size": "5000"} if peer.is_tuned else {}),
        }

    def floor(self, site: Site, tag: str) -> Floor:
        table = self._create(site, f"{tag}-floor")
        site.postgres.execute(f"truncate {table}")
        rows = self._orders.copy_text
        return Floor(
            commands=[site.postgres.psql(f"\\copy {table} from '{rows.path}'")],
            output=None,
            records=rows.count,
            bytes=rows.bytes,
            check=lambda: check("table", _copied(site, f"copy {table} to stdout"), rows.digest),
            clear=lambda: site.postgres.execute(f"drop table {table}"),
        )
