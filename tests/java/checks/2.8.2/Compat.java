import java.util.Collection;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.config.ConfigResource;

/** What kafka-clients 2.8 spells in a way of its own. */
final class Compat {
    static final String VERSION = "2.8.2";
    static final String TIMESTAMP_BEFORE_CONFIG = "message.timestamp.difference.max.ms";

    private Compat() {}

    static Map<String, TopicDescription> describeTopics(Admin admin, Collection<String> topics) throws Exception {
        return admin.describeTopics(topics).all().get();
    }

    static void addAdminChecks(Checks checks) {
        checks.check("topic configs are replaced as a whole", AdminChecks.with(Compat::replaceConfigs));
    }

    @SuppressWarnings("deprecation")
    private static void replaceConfigs(Admin admin) throws Exception {
        String topic = Clients.newTopic(1, "retention.ms", "7200000");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        admin.alterConfigs(Map.of(resource, new Config(Set.of(new ConfigEntry("max.message.bytes", "5000"))))).all().get();
        Checks.eventually("max.message.bytes", () ->
            AdminChecks.describeConfig(admin, resource).get("max.message.bytes").value().equals("5000"));
        Checks.equal("604800000", AdminChecks.describeConfig(admin, resource).get("retention.ms").value(), "retention.ms");
    }
}
