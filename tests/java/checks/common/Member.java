import java.time.Duration;
import java.util.Collection;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;

/** A group member that polls in a thread of its own, and commits after each poll. */
final class Member implements AutoCloseable {
    final ConcurrentLinkedQueue<String> values = new ConcurrentLinkedQueue<>();
    volatile Set<TopicPartition> assignment = new HashSet<>();
    volatile int revocations;
    volatile Throwable error;
    private final KafkaConsumer<String, String> consumer;
    private final Thread thread;
    private volatile boolean leaving;

    Member(String topic, String... settings) {
        consumer = Clients.consumer(settings);
        thread = new Thread(() -> run(topic));
        thread.start();
    }

    private void run(String topic) {
        try {
            consumer.subscribe(Set.of(topic), new Listener());
            while (!leaving) {
                boolean some = false;
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    values.add(record.value());
                    some = true;
                }
                if (some) {
                    commit();
                }
            }
        } catch (WakeupException wakeup) {
            // Asked to leave.
        } catch (Throwable failure) {
            error = failure;
        } finally {
            consumer.close();
        }
    }

    /** A commit that meets a rebalance is left to the next one; the records come again then, to this or another member. */
    private void commit() {
        try {
            consumer.commitSync();
        } catch (org.apache.kafka.clients.consumer.CommitFailedException
                | org.apache.kafka.common.errors.RebalanceInProgressException rebalance) {
            return;
        }
    }

    /** Leaves the group and waits for the end. */
    @Override
    public void close() throws Exception {
        leaving = true;
        consumer.wakeup();
        thread.join(20_000);
        if (error != null) {
            throw new AssertionError("a member failed", error);
        }
    }

    private final class Listener implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            assignment = new HashSet<>(consumer.assignment());
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            if (!partitions.isEmpty()) {
                revocations++;
            }
            Set<TopicPartition> left = new HashSet<>(consumer.assignment());
            left.removeAll(partitions);
            assignment = left;
        }
    }
}
