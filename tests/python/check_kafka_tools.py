"""Checks the broker at $BOOTSTRAP, with its data in $BROKER_DATA, with Kafka's own command-line tools out of its jars."""

import os
import pathlib
import re
import socket
import subprocess
import sys

from harness.checks import Checks, eventually
from harness.servers import LOG4J

BOOTSTRAP = os.environ["BOOTSTRAP"]
DATA = pathlib.Path(os.environ["BROKER_DATA"])
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j.configuration=file:{LOG4J}", "-cp", f"{os.environ['KAFKA_JARS']}/*"]  # fmt: skip
AT_BROKER = ("--bootstrap-server", BOOTSTRAP)
checks = Checks("Kafka's tools")


def tool(name, *arguments, text=None):
    """What the tool prints; it must end well within 60 s."""
    done = subprocess.run([*JAVA, name, *map(str, arguments)], input=text or "", capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{name} {arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def topics(*arguments):
    return tool("org.apache.kafka.tools.TopicCommand", *AT_BROKER, *arguments)


def new_topic(topic, partitions=1, *configs):
    config_arguments = [word for config in configs for word in ("--config", config)]
    topics("--create", "--topic", topic, "--partitions", partitions, "--replication-factor", 1, *config_arguments)


def produce(topic, text, *arguments):
    tool("kafka.tools.ConsoleProducer", *AT_BROKER, "--topic", topic, *arguments, text=text)


def consume(topic, *arguments):
    return tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *AT_BROKER, "--topic", topic, "--timeout-ms", 20000, *arguments)


def groups(*arguments):
    # Five seconds unless told otherwise, which a JVM that starts on a busy machine may need for itself.
    return tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", *AT_BROKER, "--timeout", 30000, *arguments)


def segment(topic, partition=0):
    """The files of the last segment of a partition, by their ending."""
    last = sorted((DATA / f"{topic}-{partition}").glob("*.log"))[-1]
    return {ending: last.with_suffix(f".{ending}") for ending in ("log", "index", "timeindex", "snapshot")}


def dump(*arguments):
    return tool("kafka.tools.DumpLogSegments", *arguments)


@checks.check
def topics_are_created_described_altered_listed_and_deleted():
    new_topic("tools-topics", 2, "retention.ms=7200000")
    assert "tools-topics" in topics("--list").split()
    described = topics("--describe", "--topic", "tools-topics")
    assert "PartitionCount: 2" in described and "retention.ms=7200000" in described and "TopicId: " in described, described
    topics("--alter", "--topic", "tools-topics", "--partitions", 4)
    assert "PartitionCount: 4" in topics("--describe", "--topic", "tools-topics")
    topics("--delete", "--topic", "tools-topics")
    assert "tools-topics" not in topics("--list").split()


@checks.check
def console_producer_and_consumer_exchange_keys_and_headers():
    new_topic("tools-console")
    parse = ("--property", "parse.key=true", "--property", "parse.headers=true")
    produce("tools-console", "".join(f"h:{i}\tk{i}\tv{i}\n" for i in range(20)), *parse, "--compression-codec", "zstd")
    show = ("--property", "print.key=true", "--property", "print.headers=true", "--property", "print.offset=true")
    lines = consume("tools-console", "--from-beginning", "--max-messages", 20, *show).splitlines()
    assert lines == [f"Offset:{i}\th:{i}\tk{i}\tv{i}" for i in range(20)], lines


@checks.check
def consumer_groups_are_listed_described_reset_and_deleted():
    new_topic("tools-groups")
    produce("tools-groups", "".join(f"{i}\n" for i in range(10)))
    consume("tools-groups", "--group", "tools-readers", "--from-beginning", "--max-messages", 10)
    assert "tools-readers" in groups("--list").split()
    row = next(line.split() for line in groups("--describe", "--group", "tools-readers").splitlines() if "tools-groups" in line)
    assert row[:6] == ["tools-readers", "tools-groups", "0", "10", "10", "0"], row
    reset = ("--reset-offsets", "--group", "tools-readers", "--topic", "tools-groups", "--execute")
    groups(*reset, "--to-offset", 4)
    row = next(line.split() for line in groups("--describe", "--group", "tools-readers").splitlines() if "tools-groups" in line)
    assert row[3:6] == ["4", "10", "6"], row
    assert "Empty" in groups("--describe", "--group", "tools-readers", "--state")
    groups("--delete", "--group", "tools-readers")
    assert "tools-readers" not in groups("--list").split()


@checks.check
def configs_are_altered_and_described():
    new_topic("tools-configs")
    entity = ("--entity-type", "topics", "--entity-name", "tools-configs")
    tool("kafka.admin.ConfigCommand", *AT_BROKER, "--alter", *entity, "--add-config", "max.message.bytes=5000")
    assert "max.message.bytes=5000" in tool("kafka.admin.ConfigCommand", *AT_BROKER, "--describe", *entity)
    tool("kafka.admin.ConfigCommand", *AT_BROKER, "--alter", *entity, "--delete-config", "max.message.bytes")
    assert "max.message.bytes" not in tool("kafka.admin.ConfigCommand", *AT_BROKER, "--describe", *entity)
    broker = tool("kafka.admin.ConfigCommand", *AT_BROKER, "--describe", "--all", "--entity-type", "brokers", "--entity-name", "0")
    assert "log.retention.hours=168" in broker


@checks.check
def a_listener_is_opened_used_and_closed_while_the_broker_runs():
    new_topic("tools-listeners")
    extra = f"127.0.0.1:{free_port()}"
    brokers = ("kafka.admin.ConfigCommand", *AT_BROKER, "--entity-type", "brokers", "--entity-name", "0")
    listeners = f"PLAINTEXT://{BOOTSTRAP},EXTRA://{extra}"
    changes = f"listeners=[{listeners}],listener.security.protocol.map=[PLAINTEXT:PLAINTEXT,EXTRA:PLAINTEXT]"
    tool(*brokers, "--alter", "--add-config", changes)
    eventually(lambda: accepts(extra), what="the listener is open")
    tool("kafka.tools.ConsoleProducer", "--bootstrap-server", extra, "--topic", "tools-listeners", text="a\nb\n")
    read = ("--topic", "tools-listeners", "--from-beginning", "--max-messages", 2, "--timeout-ms", 20000)
    lines = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", extra, *read)
    assert lines.split() == ["a", "b"], lines
    assert extra in tool("kafka.admin.BrokerApiVersionsCommand", "--bootstrap-server", extra)
    described = tool(*brokers, "--describe")
    assert f"listeners={listeners} sensitive=false synonyms={{DYNAMIC_BROKER_CONFIG:listeners={listeners}" in described, described
    host, port = extra.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as idle:
        tool(*brokers, "--alter", "--delete-config", "listeners,listener.security.protocol.map")
        assert idle.recv(1) == b"", "the connection is closed"
    eventually(lambda: not accepts(extra), what="the listener is closed")
    assert "EXTRA" not in tool(*brokers, "--describe")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def accepts(address):
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


@checks.check
def offsets_records_and_directories_are_administered():
    new_topic("tools-offsets")
    produce("tools-offsets", "".join(f"{i}\n" for i in range(7)))
    get_offsets = ("org.apache.kafka.tools.GetOffsetShell", *AT_BROKER, "--topic", "tools-offsets")
    assert tool(*get_offsets).strip() == "tools-offsets:0:7"
    plan = DATA.parent / "delete.json"
    plan.write_text('{"version": 1, "partitions": [{"topic": "tools-offsets", "partition": 0, "offset": 3}]}')
    tool("org.apache.kafka.tools.DeleteRecordsCommand", *AT_BROKER, "--offset-json-file", plan)
    assert tool(*get_offsets, "--time", -2).strip() == "tools-offsets:0:3"
    directories = tool("org.apache.kafka.tools.LogDirsCommand", *AT_BROKER, "--describe", "--topic-list", "tools-offsets")
    assert '"partition":"tools-offsets-0"' in directories, directories


@checks.check
def performance_tools_move_records_through_every_codec():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = f"tools-perf-{codec}"
        new_topic(topic, 1, "segment.bytes=1048576")
        report = tool(
            "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", 20000, "--record-size", 200,
            "--throughput", -1, "--producer-props", f"bootstrap.servers={BOOTSTRAP}", f"compression.type={codec}",
        )  # fmt: skip
        assert "20000 records sent" in report, report
        row = tool("org.apache.kafka.tools.ConsumerPerformance", *AT_BROKER, "--topic", topic, "--messages", 20000, "--hide-header")
        assert int(row.split(",")[4]) == 20000, row


@checks.check
def log_files_are_what_dump_log_expects():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = f"tools-perf-{codec}"
        logs = sorted((DATA / f"{topic}-0").glob("*.log"))
        dumped = dump("--deep-iteration", "--files", ",".join(map(str, logs)))
        offsets = [int(offset) for offset in re.findall(r"^\| offset: (\d+)", dumped, re.M)]
        assert offsets == list(range(20000)), f"{codec}: {len(offsets)} records"
        assert "isvalid: true" in dumped and "isvalid: false" not in dumped and f"compresscodec: {codec}" in dumped


@checks.check
def indexes_agree_with_their_logs():
    indexes = [path for path in (DATA / "tools-perf-none-0").iterdir() if path.suffix in (".index", ".timeindex")]
    assert 4 < len(indexes)
    report = dump("--files", ",".join(map(str, indexes)), "--verify-index-only")
    assert "Mismatches" not in report and "not found" not in report and "Indexed offset" not in report, report
    dump("--files", ",".join(map(str, indexes)), "--index-sanity-check")


@checks.check
def committed_offsets_decode_as_kafka_writes_them():
    consume("tools-perf-none", "--group", "tools-decoded", "--from-beginning", "--max-messages", 5)
    logs = [str(path) for path in DATA.glob("__consumer_offsets-*/*.log") if path.stat().st_size]
    dumped = dump("--offsets-decoder", "--print-data-log", "--files", ",".join(logs))
    commit = r'"type":"1","data":{"group":"tools-decoded","topic":"tools-perf-none","partition":0}} payload: {"version":"3","data":{"offset":5,'
    assert re.search(commit, dumped), dumped[-3000:]
    assert re.search(r'"type":"2","data":{"group":"tools-decoded"}} payload: {"version":"3",.*"protocol":"range"', dumped), dumped[-3000:]


checks.run(*sys.argv[1:])
