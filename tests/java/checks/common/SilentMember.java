import java.time.Duration;
import java.util.Collections;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/** A member that joins, and whose process then stops to answer: a child process, which is frozen. */
final class SilentMember {
    private final Process process;

    private SilentMember(Process process) {
        this.process = process;
    }

    static SilentMember join(String topic, String group) throws Exception {
        Process process = new ProcessBuilder(
                ProcessHandle.current().info().command().orElse("java"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-cp", System.getProperty("java.class.path"), "SilentMember", topic, group)
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
        Checks.equal("assigned", process.inputReader().readLine(), "the silent member");
        new ProcessBuilder("kill", "-STOP", Long.toString(process.pid())).start().waitFor();
        return new SilentMember(process);
    }

    void close() {
        process.destroyForcibly();
    }

    public static void main(String[] arguments) {
        KafkaConsumer<String, String> consumer = Clients.consumer("group.id", arguments[1],
            "partition.assignment.strategy", "org.apache.kafka.clients.consumer.RangeAssignor",
            "session.timeout.ms", "3000", "heartbeat.interval.ms", "200");
        consumer.subscribe(Collections.singleton(arguments[0]));
        boolean told = false;
        while (true) {
            consumer.poll(Duration.ofMillis(100));
            if (!told && !consumer.assignment().isEmpty()) {
                told = true;
                System.out.println("assigned");
            }
        }
    }
}
