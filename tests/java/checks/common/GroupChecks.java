import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;

final class GroupChecks {
    private static final String ASSIGNORS = "org.apache.kafka.clients.consumer.";

    private GroupChecks() {}

    static void add(Checks checks) {
        for (String assignor : List.of("RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor")) {
            checks.check("members join and leave with " + assignor, () -> joinAndLeave(ASSIGNORS + assignor));
        }
        checks.check("cooperative members keep what does not move", GroupChecks::cooperativeKeeps);
        checks.check("a static member comes back without a rebalance", GroupChecks::staticMember);
        checks.check("a second member with the same instance id fences the first", GroupChecks::fencedInstance);
        checks.check("a member that goes silent is expelled after its session time-out", GroupChecks::silentMember);
        checks.check("a group is described with its members, and is empty when they left", GroupChecks::described);
        checks.check("a rebalance starts when partitions are added", GroupChecks::partitionsAdded);
    }

    private static boolean shares(int partitions, List<Member> members) {
        Set<TopicPartition> all = new HashSet<>();
        int count = 0;
        for (Member member : members) {
            if (member.assignment.isEmpty()) {
                return false;
            }
            all.addAll(member.assignment);
            count += member.assignment.size();
        }
        return all.size() == partitions && count == partitions;
    }

    private static Member member(String topic, String group, String assignor, String... more) {
        String[] settings = {"group.id", group, "partition.assignment.strategy", assignor,
            "session.timeout.ms", "6000", "heartbeat.interval.ms", "200", "metadata.max.age.ms", "1000"};
        String[] all = java.util.Arrays.copyOf(settings, settings.length + more.length);
        System.arraycopy(more, 0, all, settings.length, more.length);
        return new Member(topic, all);
    }

    private static void joinAndLeave(String assignor) throws Exception {
        String topic = Clients.newTopic(4);
        String group = Clients.name("group");
        for (int partition = 0; partition < 4; partition++) {
            Clients.fill(topic, partition, 25);
        }
        try (Member first = member(topic, group, assignor)) {
            Checks.eventually("one member has all", () -> shares(4, List.of(first)));
            Checks.eventually("it reads all", () -> first.values.size() == 100);
            try (Member second = member(topic, group, assignor)) {
                Checks.eventually("two members share", () -> shares(4, List.of(first, second)));
                for (int partition = 0; partition < 4; partition++) {
                    Clients.fill(topic, partition, 25);
                }
                Checks.eventually("each new record is read", () -> 200 <= first.values.size() + second.values.size());
                Checks.equal(200, first.values.size() + second.values.size(), "records read by both");
            }
            Checks.eventually("the one that is left has all", () -> shares(4, List.of(first)));
        }
    }

    private static void cooperativeKeeps() throws Exception {
        String topic = Clients.newTopic(6);
        String group = Clients.name("cooperative");
        String assignor = ASSIGNORS + "CooperativeStickyAssignor";
        try (Member first = member(topic, group, assignor)) {
            Checks.eventually("one member has all", () -> shares(6, List.of(first)));
            Set<TopicPartition> before = first.assignment;
            try (Member second = member(topic, group, assignor)) {
                Checks.eventually("two members share", () -> shares(6, List.of(first, second)));
                Checks.that(before.containsAll(first.assignment), "the first keeps a part of what it had");
                Checks.equal(3, first.assignment.size(), "half stays");
            }
        }
    }

    private static void staticMember() throws Exception {
        String topic = Clients.newTopic(4);
        String group = Clients.name("static");
        String range = ASSIGNORS + "RangeAssignor";
        try (Member other = member(topic, group, range, "group.instance.id", "other", "session.timeout.ms", "20000")) {
            Set<TopicPartition> assigned;
            try (Member first = member(topic, group, range, "group.instance.id", "me", "session.timeout.ms", "20000")) {
                Checks.eventually("two members share", () -> shares(4, List.of(other, first)));
                assigned = first.assignment;
            }
            int revocations = other.revocations;
            try (Member again = member(topic, group, range, "group.instance.id", "me", "session.timeout.ms", "20000")) {
                Checks.eventually("it gets its partitions back", () -> again.assignment.equals(assigned));
                Checks.equal(revocations, other.revocations, "revocations of the other member");
            }
        }
    }

    private static void fencedInstance() throws Exception {
        String topic = Clients.newTopic(1);
        String group = Clients.name("fenced");
        String range = ASSIGNORS + "RangeAssignor";
        Member first = member(topic, group, range, "group.instance.id", "same");
        Checks.eventually("the first has the partition", () -> shares(1, List.of(first)));
        try (Member second = member(topic, group, range, "group.instance.id", "same")) {
            Checks.eventually("the second has it", () -> shares(1, List.of(second)));
            Checks.eventually("the first is told", () -> first.error != null);
        }
        Checks.fails(FencedInstanceIdException.class, first::close);
    }

    private static void silentMember() throws Exception {
        String topic = Clients.newTopic(2);
        String group = Clients.name("silent");
        String range = ASSIGNORS + "RangeAssignor";
        SilentMember silent = SilentMember.join(topic, group);
        try (Member live = member(topic, group, range)) {
            Checks.eventually("the live member gets all in the end", () -> shares(2, List.of(live)));
        } finally {
            silent.close();
        }
    }

    private static void described() throws Exception {
        String topic = Clients.newTopic(2);
        String group = Clients.name("described");
        try (Admin admin = Clients.admin()) {
            try (Member member = member(topic, group, ASSIGNORS + "RangeAssignor", "client.id", "a-client")) {
                Checks.eventually("assigned", () -> shares(2, List.of(member)));
                Checks.eventually("stable", () -> describe(admin, group).state().toString().equals("Stable"));
                ConsumerGroupDescription description = describe(admin, group);
                Checks.equal("range", description.partitionAssignor(), "assignor");
                MemberDescription only = description.members().iterator().next();
                Checks.equal("a-client", only.clientId(), "client id");
                Checks.that(only.host().contains("127.0.0.1"), "host " + only.host());
                Checks.equal(2, only.assignment().topicPartitions().size(), "assigned partitions");
            }
            Checks.eventually("empty", () -> describe(admin, group).state().toString().equals("Empty"));
        }
    }

    private static ConsumerGroupDescription describe(Admin admin, String group) throws Exception {
        return admin.describeConsumerGroups(Collections.singleton(group)).all().get().get(group);
    }

    private static void partitionsAdded() throws Exception {
        String topic = Clients.newTopic(1);
        try (Admin admin = Clients.admin();
                Member member = member(topic, Clients.name("grows"), ASSIGNORS + "RangeAssignor")) {
            Checks.eventually("one partition", () -> shares(1, List.of(member)));
            admin.createPartitions(Collections.singletonMap(topic, org.apache.kafka.clients.admin.NewPartitions.increaseTo(3)))
                .all().get();
            Checks.eventually("three partitions", () -> shares(3, List.of(member)));
        }
    }
}
