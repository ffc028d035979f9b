import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicIdException;

/** What the clients learned between 3.0 and 3.9. */
final class NewerAdminChecks {
    private NewerAdminChecks() {}

    static void add(Checks checks) {
        checks.check("topics are described and deleted by id", AdminChecks.with(NewerAdminChecks::topicIds));
        checks.check("list offsets finds the largest timestamp", AdminChecks.with(NewerAdminChecks::maxTimestamp));
        checks.check("list offsets knows the local and tiered specials", AdminChecks.with(NewerAdminChecks::tieredSpecials));
        checks.check("active producers are described", AdminChecks.with(NewerAdminChecks::producers));
        checks.check("log directories tell the size of their volume", AdminChecks.with(NewerAdminChecks::volumes));
        checks.check("groups are listed by state", AdminChecks.with(NewerAdminChecks::groupsByState));
        checks.check("offsets of several groups are listed at once", AdminChecks.with(NewerAdminChecks::severalGroups));
    }

    private static void topicIds(Admin admin) throws Exception {
        String topic = Clients.newTopic(2);
        Uuid id = Compat.describeTopics(admin, Set.of(topic)).get(topic).topicId();
        Checks.that(!id.equals(Uuid.ZERO_UUID), "the topic has an id");
        TopicDescription byId = admin.describeTopics(TopicCollection.ofTopicIds(Set.of(id))).allTopicIds().get().get(id);
        Checks.equal(topic, byId.name(), "name by id");
        admin.deleteTopics(TopicCollection.ofTopicIds(Set.of(id))).all().get();
        Checks.eventually("gone", () -> !admin.listTopics().names().get().contains(topic));
        // For a moment Kafka may still know the id, and miss the topic.
        Checks.eventually("the id is unknown", () -> {
            try {
                admin.deleteTopics(TopicCollection.ofTopicIds(Set.of(id))).all().get();
                return false;
            } catch (ExecutionException refused) {
                return refused.getCause() instanceof UnknownTopicIdException;
            }
        });
    }

    private static void maxTimestamp(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Checks.equal(-1L, AdminChecks.offset(admin, partition, OffsetSpec.maxTimestamp()), "of an empty partition");
        long now = System.currentTimeMillis();
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            for (long timestamp : new long[] {now - 5, now + 5, now}) {
                producer.send(new ProducerRecord<>(partition.topic(), 0, timestamp, "k", "v")).get();
            }
        }
        Checks.equal(1L, AdminChecks.offset(admin, partition, OffsetSpec.maxTimestamp()), "offset of the largest");
    }

    private static void tieredSpecials(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Clients.fill(partition.topic(), 0, 3);
        Checks.equal(0L, AdminChecks.offset(admin, partition, OffsetSpec.earliestLocal()), "earliest local");
        Checks.equal(-1L, AdminChecks.offset(admin, partition, OffsetSpec.latestTiered()), "latest tiered");
    }

    private static void producers(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        try (KafkaProducer<String, String> producer = Clients.producer("enable.idempotence", "true")) {
            for (int i = 0; i < 3; i++) {
                producer.send(new ProducerRecord<>(partition.topic(), 0, "k", "v")).get();
            }
            Collection<ProducerState> states =
                admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
            Checks.equal(1, states.size(), "producers");
            Checks.equal(2, states.iterator().next().lastSequence(), "last sequence");
        }
    }

    private static void volumes(Admin admin) throws Exception {
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        LogDirDescription dir =
            admin.describeLogDirs(Set.of(broker)).allDescriptions().get().get(broker).values().iterator().next();
        Checks.that(0 < dir.totalBytes().getAsLong(), "total bytes");
        Checks.that(dir.usableBytes().getAsLong() <= dir.totalBytes().getAsLong(), "usable bytes");
    }

    private static void groupsByState(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        String group = Clients.name("empty");
        admin.alterConsumerGroupOffsets(group,
            Map.of(partition, new org.apache.kafka.clients.consumer.OffsetAndMetadata(1))).all().get();
        Checks.that(listed(admin, org.apache.kafka.common.ConsumerGroupState.EMPTY, group), "among the empty groups");
        Checks.that(!listed(admin, org.apache.kafka.common.ConsumerGroupState.STABLE, group), "not among the stable ones");
    }

    @SuppressWarnings("deprecation")
    private static boolean listed(Admin admin, org.apache.kafka.common.ConsumerGroupState state, String group) throws Exception {
        return admin.listConsumerGroups(new org.apache.kafka.clients.admin.ListConsumerGroupsOptions().inStates(Set.of(state)))
            .all().get().stream().anyMatch(listing -> listing.groupId().equals(group));
    }

    private static void severalGroups(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        String one = Clients.name("one");
        String two = Clients.name("two");
        long offset = 1;
        for (String group : List.of(one, two)) {
            admin.alterConsumerGroupOffsets(group,
                Map.of(partition, new org.apache.kafka.clients.consumer.OffsetAndMetadata(offset++))).all().get();
        }
        org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec all =
            new org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec();
        var offsets = admin.listConsumerGroupOffsets(Map.of(one, all, two, all)).all().get();
        Checks.equal(1L, offsets.get(one).get(partition).offset(), "of the first");
        Checks.equal(2L, offsets.get(two).get(partition).offset(), "of the second");
    }
}
