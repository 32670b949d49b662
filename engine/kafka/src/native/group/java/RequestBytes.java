// Prints how Java writes the requests of members, in each version. requests.txt is what kafka-clients 4.3.1 said:
// java -cp kafka-clients-4.3.1.jar:slf4j-api.jar:jackson-databind.jar RequestBytes.java > requests.txt
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;

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

    public static void main(String[] arguments) {
        members();
        offsets();
        modern();
    }
}
