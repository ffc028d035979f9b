import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * A producer and a group member with Kafka's Java client, for the cluster's scenarios: {@code both NAME FOLDER SETTINGS}.
 * Settings (JSON) and history are those of tests/crash/clients.py. The file FOLDER/NAME.produced says that every record
 * is answered.
 */
public final class ClusterClient {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final int OPEN_MAX = 2000;
    private static final long FINISH_NANOS_MAX = 60_000_000_000L;

    private final String name;
    private final Path folder;
    private final JsonNode settings;
    private final String topic;
    private final int partitions;
    private final BufferedWriter history;

    private ClusterClient(String name, Path folder, JsonNode settings) throws IOException {
        this.name = name;
        this.folder = folder;
        this.settings = settings;
        topic = settings.get("topic").asText();
        partitions = settings.get("partitions").asInt();
        history = Files.newBufferedWriter(folder.resolve(name + ".jsonl"));
    }

    public static void main(String[] arguments) throws Exception {
        ClusterClient client = new ClusterClient(arguments[1], Path.of(arguments[2]), JSON.readTree(arguments[3]));
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread producer = thread(client::produce, failure);
        Thread member = thread(client::process, failure);
        producer.join();
        member.join();
        client.history.close();
        if (failure.get() != null) {
            failure.get().printStackTrace();
        }
        System.exit(failure.get() == null ? 0 : 1);
    }

    private interface Work {
        void run() throws Exception;
    }

    private static Thread thread(Work work, AtomicReference<Throwable> failure) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Throwable problem) {
                failure.compareAndSet(null, problem);
            }
        });
        thread.start();
        return thread;
    }

    private Map<String, Object> common() {
        Map<String, Object> map = new HashMap<>();
        map.put("bootstrap.servers", settings.get("bootstrap").asText());
        map.put("reconnect.backoff.ms", 20);
        map.put("reconnect.backoff.max.ms", 200);
        map.put("retry.backoff.ms", 50);
        map.put("request.timeout.ms", 5000);
        map.put("metadata.max.age.ms", 2000);
        return map;
    }

    private boolean exists(String file) {
        return Files.exists(folder.resolve(file));
    }

    private ObjectNode event(String kind) {
        return JSON.createObjectNode().put("t", System.nanoTime()).put("event", kind);
    }

    private ObjectNode place(ObjectNode event, int partition, long offset) {
        return event.put("topic", topic).put("partition", partition).put("offset", offset);
    }

    private synchronized void write(ObjectNode event) throws IOException {
        history.write(event.toString());
        history.write('\n');
    }

    private synchronized void flush() throws IOException {
        history.flush();
    }

    // --- the producer -------------------------------------------------------------------------------------------------

    private void produce() throws Exception {
        write(event("producer").put("producer", name).put("idempotent", true).put("ordered", true));
        Map<String, Object> config = common();
        config.put("enable.idempotence", true);
        config.put("acks", "all");
        config.put("linger.ms", 2);
        config.put("delivery.timeout.ms", 300_000);
        config.put("max.block.ms", 120_000);
        AtomicInteger open = new AtomicInteger();
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            long started = System.nanoTime();
            int rate = settings.get("rate").asInt();
            for (long number = 0; !exists("stop"); ) {
                if ((System.nanoTime() - started) / 1e9 * rate <= number || open.get() >= OPEN_MAX) {
                    Thread.sleep(5);
                } else {
                    send(producer, number++, open, failure);
                }
            }
            producer.flush();
        }
        flush();
        if (failure.get() != null) {
            throw failure.get();
        }
        Files.createFile(folder.resolve(name + ".produced"));
    }

    private void send(KafkaProducer<byte[], byte[]> producer, long number, AtomicInteger open, AtomicReference<Exception> failure)
            throws IOException {
        int partition = (int) (number % partitions);
        write(event("send").put("producer", name).put("number", number).put("topic", topic).put("partition", partition));
        open.incrementAndGet();
        byte[] value = (name + "/" + number + "/" + "x".repeat((int) (number * 37 % 300))).getBytes(StandardCharsets.UTF_8);
        producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
            open.decrementAndGet();
            try {
                if (error == null) {
                    ObjectNode event = place(event("ack").put("producer", name).put("number", number), partition, metadata.offset());
                    // A repetition that the broker recognized is acknowledged without an offset.
                    write(metadata.hasOffset() ? event : event.putNull("offset"));
                } else {
                    failure.compareAndSet(null, error);
                    write(event("fail").put("producer", name).put("number", number).put("definite", false));
                }
            } catch (IOException problem) {
                failure.compareAndSet(null, problem);
            }
        });
    }

    // --- the group member ---------------------------------------------------------------------------------------------

    private void process() throws Exception {
        Map<String, Object> config = common();
        config.put("group.id", settings.get("group").asText());
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "earliest");
        config.put("session.timeout.ms", 6000);
        config.put("heartbeat.interval.ms", 300);
        config.put("fetch.max.wait.ms", 100);
        config.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor");
        long deadline = Long.MAX_VALUE;
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(topic), new NoteCommitted(consumer));
            while (!exists("processed") && System.nanoTime() < deadline) {
                if (deadline == Long.MAX_VALUE && exists("stop")) {
                    deadline = System.nanoTime() + FINISH_NANOS_MAX;
                }
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(100));
                for (TopicPartition part : records.partitions()) {
                    process(consumer, part, records.records(part));
                }
            }
        }
        flush();
    }

    private void process(KafkaConsumer<byte[], byte[]> consumer, TopicPartition part, List<ConsumerRecord<byte[], byte[]>> records)
            throws IOException {
        String group = settings.get("group").asText();
        for (ConsumerRecord<byte[], byte[]> record : records) {
            write(place(event("processed").put("group", group), part.partition(), record.offset()));
        }
        // Before the commit, so that a member that is killed between the two has only processed too much.
        flush();
        long end = records.get(records.size() - 1).offset() + 1;
        try {
            consumer.commitSync(Map.of(part, new OffsetAndMetadata(end)));
        } catch (KafkaException unknown) {
            // Unknown outcome, or a rebalance: whoever gets the partition goes on from an earlier commit.
            return;
        }
        write(place(event("committed").put("group", group), part.partition(), end));
    }

    /** Notes what the broker says the group goes on from, when it gives the partitions to this member. */
    private final class NoteCommitted implements ConsumerRebalanceListener {
        private final KafkaConsumer<byte[], byte[]> consumer;

        NoteCommitted(KafkaConsumer<byte[], byte[]> consumer) {
            this.consumer = consumer;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> assigned) {
            long asked = System.nanoTime();
            try {
                for (Map.Entry<TopicPartition, OffsetAndMetadata> found : consumer.committed(Set.copyOf(assigned)).entrySet()) {
                    if (found.getValue() != null) {
                        ObjectNode event = event("found-committed").put("group", settings.get("group").asText()).put("asked", asked);
                        write(place(event, found.getKey().partition(), found.getValue().offset()));
                    }
                }
            } catch (KafkaException | IOException unknown) {
                // Nothing was told, so nothing is noted.
            }
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> revoked) {}
    }
}
