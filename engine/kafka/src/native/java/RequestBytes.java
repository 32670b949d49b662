// Prints how Java writes requests, in each version. requests.txt is what kafka-clients 4.3.1 said:
// java -cp kafka-clients-4.3.1.jar:slf4j-api.jar:jackson-databind.jar RequestBytes.java > requests.txt
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class RequestBytes {
    static void print(String name, short from, short to, java.util.function.Function<Short, ApiMessage> make) {
        for (short version = from; version <= to; version++) {
            var accessor = MessageUtil.toByteBufferAccessor(make.apply(version), version);
            var hex = new StringBuilder();
            var bytes = accessor.buffer();
            while (bytes.hasRemaining()) hex.append(String.format("%02x", bytes.get()));
            System.out.println(name + "-" + version + " " + hex);
        }
    }

    static void members() {
        print("join", (short) 2, (short) 9, v -> {
            var protocol = new JoinGroupRequestData.JoinGroupRequestProtocol().setName("range").setMetadata(new byte[] {1, 2});
            var data = new JoinGroupRequestData().setGroupId("g").setSessionTimeoutMs(6000).setRebalanceTimeoutMs(9000)
                .setMemberId("m").setProtocolType("consumer")
                .setProtocols(new JoinGroupRequestData.JoinGroupRequestProtocolCollection(List.of(protocol).iterator()));
            return v < 5 ? data : data.setGroupInstanceId("i").setReason("why");
        });
        print("sync", (short) 0, (short) 5, v -> {
            var assignment = new SyncGroupRequestData.SyncGroupRequestAssignment().setMemberId("m").setAssignment(new byte[] {1, 2});
            var data = new SyncGroupRequestData().setGroupId("g").setGenerationId(3).setMemberId("m").setAssignments(List.of(assignment));
            if (v >= 3) data.setGroupInstanceId("i");
            return data.setProtocolType("consumer").setProtocolName("range");
        });
        print("heartbeat", (short) 0, (short) 4, v -> {
            var data = new HeartbeatRequestData().setGroupId("g").setGenerationId(3).setMemberId("m");
            return v < 3 ? data : data.setGroupInstanceId("i");
        });
        print("leave", (short) 0, (short) 5, v -> {
            if (v < 3) return new LeaveGroupRequestData().setGroupId("g").setMemberId("m");
            var member = new LeaveGroupRequestData.MemberIdentity().setMemberId("m").setGroupInstanceId("i").setReason("why");
            return new LeaveGroupRequestData().setGroupId("g").setMembers(List.of(member));
        });
    }

    static void offsets() {
        print("commit", (short) 2, (short) 9, v -> {
            var partition = new OffsetCommitRequestData.OffsetCommitRequestPartition().setPartitionIndex(1).setCommittedOffset(7)
                .setCommittedLeaderEpoch(5).setCommittedMetadata("");
            var topic = new OffsetCommitRequestData.OffsetCommitRequestTopic().setName("t").setPartitions(List.of(partition));
            var data = new OffsetCommitRequestData().setGroupId("g").setGenerationIdOrMemberEpoch(3).setMemberId("m").setTopics(List.of(topic));
            return v < 7 ? data : data.setGroupInstanceId("i");
        });
        print("fetch", (short) 1, (short) 9, v -> {
            if (v < 8) {
                var topic = new OffsetFetchRequestData.OffsetFetchRequestTopic().setName("t").setPartitionIndexes(List.of(1));
                return new OffsetFetchRequestData().setGroupId("g").setTopics(List.of(topic)).setRequireStable(v >= 7);
            }
            var topic = new OffsetFetchRequestData.OffsetFetchRequestTopics().setName("t").setPartitionIndexes(List.of(1));
            var group = new OffsetFetchRequestData.OffsetFetchRequestGroup().setGroupId("g").setTopics(List.of(topic));
            if (v >= 9) group.setMemberId("m").setMemberEpoch(3);
            return new OffsetFetchRequestData().setGroups(List.of(group)).setRequireStable(true);
        });
    }

    static void modern() {
        print("modern-joins", (short) 0, (short) 1, v -> new ConsumerGroupHeartbeatRequestData().setGroupId("g").setMemberId("m")
            .setMemberEpoch(0).setInstanceId("i").setRackId("r").setRebalanceTimeoutMs(9000).setSubscribedTopicNames(List.of("t"))
            .setServerAssignor("uniform").setTopicPartitions(List.of()));
        print("modern-owns", (short) 0, (short) 1, v -> new ConsumerGroupHeartbeatRequestData().setGroupId("g").setMemberId("m")
            .setMemberEpoch(3).setInstanceId("i").setTopicPartitions(List.of(new ConsumerGroupHeartbeatRequestData.TopicPartitions()
                .setTopicId(new Uuid(1, 2)).setPartitions(List.of(0, 4)))));
        print("modern-lives", (short) 0, (short) 1, v -> new ConsumerGroupHeartbeatRequestData().setGroupId("g").setMemberId("m")
            .setMemberEpoch(3).setInstanceId("i"));
    }

    static void records() {
        for (String id : new String[] {null, "x"}) {
            print(id == null ? "produce" : "produce-in-transaction", (short) 3, (short) 13, v -> {
                var topics = new ProduceRequestData.TopicProduceDataCollection();
                topics.add(produced("a", new Uuid(0, 1), new int[] {0, 5}, new int[] {1, 300}));
                topics.add(produced("b".repeat(200), new Uuid(0, 2), new int[] {1}, new int[] {5}));
                topics.add(produced("c", new Uuid(0, 3), new int[] {0}, new int[] {0}));
                return new ProduceRequestData().setTransactionalId(id).setAcks((short) -1).setTimeoutMs(30000).setTopicData(topics);
            });
        }
        print("records", (short) 4, (short) 18, v -> {
            var partition = new FetchRequestData.FetchPartition().setPartition(1).setFetchOffset(7).setPartitionMaxBytes(4000);
            if (v >= 9) partition.setCurrentLeaderEpoch(5);
            var topic = new FetchRequestData.FetchTopic().setTopic("t").setTopicId(new Uuid(0, 1)).setPartitions(List.of(partition));
            var data = new FetchRequestData().setMaxWaitMs(300).setMinBytes(2).setMaxBytes(9000).setIsolationLevel((byte) 1)
                .setTopics(List.of(topic)).setRackId("r");
            if (v < 7) return data;
            var forgotten = new FetchRequestData.ForgottenTopic().setTopic("u").setTopicId(new Uuid(0, 2)).setPartitions(List.of(3, 4));
            return data.setSessionId(11).setSessionEpoch(12).setForgottenTopicsData(List.of(forgotten));
        });
        print("list-offsets", (short) 1, (short) 10, v -> {
            var partition = new ListOffsetsRequestData.ListOffsetsPartition().setPartitionIndex(1).setTimestamp(-2);
            var topic = new ListOffsetsRequestData.ListOffsetsTopic().setName("t").setPartitions(List.of(partition));
            var data = new ListOffsetsRequestData().setReplicaId(-1).setTopics(List.of(topic)).setTimeoutMs(9000);
            return v < 2 ? data : data.setIsolationLevel((byte) 1);
        });
    }

    static ProduceRequestData.TopicProduceData produced(String name, Uuid id, int[] partitions, int[] lengths) {
        var topic = new ProduceRequestData.TopicProduceData().setName(name).setTopicId(id);
        for (int i = 0; i < partitions.length; i++) {
            var bytes = new byte[lengths[i]];
            Arrays.fill(bytes, (byte) 7);
            var records = MemoryRecords.readableRecords(java.nio.ByteBuffer.wrap(bytes));
            topic.partitionData().add(new ProduceRequestData.PartitionProduceData().setIndex(partitions[i]).setRecords(records));
        }
        return topic;
    }

    static void transactions() {
        print("init", (short) 0, (short) 5, v -> {
            var data = new InitProducerIdRequestData().setTransactionalId("x").setTransactionTimeoutMs(60000);
            return v < 3 ? data : data.setProducerId(7).setProducerEpoch((short) 2);
        });
        print("add", (short) 0, (short) 3, v -> new AddPartitionsToTxnRequestData().setV3AndBelowTransactionalId("x")
            .setV3AndBelowProducerId(7).setV3AndBelowProducerEpoch((short) 2)
            .setV3AndBelowTopics(new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopicCollection(List.of(
                new AddPartitionsToTxnRequestData.AddPartitionsToTxnTopic().setName("t").setPartitions(List.of(0, 4))).iterator())));
        print("end", (short) 0, (short) 5, v -> new EndTxnRequestData().setTransactionalId("x").setProducerId(7)
            .setProducerEpoch((short) 2).setCommitted(true));
    }

    static void topics() {
        print("create-topics", (short) 2, (short) 7, v -> {
            var configs = new CreateTopicsRequestData.CreatableTopicConfigCollection();
            configs.add(new CreateTopicsRequestData.CreatableTopicConfig().setName("cleanup.policy").setValue("compact"));
            var topic = new CreateTopicsRequestData.CreatableTopic().setName("t").setNumPartitions(3).setReplicationFactor((short) 2).setConfigs(configs);
            return new CreateTopicsRequestData().setTimeoutMs(9000)
                .setTopics(new CreateTopicsRequestData.CreatableTopicCollection(List.of(topic).iterator()));
        });
    }

    public static void main(String[] arguments) {
        members();
        offsets();
        modern();
        records();
        transactions();
        topics();
    }
}
