import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Reads the samples that the wire crate's `samples` example prints, with the message classes of the Kafka client on the
 * class path, and writes them again: the bytes must be the same. Versions that this client does not know are skipped.
 */
public class ReadBack {
    public static void main(String[] args) throws Exception {
        int compared = 0;
        int unknown = 0;
        int wrong = 0;
        var lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] parts = line.split(" ", -1);
            short version = Short.parseShort(parts[2]);
            byte[] sample = HexFormat.of().parseHex(parts[3]);
            ApiMessage message = message(parts[0], parts[1]);
            if (message == null || version < message.lowestSupportedVersion()
                    || message.highestSupportedVersion() < version) {
                unknown++;
                continue;
            }
            String fault = readBack(message, version, sample);
            if (fault == null) {
                compared++;
            } else {
                wrong++;
                System.out.println(message.getClass().getSimpleName() + " " + version + ": " + fault + " " + parts[3]);
            }
        }
        System.out.println(compared + " messages read back, " + wrong + " wrongly; " + unknown + " of unknown versions");
        System.exit(wrong == 0 && 0 < compared ? 0 : 1);
    }

    /** What is wrong, or null. */
    private static String readBack(ApiMessage message, short version, byte[] sample) {
        try {
            ByteBuffer in = ByteBuffer.wrap(sample);
            message.read(new ByteBufferAccessor(in), version);
            if (in.hasRemaining()) {
                return in.remaining() + " bytes are left";
            }
            var cache = new ObjectSerializationCache();
            ByteBuffer out = ByteBuffer.allocate(message.size(cache, version));
            message.write(new ByteBufferAccessor(out), cache, version);
            return Arrays.equals(out.array(), sample) ? null : "written as " + HexFormat.of().formatHex(out.array());
        } catch (RuntimeException e) {
            return e.toString();
        }
    }

    /** An empty message, or null if this client has none such: Kafka 4 has no requests of a ZooKeeper controller. */
    private static ApiMessage message(String kind, String name) throws ReflectiveOperationException {
        try {
            return newMessage(kind, name);
        } catch (UnsupportedVersionException e) {
            return null;
        }
    }

    private static ApiMessage newMessage(String kind, String name) throws ReflectiveOperationException {
        switch (kind) {
            case "request":
                return ApiMessageType.fromApiKey(Short.parseShort(name)).newRequest();
            case "response":
                return ApiMessageType.fromApiKey(Short.parseShort(name)).newResponse();
            default:
                for (String folder : new String[] {"common.message", "coordinator.group.generated"}) {
                    try {
                        Class<?> type = Class.forName("org.apache.kafka." + folder + "." + name);
                        return (ApiMessage) type.getDeclaredConstructor().newInstance();
                    } catch (ClassNotFoundException e) {
                        // The records of the group coordinator are not in the client's jar.
                    }
                }
                return null;
        }
    }
}
