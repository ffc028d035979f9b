import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;

final class ProducerChecks {
    private ProducerChecks() {}

    static void add(Checks checks) {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            checks.check("producer sends and consumer reads back codec " + codec, () -> everyRecordOf(codec, "all"));
        }
        for (String acks : List.of("0", "1", "all")) {
            checks.check("producer sends with acks=" + acks, () -> everyRecordOf("lz4", acks));
        }
        checks.check("idempotent producer gets gapless offsets with five requests in flight", ProducerChecks::idempotent);
        checks.check("headers, null keys and null values survive", ProducerChecks::headersAndNulls);
        checks.check("explicit partitions and timestamps are kept", ProducerChecks::partitionsAndTimestamps);
        checks.check("log append time replaces the producer's timestamp", ProducerChecks::logAppendTime);
        checks.check("a topic is created on first use", ProducerChecks::autoCreation);
        checks.check("a record above max.message.bytes is refused", ProducerChecks::tooLarge);
        checks.check("a timestamp outside the topic's bounds is refused", ProducerChecks::timestampOutOfBounds);
        checks.check("an invalid topic name is refused", ProducerChecks::invalidTopic);
        checks.check("the topic's own codec is applied to what producers send", ProducerChecks::topicCodec);
        checks.check("a record of 900 kB travels whole", ProducerChecks::largeRecord);
    }

    private static void everyRecordOf(String codec, String acks) throws Exception {
        String topic = Clients.newTopic(1);
        int count = 2_000;
        List<RecordMetadata> answers = Clients.fill(topic, 0, count,
            "compression.type", codec, "acks", acks, "enable.idempotence", "false", "linger.ms", "5");
        List<ConsumerRecord<String, String>> records = Clients.readAll(new TopicPartition(topic, 0), count);
        for (int i = 0; i < count; i++) {
            if (!acks.equals("0")) {
                Checks.equal((long) i, answers.get(i).offset(), "acknowledged offset");
            }
            Checks.equal((long) i, records.get(i).offset(), "offset");
            Checks.equal("k-" + i, records.get(i).key(), "key");
            Checks.equal("v-" + i, records.get(i).value(), "value");
        }
    }

    private static void idempotent() throws Exception {
        String topic = Clients.newTopic(1);
        int count = 5_000;
        List<RecordMetadata> answers = Clients.fill(topic, 0, count, "acks", "all", "enable.idempotence", "true",
            "max.in.flight.requests.per.connection", "5", "batch.size", "512", "linger.ms", "0");
        for (int i = 0; i < count; i++) {
            Checks.equal((long) i, answers.get(i).offset(), "acknowledged offset");
        }
    }

    private static void headersAndNulls() throws Exception {
        String topic = Clients.newTopic(1);
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            ProducerRecord<String, String> record = new ProducerRecord<>(topic, 0, null, null);
            record.headers().add(new RecordHeader("a", "one".getBytes(StandardCharsets.UTF_8)));
            record.headers().add(new RecordHeader("a", new byte[0]));
            record.headers().add(new RecordHeader("nothing", null));
            producer.send(record).get();
        }
        ConsumerRecord<String, String> read = Clients.readAll(new TopicPartition(topic, 0), 1).get(0);
        Checks.equal(null, read.key(), "key");
        Checks.equal(null, read.value(), "value");
        Checks.equal(3, read.headers().toArray().length, "headers");
        Checks.equal("one", new String(read.headers().toArray()[0].value(), StandardCharsets.UTF_8), "first header");
        Checks.equal(0, read.headers().toArray()[1].value().length, "empty header");
        Checks.equal(null, read.headers().lastHeader("nothing").value(), "null header");
    }

    private static void partitionsAndTimestamps() throws Exception {
        String topic = Clients.newTopic(3);
        long base = System.currentTimeMillis() - 10_000;
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            List<PartitionInfo> partitions = producer.partitionsFor(topic);
            Checks.equal(3, partitions.size(), "partitions");
            for (int partition = 0; partition < 3; partition++) {
                RecordMetadata answer = producer.send(new ProducerRecord<>(topic, partition, base + partition, "k", "v")).get();
                Checks.equal(partition, answer.partition(), "partition");
                Checks.equal(base + partition, answer.timestamp(), "timestamp in the answer");
            }
        }
        for (int partition = 0; partition < 3; partition++) {
            ConsumerRecord<String, String> read = Clients.readAll(new TopicPartition(topic, partition), 1).get(0);
            Checks.equal(base + partition, read.timestamp(), "timestamp");
            Checks.equal(TimestampType.CREATE_TIME, read.timestampType(), "timestamp type");
        }
    }

    private static void logAppendTime() throws Exception {
        String topic = Clients.newTopic(1, "message.timestamp.type", "LogAppendTime");
        long before = System.currentTimeMillis();
        RecordMetadata answer;
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            answer = producer.send(new ProducerRecord<>(topic, 0, 1_000L, "k", "v")).get();
        }
        Checks.that(before <= answer.timestamp(), "the answer carries the time of the append");
        ConsumerRecord<String, String> read = Clients.readAll(new TopicPartition(topic, 0), 1).get(0);
        Checks.equal(answer.timestamp(), read.timestamp(), "timestamp");
        Checks.equal(TimestampType.LOG_APPEND_TIME, read.timestampType(), "timestamp type");
    }

    private static void autoCreation() throws Exception {
        String topic = Clients.name("auto");
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Checks.equal(0L, producer.send(new ProducerRecord<>(topic, "k", "v")).get().offset(), "offset");
        }
    }

    private static void tooLarge() throws Exception {
        String topic = Clients.newTopic(1, "max.message.bytes", "1000");
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Checks.fails(RecordTooLargeException.class,
                () -> producer.send(new ProducerRecord<>(topic, "k", "x".repeat(2_000))).get());
            producer.send(new ProducerRecord<>(topic, "k", "small enough")).get();
        }
    }

    private static void timestampOutOfBounds() throws Exception {
        String topic = Clients.newTopic(1, Compat.TIMESTAMP_BEFORE_CONFIG, "1000");
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Checks.fails(InvalidTimestampException.class,
                () -> producer.send(new ProducerRecord<>(topic, 0, 1_000L, "k", "v")).get());
        }
    }

    private static void invalidTopic() {
        try (KafkaProducer<String, String> producer = Clients.producer("max.block.ms", "10000")) {
            Checks.fails(InvalidTopicException.class, () -> producer.send(new ProducerRecord<>("not a topic", "k", "v")).get());
        }
    }

    private static void topicCodec() throws Exception {
        String topic = Clients.newTopic(1, "compression.type", "gzip");
        Clients.fill(topic, 0, 100, "compression.type", "lz4", "linger.ms", "50");
        List<ConsumerRecord<String, String>> records = Clients.readAll(new TopicPartition(topic, 0), 100);
        Checks.equal("v-99", records.get(99).value(), "last value");
    }

    private static void largeRecord() throws Exception {
        String topic = Clients.newTopic(1);
        String value = "0123456789".repeat(90_000);
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            Future<RecordMetadata> first = producer.send(new ProducerRecord<>(topic, 0, "k", value));
            Checks.equal(0L, first.get().offset(), "offset");
        }
        Checks.equal(value, Clients.readAll(new TopicPartition(topic, 0), 1).get(0).value(), "value");
    }
}
