# Apache Kafka 3.9.2 with the keeper as its ZooKeeper: `kafka.sh`, sourced by run.sh, which has started the keeper.
#
# The broker starts, a topic is created, written and read in a group; the keeper is killed with -9 and started again on
# the same port under the running broker, and the broker is restarted; the group's offsets are still there, and a topic
# can be deleted.

KAFKA_JAVA=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$KAFKA_JARS/*")

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

kafka_tool() { "${KAFKA_JAVA[@]}" -Dlog4j.configuration=file:/dev/null "$@" 2> "$work/tool.err" || fail "$1: $(cat "$work/tool.err")"; }

kafka_start() {
  rm -f "$work/kafka.log"
  "${KAFKA_JAVA[@]}" -Dlog4j.configuration="file:$work/log4j.properties" kafka.Kafka "$work/server.properties" \
    > "$work/kafka.out" 2>&1 &
  kafka_pid=$!
  pids+=("$kafka_pid")
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    grep -qs "started (kafka.server.KafkaServer)" "$work/kafka.log" && return
    kill -0 "$kafka_pid" 2> /dev/null || break
    sleep 0.2
  done
  fail "Kafka did not start: $(tail -n 5 "$work/kafka.log" "$work/kafka.out")"
}

kafka_stop() { kill "$kafka_pid" && wait "$kafka_pid" || true; }

kafka_on_keeper() {
  local port bootstrap last
  port=$(free_port)
  bootstrap=(--bootstrap-server "127.0.0.1:$port")
  cat > "$work/server.properties" << PROPERTIES
broker.id=0
listeners=PLAINTEXT://127.0.0.1:$port
zookeeper.connect=$keeper_address
zookeeper.session.timeout.ms=6000
log.dirs=$work/kafka-logs
offsets.topic.num.partitions=5
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
  cat > "$work/log4j.properties" << PROPERTIES
log4j.rootLogger=INFO, file
log4j.appender.file=org.apache.log4j.FileAppender
log4j.appender.file.File=$work/kafka.log
log4j.appender.file.layout=org.apache.log4j.PatternLayout
log4j.appender.file.layout.ConversionPattern=[%d] %p %m (%c)%n
PROPERTIES
  kafka_start
  kafka_tool org.apache.kafka.tools.TopicCommand "${bootstrap[@]}" --create --topic words --partitions 3 > "$work/tool.out"
  kafka_tool org.apache.kafka.tools.TopicCommand "${bootstrap[@]}" --describe --topic words > "$work/tool.out"
  [[ $(grep -c "Leader: 0" "$work/tool.out") == 3 ]] || fail "the topic has no leaders: $(cat "$work/tool.out")"
  seq 1 1000 | kafka_tool kafka.tools.ConsoleProducer "${bootstrap[@]}" --topic words > "$work/tool.out"
  kafka_consume 1000

  keeper_kill
  keeper_start "$keeper_address"
  kafka_tool org.apache.kafka.tools.TopicCommand "${bootstrap[@]}" --create --topic after --partitions 1 > "$work/tool.out"
  kafka_stop
  kafka_start
  # The tool's own time-out is five seconds, and the broker has only just started.
  kafka_tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "${bootstrap[@]}" --timeout 30000 \
    --describe --group readers > "$work/tool.out"
  last=$(awk '$2 == "words" { sum += $4 } END { print sum }' "$work/tool.out")
  [[ $last == 1000 ]] || fail "the group's offsets add up to $last: $(cat "$work/tool.out")"
  kafka_tool org.apache.kafka.tools.TopicCommand "${bootstrap[@]}" --delete --topic words > "$work/tool.out"
  kafka_tool org.apache.kafka.tools.TopicCommand "${bootstrap[@]}" --list > "$work/tool.out"
  grep -qx after "$work/tool.out" && ! grep -qx words "$work/tool.out" || fail "topics: $(cat "$work/tool.out")"
  kafka_stop
  ! grep -E " (ERROR|FATAL) " "$work/kafka.log" || fail "Kafka logged errors"
}

kafka_consume() {
  kafka_tool org.apache.kafka.tools.consumer.ConsoleConsumer "${bootstrap[@]}" --topic words --group readers --from-beginning \
    --max-messages "$1" --timeout-ms 30000 > "$work/consumed"
  [[ $(sort -n "$work/consumed" | uniq | wc -l) == "$1" ]] || fail "$(wc -l < "$work/consumed") of $1 records came back"
}
