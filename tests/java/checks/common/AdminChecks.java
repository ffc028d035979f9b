import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

final class AdminChecks {
    private AdminChecks() {}

    static void add(Checks checks) {
        checks.check("topics are created, listed, described and deleted", with(AdminChecks::topicLife));
        checks.check("validate only creates nothing", with(AdminChecks::validateOnly));
        checks.check("each bad topic gets its own error", with(AdminChecks::badTopics));
        checks.check("explicit assignments and defaults of partition counts", with(AdminChecks::assignments));
        checks.check("partitions grow and never shrink", with(AdminChecks::partitions));
        checks.check("topic configs are altered one by one", with(AdminChecks::incrementalConfigs));
        checks.check("a wrong config value is refused", with(AdminChecks::badConfigs));
        checks.check("broker configs are described with sources and synonyms", with(AdminChecks::brokerConfigs));
        checks.check("the cluster is described", with(AdminChecks::cluster));
        checks.check("list offsets gives every special", with(AdminChecks::listOffsets));
        checks.check("records before an offset are deleted", with(AdminChecks::deleteRecords));
        checks.check("log directories are described with sizes", with(AdminChecks::logDirs));
        checks.check("groups are listed and deleted, and their offsets altered and deleted", with(AdminChecks::groups));
        checks.check("a topic that is deleted takes its offsets along", with(AdminChecks::deletedTopic));
        Compat.addAdminChecks(checks);
    }

    interface AdminBody {
        void run(Admin admin) throws Exception;
    }

    static Checks.Body with(AdminBody body) {
        return () -> {
            try (Admin admin = Clients.admin()) {
                body.run(admin);
            }
        };
    }

    private static TopicDescription describe(Admin admin, String topic) throws Exception {
        return Compat.describeTopics(admin, Set.of(topic)).get(topic);
    }

    private static void topicLife(Admin admin) throws Exception {
        String topic = Clients.newTopic(3);
        Checks.eventually("listed", () -> admin.listTopics().names().get().contains(topic));
        TopicDescription description = describe(admin, topic);
        Checks.equal(3, description.partitions().size(), "partitions");
        Checks.equal(false, description.isInternal(), "internal");
        Checks.equal(1, description.partitions().get(0).isr().size(), "in-sync replicas");
        Checks.that(description.partitions().get(0).leader() != null, "a leader");
        admin.deleteTopics(Set.of(topic)).all().get();
        Checks.eventually("no longer listed", () -> !admin.listTopics().names().get().contains(topic));
        Checks.fails(UnknownTopicOrPartitionException.class, () -> describe(admin, topic));
        Checks.fails(UnknownTopicOrPartitionException.class, () -> admin.deleteTopics(Set.of(topic)).all().get());
    }

    private static void validateOnly(Admin admin) throws Exception {
        String topic = Clients.name("validated");
        CreateTopicsResult result = admin.createTopics(
            Set.of(new NewTopic(topic, 2, (short) 1)), new CreateTopicsOptions().validateOnly(true));
        result.all().get();
        Checks.equal(2, result.numPartitions(topic).get(), "partitions in the answer");
        Checks.that(!admin.listTopics().names().get().contains(topic), "nothing was created");
    }

    private static void createFails(Admin admin, Class<? extends Throwable> error, NewTopic topic) {
        Checks.fails(error, () -> admin.createTopics(Set.of(topic)).all().get());
    }

    private static void badTopics(Admin admin) throws Exception {
        String existing = Clients.newTopic(1);
        createFails(admin, TopicExistsException.class, new NewTopic(existing, 1, (short) 1));
        createFails(admin, InvalidTopicException.class, new NewTopic("no spaces", 1, (short) 1));
        createFails(admin, InvalidTopicException.class, new NewTopic("x".repeat(250), 1, (short) 1));
        createFails(admin, InvalidPartitionsException.class, new NewTopic(Clients.name("bad"), 0, (short) 1));
        createFails(admin, InvalidReplicationFactorException.class, new NewTopic(Clients.name("bad"), 1, (short) 7));
        createFails(admin, InvalidConfigurationException.class,
            new NewTopic(Clients.name("bad"), 1, (short) 1).configs(Map.of("no.such.config", "1")));
        createFails(admin, InvalidConfigurationException.class,
            new NewTopic(Clients.name("bad"), 1, (short) 1).configs(Map.of("segment.bytes", "many")));
        // A name that differs from an existing one in dot and underscore only is the same name to the metrics.
        String name = Clients.name("dot");
        admin.createTopics(Set.of(new NewTopic(name + ".x", 1, (short) 1))).all().get();
        createFails(admin, InvalidTopicException.class, new NewTopic(name + "_x", 1, (short) 1));
    }

    private static void assignments(Admin admin) throws Exception {
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        String topic = Clients.name("assigned");
        admin.createTopics(Set.of(new NewTopic(topic, Map.of(0, List.of(broker), 1, List.of(broker))))).all().get();
        Checks.equal(2, describe(admin, topic).partitions().size(), "assigned partitions");
        String defaults = Clients.name("defaults");
        NewTopic newTopic = new NewTopic(defaults, java.util.Optional.empty(), java.util.Optional.empty());
        admin.createTopics(Set.of(newTopic)).all().get();
        Checks.equal(1, describe(admin, defaults).partitions().size(), "num.partitions");
    }

    private static void partitions(Admin admin) throws Exception {
        String topic = Clients.newTopic(1);
        admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
        Checks.eventually("four partitions", () -> describe(admin, topic).partitions().size() == 4);
        Clients.fill(topic, 3, 5);
        Clients.readAll(new TopicPartition(topic, 3), 5);
        Checks.fails(InvalidPartitionsException.class,
            () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());
        Checks.fails(UnknownTopicOrPartitionException.class,
            () -> admin.createPartitions(Map.of("no-such-topic", NewPartitions.increaseTo(2))).all().get());
    }

    private static ConfigResource resource(String topic) {
        return new ConfigResource(ConfigResource.Type.TOPIC, topic);
    }

    static Config describeConfig(Admin admin, ConfigResource resource) throws Exception {
        return admin.describeConfigs(Set.of(resource)).all().get().get(resource);
    }

    private static void alter(Admin admin, String topic, String key, String value, AlterConfigOp.OpType type) throws Exception {
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), type));
        admin.incrementalAlterConfigs(Map.of(resource(topic), ops)).all().get();
    }

    private static void incrementalConfigs(Admin admin) throws Exception {
        String topic = Clients.newTopic(1, "retention.ms", "7200000");
        ConfigEntry retention = describeConfig(admin, resource(topic)).get("retention.ms");
        Checks.equal("7200000", retention.value(), "retention.ms as created");
        Checks.equal(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, retention.source(), "its source");
        alter(admin, topic, "max.message.bytes", "5000", AlterConfigOp.OpType.SET);
        alter(admin, topic, "cleanup.policy", "compact", AlterConfigOp.OpType.APPEND);
        alter(admin, topic, "cleanup.policy", "delete", AlterConfigOp.OpType.SUBTRACT);
        Checks.eventually("max.message.bytes", () ->
            describeConfig(admin, resource(topic)).get("max.message.bytes").value().equals("5000"));
        Checks.eventually("cleanup.policy", () ->
            describeConfig(admin, resource(topic)).get("cleanup.policy").value().equals("compact"));
        Checks.equal("7200000", describeConfig(admin, resource(topic)).get("retention.ms").value(), "retention.ms is kept");
        alter(admin, topic, "retention.ms", null, AlterConfigOp.OpType.DELETE);
        Checks.eventually("retention.ms is the default again", () -> {
            ConfigEntry entry = describeConfig(admin, resource(topic)).get("retention.ms");
            return entry.value().equals("604800000") && entry.isDefault();
        });
    }

    private static void badConfigs(Admin admin) throws Exception {
        String topic = Clients.newTopic(1);
        Checks.fails(InvalidConfigurationException.class,
            () -> alter(admin, topic, "retention.ms", "soon", AlterConfigOp.OpType.SET));
        Checks.fails(InvalidConfigurationException.class,
            () -> alter(admin, topic, "cleanup.policy", "burn", AlterConfigOp.OpType.SET));
        Checks.fails(UnknownTopicOrPartitionException.class,
            () -> describeConfig(admin, resource("no-such-topic")));
    }

    private static void brokerConfigs(Admin admin) throws Exception {
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.BROKER, Integer.toString(broker));
        Config config = describeConfig(admin, resource);
        Checks.equal("1", config.get("offsets.topic.replication.factor").value(), "as the file says");
        Checks.equal(ConfigEntry.ConfigSource.STATIC_BROKER_CONFIG,
            config.get("offsets.topic.replication.factor").source(), "source of a value from the file");
        Checks.equal("168", config.get("log.retention.hours").value(), "a default");
        Checks.equal(ConfigEntry.ConfigSource.DEFAULT_CONFIG, config.get("log.retention.hours").source(), "its source");
        Checks.that(config.get("broker.id").isReadOnly(), "broker.id is read only");
        Checks.that(!config.get("log.retention.ms").isReadOnly(), "log.retention.ms changes at run time");
    }

    private static void cluster(Admin admin) throws Exception {
        DescribeClusterResult cluster = admin.describeCluster();
        Checks.equal(1, cluster.nodes().get().size(), "nodes");
        Checks.equal(cluster.nodes().get().iterator().next().id(), cluster.controller().get().id(), "controller");
        Checks.equal(22, cluster.clusterId().get().length(), "length of the cluster id");
    }

    static long offset(Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    private static void listOffsets(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Checks.equal(0L, offset(admin, partition, OffsetSpec.latest()), "latest of an empty partition");
        Clients.fill(partition.topic(), 0, 30);
        Checks.equal(0L, offset(admin, partition, OffsetSpec.earliest()), "earliest");
        Checks.equal(30L, offset(admin, partition, OffsetSpec.latest()), "latest");
        Checks.equal(0L, offset(admin, partition, OffsetSpec.forTimestamp(1)), "for a time before all");
        Checks.equal(-1L, offset(admin, partition, OffsetSpec.forTimestamp(Long.MAX_VALUE - 1)), "for a time after all");
    }

    private static void deleteRecords(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Clients.fill(partition.topic(), 0, 50);
        long low = admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(20)))
            .lowWatermarks().get(partition).get().lowWatermark();
        Checks.equal(20L, low, "low watermark");
        Checks.equal(20L, offset(admin, partition, OffsetSpec.earliest()), "earliest");
        Checks.equal("v-20", Clients.readAll(partition, 30).get(0).value(), "first value that is left");
        Checks.fails(OffsetOutOfRangeException.class,
            () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(51))).all().get());
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).all().get();
        Checks.equal(50L, offset(admin, partition, OffsetSpec.earliest()), "earliest once all are deleted");
    }

    private static void logDirs(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Clients.fill(partition.topic(), 0, 1_000);
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        Map<String, LogDirDescription> dirs = admin.describeLogDirs(Set.of(broker)).allDescriptions().get().get(broker);
        Checks.equal(1, dirs.size(), "directories");
        LogDirDescription dir = dirs.values().iterator().next();
        Checks.equal(null, dir.error(), "error");
        Checks.that(1_000 < dir.replicaInfos().get(partition).size(), "size of the partition");
        Checks.equal(0L, dir.replicaInfos().get(partition).offsetLag(), "lag");
    }

    private static void groups(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(2), 0);
        TopicPartition other = new TopicPartition(partition.topic(), 1);
        String group = Clients.name("offsets");
        admin.alterConsumerGroupOffsets(group, Map.of(partition, new OffsetAndMetadata(5, "note"), other, new OffsetAndMetadata(7)))
            .all().get();
        Checks.that(admin.listConsumerGroups().all().get().stream().anyMatch(listing -> listing.groupId().equals(group)), "listed");
        Map<TopicPartition, OffsetAndMetadata> offsets =
            admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
        Checks.equal(5L, offsets.get(partition).offset(), "altered offset");
        Checks.equal("note", offsets.get(partition).metadata(), "its metadata");
        admin.deleteConsumerGroupOffsets(group, Set.of(other)).all().get();
        Checks.that(!admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().containsKey(other), "deleted");
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            consumer.subscribe(Set.of(partition.topic()));
            Checks.eventually("joined", () -> {
                consumer.poll(java.time.Duration.ofMillis(100));
                return !consumer.assignment().isEmpty();
            });
            Checks.fails(GroupNotEmptyException.class, () -> admin.deleteConsumerGroups(Set.of(group)).all().get());
        }
        admin.deleteConsumerGroups(Set.of(group)).all().get();
        Checks.fails(GroupIdNotFoundException.class, () -> admin.deleteConsumerGroups(Set.of(group)).all().get());
    }

    private static void deletedTopic(Admin admin) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Clients.fill(partition.topic(), 0, 10);
        String group = Clients.name("deleted");
        admin.alterConsumerGroupOffsets(group, Collections.singletonMap(partition, new OffsetAndMetadata(5))).all().get();
        admin.deleteTopics(Set.of(partition.topic())).all().get();
        Checks.eventually("the offset is gone",
            () -> admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(partition) == null);
        Checks.eventually("created again", () -> {
            try {
                admin.createTopics(Set.of(new NewTopic(partition.topic(), 1, (short) 1))).all().get();
                return true;
            } catch (java.util.concurrent.ExecutionException stillThere) {
                return false;
            }
        });
        Checks.eventually("it begins empty", () -> offset(admin, partition, OffsetSpec.latest()) == 0);
    }
}
