import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

final class ConsumerChecks {
    private ConsumerChecks() {}

    static void add(Checks checks) {
        checks.check("consumer seeks within an assigned partition", ConsumerChecks::seek);
        checks.check("beginning and end offsets", ConsumerChecks::ends);
        checks.check("offsets for times", ConsumerChecks::offsetsForTimes);
        checks.check("a read beyond the end is out of range", ConsumerChecks::outOfRange);
        checks.check("a paused partition gives nothing until it is resumed", ConsumerChecks::pause);
        checks.check("a long poll returns soon after a record arrives", ConsumerChecks::longPoll);
        checks.check("fetch.min.bytes holds an answer back until fetch.max.wait.ms", ConsumerChecks::minBytes);
        checks.check("byte limits still let one large batch through", ConsumerChecks::byteLimits);
        checks.check("read_committed reads plain records", ConsumerChecks::readCommitted);
        checks.check("commits, sync and async, with metadata, come back", ConsumerChecks::commits);
        checks.check("list topics and partitions", ConsumerChecks::listTopics);
    }

    private static TopicPartition filled(int count) throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        Clients.fill(partition.topic(), 0, count, "batch.size", "1000");
        return partition;
    }

    private static void seek() throws Exception {
        TopicPartition partition = filled(500);
        try (KafkaConsumer<String, String> consumer = Clients.consumer("max.poll.records", "10")) {
            consumer.assign(Collections.singleton(partition));
            for (long offset : new long[] {137, 0, 499, 250}) {
                consumer.seek(partition, offset);
                ConsumerRecord<String, String> first = Clients.take(consumer, (int) Math.min(10, 500 - offset)).get(0);
                Checks.equal(offset, first.offset(), "first offset after the seek");
                Checks.equal("v-" + offset, first.value(), "first value after the seek");
            }
            consumer.seekToEnd(Collections.singleton(partition));
            Checks.equal(500L, consumer.position(partition), "position at the end");
            consumer.seekToBeginning(Collections.singleton(partition));
            Checks.equal(0L, consumer.position(partition), "position at the beginning");
        }
    }

    private static void ends() throws Exception {
        TopicPartition partition = filled(42);
        try (KafkaConsumer<String, String> consumer = Clients.consumer()) {
            Checks.equal(Map.of(partition, 0L), consumer.beginningOffsets(Collections.singleton(partition)), "beginning");
            Checks.equal(Map.of(partition, 42L), consumer.endOffsets(Collections.singleton(partition)), "end");
        }
    }

    private static void offsetsForTimes() throws Exception {
        TopicPartition partition = new TopicPartition(Clients.newTopic(1), 0);
        long base = System.currentTimeMillis() - 1_000_000;
        try (KafkaProducer<String, String> producer = Clients.producer()) {
            for (int i = 0; i < 100; i++) {
                producer.send(new ProducerRecord<>(partition.topic(), 0, base + i * 10L, "k", "v"));
            }
        }
        try (KafkaConsumer<String, String> consumer = Clients.consumer()) {
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, base + 501)).get(partition);
            Checks.equal(51L, found.offset(), "first offset at or after the time");
            Checks.equal(base + 510, found.timestamp(), "its timestamp");
            Checks.equal(0L, consumer.offsetsForTimes(Map.of(partition, 0L)).get(partition).offset(), "before the first");
            Checks.equal(null, consumer.offsetsForTimes(Map.of(partition, base + 5_000)).get(partition), "after the last");
        }
    }

    private static void outOfRange() throws Exception {
        TopicPartition partition = filled(10);
        try (KafkaConsumer<String, String> consumer = Clients.consumer("auto.offset.reset", "none")) {
            consumer.assign(Collections.singleton(partition));
            consumer.seek(partition, 1_000);
            Checks.fails(OffsetOutOfRangeException.class, () -> {
                for (int i = 0; i < 50; i++) {
                    consumer.poll(Duration.ofMillis(200));
                }
            });
        }
    }

    private static void pause() throws Exception {
        String topic = Clients.newTopic(2);
        Clients.fill(topic, 0, 10);
        Clients.fill(topic, 1, 10);
        TopicPartition paused = new TopicPartition(topic, 0);
        TopicPartition open = new TopicPartition(topic, 1);
        try (KafkaConsumer<String, String> consumer = Clients.consumer()) {
            consumer.assign(List.of(paused, open));
            consumer.pause(Collections.singleton(paused));
            for (ConsumerRecord<String, String> record : Clients.take(consumer, 10)) {
                Checks.equal(1, record.partition(), "only the open partition gives records");
            }
            consumer.resume(Collections.singleton(paused));
            Clients.take(consumer, 10);
        }
    }

    private static void longPoll() throws Exception {
        TopicPartition partition = filled(1);
        try (KafkaConsumer<String, String> consumer = Clients.consumer("fetch.max.wait.ms", "6000");
                KafkaProducer<String, String> producer = Clients.producer()) {
            consumer.assign(Collections.singleton(partition));
            Clients.take(consumer, 1);
            consumer.poll(Duration.ofMillis(300));
            long started = System.nanoTime();
            producer.send(new ProducerRecord<>(partition.topic(), 0, "k", "late")).get();
            Checks.equal("late", Clients.take(consumer, 1).get(0).value(), "value");
            Checks.that(TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started) < 3_000, "the poll was answered early");
        }
    }

    private static void minBytes() throws Exception {
        TopicPartition partition = filled(1);
        try (KafkaConsumer<String, String> consumer =
                Clients.consumer("fetch.min.bytes", "1000000", "fetch.max.wait.ms", "1500")) {
            consumer.assign(Collections.singleton(partition));
            consumer.seek(partition, 0);
            consumer.partitionsFor(partition.topic());
            long started = System.nanoTime();
            Clients.take(consumer, 1);
            long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
            Checks.that(1_000 < millis, "the answer waited for more bytes, but came after " + millis + " ms");
        }
    }

    private static void byteLimits() throws Exception {
        String topic = Clients.newTopic(2);
        String value = "x".repeat(100_000);
        try (KafkaProducer<String, String> producer = Clients.producer("linger.ms", "0")) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(topic, i % 2, "k", value)).get();
            }
        }
        try (KafkaConsumer<String, String> consumer =
                Clients.consumer("max.partition.fetch.bytes", "1000", "fetch.max.bytes", "1000")) {
            consumer.assign(List.of(new TopicPartition(topic, 0), new TopicPartition(topic, 1)));
            Clients.take(consumer, 10);
        }
    }

    private static void readCommitted() throws Exception {
        TopicPartition partition = filled(100);
        try (KafkaConsumer<String, String> consumer = Clients.consumer("isolation.level", "read_committed")) {
            consumer.assign(Collections.singleton(partition));
            Clients.take(consumer, 100);
            Checks.equal(Map.of(partition, 100L), consumer.endOffsets(Collections.singleton(partition)), "last stable offset");
        }
    }

    private static void commits() throws Exception {
        TopicPartition partition = filled(100);
        String group = Clients.name("commits");
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            consumer.assign(Collections.singleton(partition));
            Checks.equal(null, consumer.committed(Collections.singleton(partition)).get(partition), "nothing committed yet");
            consumer.commitSync(Map.of(partition, new OffsetAndMetadata(10, "ten")));
            OffsetAndMetadata committed = consumer.committed(Collections.singleton(partition)).get(partition);
            Checks.equal(10L, committed.offset(), "committed offset");
            Checks.equal("ten", committed.metadata(), "metadata");
            CompletableFuture<Exception> done = new CompletableFuture<>();
            consumer.commitAsync(Map.of(partition, new OffsetAndMetadata(20)), (offsets, error) -> done.complete(error));
            while (!done.isDone()) {
                consumer.poll(Duration.ofMillis(50));
            }
            Checks.equal(null, done.get(), "error of the async commit");
        }
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", group)) {
            consumer.assign(Collections.singleton(partition));
            ConsumerRecord<String, String> first = Clients.take(consumer, 80).get(0);
            Checks.equal(20L, first.offset(), "a new consumer goes on from the commit");
        }
    }

    private static void listTopics() throws Exception {
        String topic = Clients.newTopic(4);
        try (KafkaConsumer<String, String> consumer = Clients.consumer()) {
            Checks.eventually("the topic is listed", () -> consumer.listTopics().containsKey(topic));
            Checks.equal(4, consumer.partitionsFor(topic).size(), "partitions");
        }
    }
}
