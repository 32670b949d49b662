// Prints what Kafka's assignors answer to random groups over several generations. assignments.txt is what
// kafka-clients 4.3.1 said: java -cp kafka-clients-4.3.1.jar:slf4j-api.jar Assignments.java > assignments.txt
//
// A case is a line with the assignor, a line for each topic and a line for each member in the order of the
// coordinator's answer; `-` is "none":
//   + TOPIC RACKS,OF,EACH,PARTITION          a rack is a letter
//   MEMBER INSTANCE RACK GENERATION USER-DATA TOPICS OWNED ASSIGNED
// USER-DATA is the generation inside the assignor's own data, `v0` for the sticky assignor's first format.
import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.clients.consumer.internals.AbstractPartitionAssignor;
import org.apache.kafka.common.*;

public class Assignments {
    static final Random random = new Random(20260101);
    static final String[] ASSIGNORS = {"range", "range", "roundrobin", "sticky", "sticky", "cooperative-sticky", "cooperative-sticky"};
    static int refused = 0;

    static class Member {
        String id = "c-" + Long.toHexString(random.nextLong()), instance, rack;
        int generation = -1;
        Integer userGeneration;
        boolean isOldFormat;
        Set<String> topics = new TreeSet<>();
        List<TopicPartition> owned = List.of();
    }

    static boolean oneIn(int n) { return random.nextInt(n) == 0; }

    static AbstractPartitionAssignor assignor(String name) {
        switch (name) {
            case "range": return new RangeAssignor();
            case "roundrobin": return new RoundRobinAssignor();
            case "sticky": return new StickyAssignor();
            default: return new CooperativeStickyAssignor();
        }
    }

    @SuppressWarnings("removal")
    static ByteBuffer userData(String assignor, Member member) {
        if (member.userGeneration == null) return null;
        var metadata = new ConsumerGroupMetadata("g", member.userGeneration, member.id, Optional.empty());
        var writer = (ConsumerPartitionAssignor) assignor(assignor);
        writer.onAssignment(new Assignment(member.owned), metadata);
        var bytes = writer.subscriptionUserData(member.topics);
        if (bytes != null && member.isOldFormat) bytes.limit(bytes.limit() - 4);
        return bytes;
    }

    static Map<String, List<TopicPartition>> assign(String name, Map<String, List<String>> topics, List<Member> members) {
        var infos = new ArrayList<PartitionInfo>();
        topics.forEach((topic, partitions) -> {
            for (int p = 0; p < partitions.size(); p++) {
                var replicas = partitions.get(p).chars().filter(c -> c != '-')
                    .mapToObj(c -> new Node(c, "h", 1, String.valueOf((char) c))).toArray(Node[]::new);
                if (replicas.length == 0) replicas = new Node[] {new Node(1, "h", 1)};
                infos.add(new PartitionInfo(topic, p, replicas[0], replicas, replicas));
            }
        });
        var nodes = infos.stream().map(PartitionInfo::leader).distinct().collect(Collectors.toList());
        var cluster = new Cluster("c", nodes, infos, Set.of(), Set.of());
        var subscriptions = new HashMap<String, Subscription>();
        for (var m : members) {
            var owned = name.equals("cooperative-sticky") || random.nextBoolean() ? m.owned : List.<TopicPartition>of();
            var s = new Subscription(new ArrayList<>(m.topics), userData(name, m), owned, m.generation, Optional.ofNullable(m.rack));
            s.setGroupInstanceId(Optional.ofNullable(m.instance));
            subscriptions.put(m.id, s);
        }
        var result = new HashMap<String, List<TopicPartition>>();
        assignor(name).assign(cluster, new GroupSubscription(subscriptions)).groupAssignment()
            .forEach((id, assignment) -> result.put(id, assignment.partitions()));
        return result;
    }

    static String text(Collection<TopicPartition> partitions) {
        var byTopic = new TreeMap<String, TreeSet<Integer>>();
        partitions.forEach(tp -> byTopic.computeIfAbsent(tp.topic(), t -> new TreeSet<>()).add(tp.partition()));
        var text = byTopic.entrySet().stream()
            .map(e -> e.getKey() + ":" + e.getValue().stream().map(String::valueOf).collect(Collectors.joining(",")))
            .collect(Collectors.joining(";"));
        return text.isEmpty() ? "-" : text;
    }

    static String text(Object value) { return value == null || value.equals(-1) ? "-" : value.toString(); }

    static boolean isValid(List<Member> members, Map<String, List<TopicPartition>> assigned) {
        return members.stream().allMatch(m -> assigned.get(m.id).stream().allMatch(tp -> m.topics.contains(tp.topic())));
    }

    static void print(String name, Map<String, List<String>> topics, List<Member> members, Map<String, List<TopicPartition>> assigned) {
        System.out.println(name);
        topics.forEach((topic, racks) -> System.out.println("+ " + topic + " " + String.join(",", racks)));
        for (var m : members) {
            var user = m.userGeneration != null && m.isOldFormat ? "v0" : text(m.userGeneration == null ? null : m.userGeneration.toString());
            System.out.println(String.join(" ", m.id, text(m.instance), text(m.rack), text(m.generation), user,
                m.topics.isEmpty() ? "-" : String.join(",", m.topics), text(m.owned), text(assigned.get(m.id))));
        }
    }

    static List<String> partitions(int count, boolean hasRacks) {
        return IntStream.range(0, count).mapToObj(p -> {
            if (!hasRacks || oneIn(20)) return "-";
            var racks = IntStream.range(0, 1 + random.nextInt(2)).mapToObj(i -> String.valueOf((char) ('a' + random.nextInt(3))));
            return racks.distinct().sorted().collect(Collectors.joining());
        }).collect(Collectors.toCollection(ArrayList::new));
    }

    static void subscribe(Member member, Collection<String> topics, boolean toAll) {
        member.topics.clear();
        for (var topic : topics) if (toAll || random.nextBoolean()) member.topics.add(topic);
        if (member.topics.isEmpty()) member.topics.add(topics.iterator().next());
    }

    static Member member(Collection<String> topics, boolean toAll, boolean hasRacks) {
        var member = new Member();
        if (oneIn(4)) member.instance = "i" + random.nextInt(1000);
        if (hasRacks && !oneIn(6)) member.rack = String.valueOf((char) ('a' + random.nextInt(3)));
        subscribe(member, topics, toAll);
        return member;
    }

    /** A group over some generations: members and topics come and go, and some members come back with what is old. */
    static void group(boolean isLarge) {
        var name = ASSIGNORS[random.nextInt(ASSIGNORS.length)];
        boolean toAll = oneIn(2), hasRacks = !name.equals("roundrobin") && oneIn(2), isHostile = oneIn(4);
        var topics = new TreeMap<String, List<String>>();
        int most = isLarge ? 30 : 8, same = oneIn(3) ? 1 + random.nextInt(most) : 0;
        for (int t = 1 + random.nextInt(isLarge ? 6 : 4); t > 0; t--)
            topics.put("t" + t, partitions(same > 0 ? same : 1 + random.nextInt(most), hasRacks));
        var members = new ArrayList<Member>();
        for (int m = 1 + random.nextInt(isLarge ? 24 : 7); m > 0; m--) members.add(member(topics.keySet(), toAll, hasRacks));
        if (oneIn(10)) members.get(0).topics.add("unknown");
        for (int generation = 1, last = 1 + random.nextInt(5); generation <= last; generation++) {
            Map<String, List<TopicPartition>> assigned;
            try { assigned = assign(name, topics, members); } catch (RuntimeException e) { refused++; return; }
            if (!isValid(members, assigned)) { refused++; return; }
            print(name, topics, members, assigned);
            for (var m : members) {
                if (isHostile && oneIn(4)) continue; // It missed this generation.
                m.owned = new ArrayList<>(assigned.get(m.id));
                m.generation = isHostile && oneIn(5) ? -1 : generation;
                m.userGeneration = name.contains("sticky") && !(isHostile && oneIn(5)) ? (Integer) generation : null;
                m.isOldFormat = name.equals("sticky") && isHostile && oneIn(4);
            }
            if (!oneIn(3)) members.add(member(topics.keySet(), toAll, hasRacks));
            if (oneIn(2) && members.size() > 1) members.remove(random.nextInt(members.size()));
            if (oneIn(3)) topics.get(topics.firstKey()).addAll(partitions(2, hasRacks));
            if (oneIn(4)) topics.putIfAbsent("n" + generation, partitions(1 + random.nextInt(most), hasRacks));
            if (oneIn(4) && topics.size() > 1) topics.pollLastEntry();
            var all = topics.keySet();
            for (var m : members) {
                if (toAll || oneIn(5)) subscribe(m, all, toAll);
                if (!toAll) continue;
                m.topics.retainAll(all);
            }
            if (oneIn(4)) Collections.shuffle(members, random);
        }
    }

    public static void main(String[] arguments) {
        for (int i = 0; i < 260; i++) group(i % 26 == 25);
        System.err.println(refused + " groups ended where Java failed or gave a member what it had not subscribed to");
    }
}
