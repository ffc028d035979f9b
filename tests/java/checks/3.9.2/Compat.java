import java.util.Collection;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.TopicDescription;

/** What kafka-clients 3.9 spells in a way of its own. */
final class Compat {
    static final String VERSION = "3.9.2";
    static final String TIMESTAMP_BEFORE_CONFIG = "message.timestamp.before.max.ms";

    private Compat() {}

    static Map<String, TopicDescription> describeTopics(Admin admin, Collection<String> topics) throws Exception {
        return admin.describeTopics(topics).allTopicNames().get();
    }

    static void addAdminChecks(Checks checks) {
        NewerAdminChecks.add(checks);
    }
}
