"""Records of one topic into another, bytes as they are."""

from rig import data
from rig.floor import Floor, consume, produce
from rig.peer import CONSUMER, Peer
from rig.scenarios.files import fill
from rig.scenarios.scenario import BYTES, Copy, check, topic_digest
from rig.site import Site
from rig.worker import Job

_PARTITIONS = 4


class Mirror(Copy):
    name = "mirror"
    title = "Pass-through"
    about = (
        "MirrorSourceConnector, values of 100 characters in four partitions, one task, "
        "ByteArrayConverter; both clusters are the one broker. Millrace has no MirrorMaker yet: "
        "Java stands alone. "
        "Raw client: kcat -C into kcat -P."
    )
    programs = ("java",)
    plugins = ("file", "mirror")

    def prepare(self, site: Site) -> None:
        self._lines = data.lines(site.data, site.sizes.records)
        self._topic = f"{self.name}-values"
        fill(site, self._topic, _PARTITIONS, self._lines)

    def finish(self, site: Site) -> None:
        site.kafka.delete(self._topic)

    def job(self, site: Site, peer: Peer, tag: str) -> Job:
        topic = f"{tag}.{self._topic}"
        site.kafka.create(topic, _PARTITIONS)
        return Job(
            config=self._config(site, peer, tag),
            progress=lambda: site.kafka.records(topic),
            goal=self._lines.count,
            records=self._lines.count,
            bytes=self._lines.bytes,
            check=lambda: check("topic", topic_digest(site, topic), self._lines.digest),
            clear=lambda: site.kafka.delete(topic),
        )

    def _config(self, site: Site, peer: Peer, tag: str) -> dict[str, str]:
        consumer = {f"source.consumer.{key}": value for key, value in CONSUMER.items()}
        return {
            "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
            "tasks.max": "1",
            "source.cluster.alias": tag,
            "target.cluster.alias": "target",
            "source.cluster.bootstrap.servers": site.broker.address,
            "target.cluster.bootstrap.servers": site.broker.address,
            "topics": self._topic,
            "replication.factor": "1",
            "emit.offset-syncs.enabled": "false",
            "refresh.topics.enabled": "false",
            "sync.topic.configs.enabled": "false",
            "sync.topic.acls.enabled": "false",
            "key.converter": BYTES,
            "value.converter": BYTES,
            **(consumer if peer.is_tuned else {}),
            **peer.producer_settings,
        }

    def floor(self, site: Site, tag: str) -> Floor:
        site.kafka.create(tag, _PARTITIONS)
        address = site.broker.address
        return Floor(
            commands=[consume(address, self._topic), produce(address, tag)],
            output=None,
            records=self._lines.count,
            bytes=self._lines.bytes,
            check=lambda: check("topic", topic_digest(site, tag), self._lines.digest),
            clear=lambda: site.kafka.delete(tag),
        )
