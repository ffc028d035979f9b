import java.time.Duration;
import java.util.Collection;
import java.util.Set;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;

/**
 * A group member for groups of several languages: {@code GroupMember TOPIC GROUP}. Prints {@code assigned 0 1 2} after
 * each rebalance and {@code record VALUE} for each record, and commits after each poll. Ends when its input ends.
 */
public final class GroupMember {
    private GroupMember() {}

    public static void main(String[] arguments) throws Exception {
        try (KafkaConsumer<String, String> consumer = Clients.consumer("group.id", arguments[1],
                "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor",
                "session.timeout.ms", "6000", "heartbeat.interval.ms", "300")) {
            consumer.subscribe(Set.of(arguments[0]), new PrintAssignments());
            while (System.in.available() == 0) {
                boolean some = false;
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    System.out.println("record " + record.value());
                    some = true;
                }
                if (some) {
                    commit(consumer);
                }
            }
        }
    }

    private static void commit(KafkaConsumer<String, String> consumer) {
        try {
            consumer.commitSync();
        } catch (org.apache.kafka.clients.consumer.CommitFailedException
                | org.apache.kafka.common.errors.RebalanceInProgressException rebalance) {
            // The records come again, to this member or another.
            System.err.println("a commit met a rebalance: " + rebalance.getMessage());
        }
    }

    private static final class PrintAssignments implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            Set<Integer> numbers = new TreeSet<>();
            partitions.forEach(partition -> numbers.add(partition.partition()));
            System.out.println("assigned " + numbers.toString().replaceAll("[\\[\\],]", ""));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            System.out.println("assigned ");
        }
    }
}
