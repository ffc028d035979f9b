/** Checks a broker with one version of Kafka's Java clients: `java -cp … Main [PART OF A CLAIM]`. */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) {
        Checks checks = new Checks("kafka-clients " + Compat.VERSION, arguments.length == 0 ? "" : arguments[0]);
        ProducerChecks.add(checks);
        ConsumerChecks.add(checks);
        GroupChecks.add(checks);
        AdminChecks.add(checks);
        RestartChecks.add(checks);
        System.exit(checks.finish());
    }
}
