import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.Socket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Clients of the broker at $BOOTSTRAP, and what the checks do with them again and again. */
final class Clients {
    static final String BOOTSTRAP = System.getenv("BOOTSTRAP");
    private static final String RUN = Long.toString(System.nanoTime() & 0xffffff, 36);
    private static final AtomicInteger NAMES = new AtomicInteger();

    private Clients() {}

    /** A name that no other check uses. */
    static String name(String prefix) {
        return prefix + "-" + RUN + "-" + NAMES.incrementAndGet();
    }

    /** {@code settings}: name, value, name, value… */
    private static Map<String, Object> settings(String... settings) {
        Map<String, Object> map = new HashMap<>();
        map.put("bootstrap.servers", BOOTSTRAP);
        for (int i = 0; i < settings.length; i += 2) {
            map.put(settings[i], settings[i + 1]);
        }
        return map;
    }

    static Admin admin() {
        return Admin.create(settings("default.api.timeout.ms", "30000"));
    }

    static KafkaProducer<String, String> producer(String... settings) {
        return new KafkaProducer<>(settings(settings), new StringSerializer(), new StringSerializer());
    }

    /** Reads from the beginning and commits nothing unless told otherwise. */
    static KafkaConsumer<String, String> consumer(String... settings) {
        Map<String, Object> all = new HashMap<>();
        all.put("auto.offset.reset", "earliest");
        all.put("enable.auto.commit", "false");
        all.putAll(settings(settings));
        return new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
    }

    static String newTopic(int partitions, String... configs) throws Exception {
        String topic = name("topic");
        Map<String, String> map = new HashMap<>();
        for (int i = 0; i < configs.length; i += 2) {
            map.put(configs[i], configs[i + 1]);
        }
        try (Admin admin = admin()) {
            admin.createTopics(Collections.singleton(new NewTopic(topic, partitions, (short) 1).configs(map))).all().get();
        }
        return topic;
    }

    /** Sends records {@code 0..count} with key k-i and value v-i to one partition, and waits for every answer. */
    static List<RecordMetadata> fill(String topic, int partition, int count, String... settings) throws Exception {
        List<java.util.concurrent.Future<RecordMetadata>> sent = new ArrayList<>();
        try (KafkaProducer<String, String> producer = producer(settings)) {
            for (int i = 0; i < count; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, partition, "k-" + i, "v-" + i)));
            }
        }
        List<RecordMetadata> answers = new ArrayList<>();
        for (java.util.concurrent.Future<RecordMetadata> future : sent) {
            answers.add(future.get());
        }
        return answers;
    }

    /** Polls until {@code count} records came; one more is a failure, and so is a wait of 30 s. */
    static List<ConsumerRecord<String, String>> take(KafkaConsumer<String, String> consumer, int count) {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        long deadline = System.nanoTime() + 30_000_000_000L;
        while (records.size() < count) {
            Checks.that(System.nanoTime() < deadline, "read " + records.size() + " of " + count + " records in 30 s");
            consumer.poll(Duration.ofMillis(200)).forEach((Consumer<ConsumerRecord<String, String>>) records::add);
        }
        Checks.equal(count, records.size(), "records read");
        return records;
    }

    /** Everything in one partition, from its beginning. */
    static List<ConsumerRecord<String, String>> readAll(TopicPartition partition, int count) {
        try (KafkaConsumer<String, String> consumer = consumer()) {
            consumer.assign(Collections.singleton(partition));
            consumer.seekToBeginning(Collections.singleton(partition));
            return take(consumer, count);
        }
    }

    /** Asks the harness to {@code kill}, {@code start}, {@code restart} or {@code stop} the broker, and waits for it. */
    static void control(String action) throws Exception {
        try (Socket socket = new Socket("127.0.0.1", Integer.parseInt(System.getenv("BROKER_CONTROL")))) {
            socket.getOutputStream().write((action + "\n").getBytes());
            String answer = new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine();
            Checks.equal("ok", answer, action);
        }
    }
}
