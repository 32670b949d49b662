// Prints how Java's consumers write subscriptions, assignments and the sticky assignor's data. bytes.txt is what
// kafka-clients 4.3.1 said: java -cp kafka-clients-4.3.1.jar:slf4j-api.jar ProtocolBytes.java > bytes.txt
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.TopicPartition;

public class ProtocolBytes {
    static void print(String what, ByteBuffer bytes) {
        var hex = new StringBuilder();
        while (bytes.hasRemaining()) hex.append(String.format("%02x", bytes.get()));
        System.out.println(what + " " + hex);
    }

    @SuppressWarnings("removal")
    public static void main(String[] arguments) {
        var partitions = List.of(new TopicPartition("orders", 2), new TopicPartition("a", 7), new TopicPartition("orders", 0));
        var data = ByteBuffer.wrap(new byte[] {1, 2, 3});
        var full = new Subscription(List.of("orders", "a"), data, partitions, 5, Optional.of("rack-1"));
        var bare = new Subscription(List.of("orders"));
        var sorted = List.of(new TopicPartition("a", 7), new TopicPartition("orders", 0), new TopicPartition("orders", 2));
        for (short version = 0; version <= 3; version++) {
            print("subscription-" + version + "-full", ConsumerProtocol.serializeSubscription(full, version));
            print("subscription-" + version + "-bare", ConsumerProtocol.serializeSubscription(bare, version));
            print("assignment-" + version + "-full", ConsumerProtocol.serializeAssignment(new Assignment(sorted, data), version));
            print("assignment-" + version + "-bare", ConsumerProtocol.serializeAssignment(new Assignment(List.of()), version));
        }
        var metadata = new ConsumerGroupMetadata("g", 5, "m", Optional.empty());
        for (ConsumerPartitionAssignor assignor : List.of(new StickyAssignor(), new CooperativeStickyAssignor())) {
            var first = assignor.subscriptionUserData(Set.of("a"));
            if (first != null) print(assignor.name() + "-first", first);
            assignor.onAssignment(new Assignment(sorted), metadata);
            print(assignor.name() + "-later", assignor.subscriptionUserData(Set.of("a")));
        }
    }
}
