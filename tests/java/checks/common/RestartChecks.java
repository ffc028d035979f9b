import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

final class RestartChecks {
    private RestartChecks() {}

    static void add(Checks checks) {
        checks.check("clients come back after kill -9, with every acknowledged record in place", RestartChecks::killed);
    }

    private static void killed() throws Exception {
        String topic = Clients.newTopic(1);
        int half = 500;
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (Member member = new Member(topic, "group.id", Clients.name("survivor"), "session.timeout.ms", "30000",
                    "retry.backoff.ms", "50", "reconnect.backoff.max.ms", "200");
                KafkaProducer<String, String> producer = Clients.producer("acks", "all", "enable.idempotence", "true",
                    "retry.backoff.ms", "50", "reconnect.backoff.max.ms", "200", "delivery.timeout.ms", "60000",
                    "request.timeout.ms", "10000")) {
            for (int i = 0; i < half; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, "k", "v-" + i)));
            }
            sent.get(half / 2).get();
            Clients.control("kill");
            // Since 4.0 a send waits while no broker is known, so the start must not wait for the sends.
            CompletableFuture<Void> started = CompletableFuture.runAsync(() -> {
                try {
                    Clients.control("start");
                } catch (Exception error) {
                    throw new CompletionException(error);
                }
            });
            for (int i = half; i < 2 * half; i++) {
                sent.add(producer.send(new ProducerRecord<>(topic, 0, "k", "v-" + i)));
            }
            started.get();
            for (int i = 0; i < 2 * half; i++) {
                Checks.equal((long) i, sent.get(i).get().offset(), "acknowledged offset of record " + i);
            }
            Checks.eventually("the group reads to the end", () -> member.values.contains("v-" + (2 * half - 1)));
        }
        List<ConsumerRecord<String, String>> records = Clients.readAll(new TopicPartition(topic, 0), 2 * half);
        for (int i = 0; i < 2 * half; i++) {
            Checks.equal("v-" + i, records.get(i).value(), "record " + i);
        }
    }
}
