"""Kafka's own command-line tools against three brokers on three Apache ZooKeepers, and zkCli reading what they left.

    ./test cluster-tools [PART OF A CLAIM]
"""

import json
import re
import socket
import subprocess
import sys

from cluster.cluster import Cluster, network_for
from cluster.tools import java_tool, plan, reassign, tool
from harness.checks import Checks, eventually
from harness.folders import temporary_folder
from harness.servers import Ensemble

TOPIC_COMMAND = "org.apache.kafka.tools.TopicCommand"
REASSIGN = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand"
ELECTION = "org.apache.kafka.tools.LeaderElectionCommand"
checks = Checks("Kafka's tools on a cluster")


class Bed:
    """The cluster that the checks share."""

    cluster = folder = None


def ask(name, *arguments, text=None):
    """Runs a tool that is told where the brokers are."""
    return tool(name, "--bootstrap-server", Bed.cluster.bootstrap, *arguments, text=text)


def topics(*arguments):
    return ask(TOPIC_COMMAND, *arguments)


def rows(topic):
    """`{partition: (leader, replicas, isr)}` as kafka-topics describes it."""
    described = topics("--describe", "--topic", topic)
    found = re.findall(r"Partition: (\d+)\s+Leader: (\S+)\s+Replicas: (\S+)\s+Isr: (\S*)", described)
    return {int(index): (int(leader), numbers(replicas), sorted(numbers(isr))) for index, leader, replicas, isr in found}


def numbers(text):
    return [int(number) for number in text.split(",") if number]


@checks.check
def topics_have_three_replicas_in_sync():
    topics("--create", "--topic", "spread", "--partitions", 6, "--replication-factor", 3, "--config", "retention.ms=7200000")
    eventually(lambda: all(isr == [1, 2, 3] for _, _, isr in rows("spread").values()), what="three replicas in sync")
    found = rows("spread")
    assert sorted(leader for leader, _, _ in found.values()) == [1, 1, 2, 2, 3, 3], found
    for question in ("--under-replicated-partitions", "--under-min-isr-partitions", "--unavailable-partitions", "--at-min-isr-partitions"):
        assert "spread" not in topics("--describe", question), question


@checks.check
def replicas_are_where_they_are_told_to_be():
    topics("--create", "--topic", "manual", "--replica-assignment", "3:1,1:2,2:3")
    assert {index: replicas for index, (_, replicas, _) in rows("manual").items()} == {0: [3, 1], 1: [1, 2], 2: [2, 3]}
    topics("--alter", "--topic", "manual", "--partitions", 4, "--replica-assignment", "3:1,1:2,2:3,2:1")
    assert rows("manual")[3][1] == [2, 1]


@checks.check
def records_are_written_and_read_by_a_group():
    ask("kafka.tools.ConsoleProducer", "--topic", "spread", text="".join(f"line {number}\n" for number in range(200)))
    group = ("--group", "readers", "--from-beginning", "--max-messages", 200, "--timeout-ms", 30000)
    lines = ask("org.apache.kafka.tools.consumer.ConsoleConsumer", "--topic", "spread", *group).splitlines()
    assert sorted(lines) == sorted(f"line {number}" for number in range(200))
    described = ask("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--timeout", 30000, "--describe", "--group", "readers")
    ends = [line.split()[3:6] for line in described.splitlines() if " spread " in line]
    assert sum(int(row[0]) for row in ends) == 200 and all(row[2] == "0" for row in ends), described
    offsets = ask("org.apache.kafka.tools.GetOffsetShell", "--topic", "spread")
    assert sum(int(line.rsplit(":", 1)[1]) for line in offsets.split()) == 200, offsets


@checks.check
def a_topic_is_reassigned_and_verified():
    topics("--create", "--topic", "moves", "--replica-assignment", "1:2,1:2,1:2")
    ask("kafka.tools.ConsoleProducer", "--topic", "moves", text="".join(f"{number}\n" for number in range(300)))
    wanted = {("moves", index): [3, 2] for index in range(3)}
    assert "Successfully started partition reassignments" in reassign(Bed.cluster, Bed.folder, wanted)
    verify = ("--reassignment-json-file", plan(Bed.folder, wanted), "--verify")
    eventually(lambda: ask(REASSIGN, *verify).count("is completed") == 3, 60, "the reassignment is done")
    eventually(lambda: all(row[1:] == ([3, 2], [2, 3]) for row in rows("moves").values()), what="the new replicas")
    eventually(lambda: not list(Bed.cluster.brokers[1].data.glob("moves-?")), what="the old replica is deleted")
    assert "No partition reassignments found" in ask(REASSIGN, "--list")


@checks.check
def a_throttled_reassignment_is_listed_and_cancelled():
    topics("--create", "--topic", "slow", "--replica-assignment", "1:2")
    performance = ("--topic", "slow", "--num-records", 20000, "--record-size", 1000, "--throughput", -1)
    tool("org.apache.kafka.tools.ProducerPerformance", *performance, "--producer-props", f"bootstrap.servers={Bed.cluster.bootstrap}")
    wanted = {("slow", 0): [2, 3]}
    reassign(Bed.cluster, Bed.folder, wanted, "--throttle", 1000)
    listed = ask(REASSIGN, "--list")
    assert re.search(r"slow-0: replicas: \S+ adding: 3\. removing: 1", listed), listed
    cancel = ask(REASSIGN, "--reassignment-json-file", plan(Bed.folder, wanted), "--cancel")
    assert re.search("Successfully cancelled partition reassignments? for: slow-0", cancel), cancel
    eventually(lambda: [sorted(numbers) for numbers in rows("slow")[0][1:]] == [[1, 2], [1, 2]], what="the replicas are the old ones")
    configs = ask("kafka.admin.ConfigCommand", "--describe", "--entity-type", "topics", "--entity-name", "slow")
    assert "throttled.replicas" not in configs, configs


@checks.check
def the_preferred_leader_comes_back():
    topics("--create", "--topic", "elects", "--replica-assignment", "2:3:1,2:1:3")
    broker = Bed.cluster.brokers[2]
    broker.stop()
    eventually(lambda: all(leader in (1, 3) for leader, _, _ in rows("elects").values()), 30, "others lead")
    broker.start()
    Bed.cluster.wait_in_sync()
    assert "Successfully completed" in ask(ELECTION, "--election-type", "preferred", "--all-topic-partitions")
    eventually(lambda: all(leader == 2 for leader, _, _ in rows("elects").values()), what="the preferred leader leads")
    again = ask(ELECTION, "--election-type", "preferred", "--topic", "elects", "--partition", 0)
    assert "already elected" in again or "not needed" in again.lower() or "Valid replica already" in again, again


@checks.check
def configs_have_their_sources():
    brokers = ("--entity-type", "brokers")
    ask("kafka.admin.ConfigCommand", "--alter", *brokers, "--entity-name", 2, "--add-config", "log.segment.bytes=104857600")
    ask("kafka.admin.ConfigCommand", "--alter", *brokers, "--entity-default", "--add-config", "log.retention.ms=86400000")
    one = ask("kafka.admin.ConfigCommand", "--describe", *brokers, "--entity-name", 2)
    assert "DYNAMIC_BROKER_CONFIG:log.segment.bytes=104857600" in one, one

    def default_is_known_by(number):
        every = ask("kafka.admin.ConfigCommand", "--describe", "--all", *brokers, "--entity-name", number)
        return "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=86400000" in every

    for number in (1, 2, 3):
        eventually(lambda: default_is_known_by(number), what=f"broker {number} knows the default")
    assert "log.retention.ms=86400000" in ask("kafka.admin.ConfigCommand", "--describe", *brokers, "--entity-default")
    ask("kafka.admin.ConfigCommand", "--alter", *brokers, "--entity-default", "--delete-config", "log.retention.ms")
    topic = ("--entity-type", "topics", "--entity-name", "spread")
    assert "retention.ms=7200000" in ask("kafka.admin.ConfigCommand", "--describe", *topic)


@checks.check
def listeners_of_running_brokers_are_known_to_the_others():
    brokers = ("--entity-type", "brokers", "--entity-name")
    plain = {number: broker.address for number, broker in Bed.cluster.brokers.items()}
    extra = {number: f"{broker.place.host}:{free_port(broker.place.host)}" for number, broker in Bed.cluster.brokers.items()}
    for number in extra:
        listeners = f"listeners=[PLAINTEXT://{plain[number]},EXTRA://{extra[number]}]"
        changes = f"{listeners},listener.security.protocol.map=[PLAINTEXT:PLAINTEXT,EXTRA:PLAINTEXT]"
        ask("kafka.admin.ConfigCommand", "--alter", *brokers, number, "--add-config", changes)

    def endpoints(number):
        return json.loads(zkcli(f"get /brokers/ids/{number}")[0])["endpoints"]

    for number in extra:
        both = [f"PLAINTEXT://{plain[number]}", f"EXTRA://{extra[number]}"]
        eventually(lambda: endpoints(number) == both, what=f"broker {number} is registered with both")

    def known_through(number):
        told = tool("kafka.admin.BrokerApiVersionsCommand", "--bootstrap-server", extra[number])
        return all(f"{address} (id: {other} " in told for other, address in extra.items())

    for number in extra:
        eventually(lambda: known_through(number), 30, f"broker {number} tells where the others listen")
    for number in extra:
        gone = "listeners,listener.security.protocol.map"
        ask("kafka.admin.ConfigCommand", "--alter", *brokers, number, "--delete-config", gone)
        eventually(lambda: endpoints(number) == [f"PLAINTEXT://{plain[number]}"], what=f"broker {number} is as before")
    assert all(isr == [1, 2, 3] for _, _, isr in rows("spread").values()), rows("spread")


def free_port(host):
    with socket.create_server((host, 0)) as server:
        return server.getsockname()[1]


@checks.check
def every_broker_tells_its_versions():
    told = ask("kafka.admin.BrokerApiVersionsCommand")
    assert sorted(re.findall(r"\(id: (\d) rack: rack-\1\)", told)) == ["1", "2", "3"], told
    for api in ("AlterPartitionReassignments(45): 0", "ElectLeaders(43): 0 to 2", "AlterPartition(56): 0 to 3"):
        assert told.count(api) == 3, told


@checks.check
def log_directories_of_every_broker_are_described():
    answer = ask("org.apache.kafka.tools.LogDirsCommand", "--describe", "--topic-list", "spread", "--broker-list", "1,2,3")
    told = json.loads(answer.splitlines()[-1])
    found = {broker["broker"]: len(broker["logDirs"][0]["partitions"]) for broker in told["brokers"]}
    assert found == {1: 6, 2: 6, 3: 6}, answer


@checks.check
def replicas_are_verified():
    command = java_tool(
        "org.apache.kafka.tools.ReplicaVerificationTool", "--broker-list", Bed.cluster.bootstrap,
        "--topics-include", "spread", "--report-interval-ms", 500,
    )  # fmt: skip
    path = Bed.folder / "verification"
    with open(path, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        eventually(lambda: "max lag is 0 for partition" in path.read_text(), 30, "the verification ends without a lag")
    finally:
        process.kill()
        process.wait()
    assert "partition spread-" in path.read_text() and "mismatch" not in path.read_text().lower(), path.read_text()


@checks.check
def zkcli_reads_the_znodes():
    found = zkcli(
        "ls /brokers/ids", "get /brokers/ids/1", "get /controller", "get /controller_epoch", "get /cluster/id",
        "get /brokers/topics/spread", "get /brokers/topics/spread/partitions/0/state", "get /config/topics/spread", "ls /admin",
    )  # fmt: skip
    ids, broker, controller, epoch, cluster, topic, state, config, admin = found
    assert ids == "[1, 2, 3]", ids
    registration = json.loads(broker)
    assert registration["version"] == 5 and registration["rack"] == "rack-1", broker
    assert registration["endpoints"] == [f"PLAINTEXT://{Bed.cluster.brokers[1].address}"], broker
    assert json.loads(controller)["brokerid"] in (1, 2, 3) and int(epoch) >= 1 and json.loads(cluster)["version"] == "1", found
    assert {len(replicas) for replicas in json.loads(topic)["partitions"].values()} == {3} and json.loads(topic)["version"] == 3
    told = json.loads(state)
    assert {"controller_epoch", "leader", "version", "leader_epoch", "isr"} <= told.keys() and sorted(told["isr"]) == [1, 2, 3], state
    assert json.loads(config)["config"] == {"retention.ms": "7200000"} and "delete_topics" in admin


@checks.check
def a_deleted_topic_leaves_nothing():
    for topic in ("moves", "slow", "elects", "manual"):
        topics("--delete", "--topic", topic)

    def left():
        paths = (path for broker in Bed.cluster.brokers.values() for path in broker.data.iterdir())
        return [path for path in paths if path.name.startswith(("moves-", "slow-", "elects-", "manual-"))]

    eventually(lambda: not left(), 60, "the directories are gone")
    assert zkcli("ls /brokers/topics", "ls /admin/delete_topics")[1] == "[]"
    assert "moves" not in zkcli("ls /brokers/topics")[0]


def zkcli(*commands):
    """What each command printed, its last line alone."""
    answers = []
    for command in commands:
        name, path = command.split()
        printed = tool("org.apache.zookeeper.ZooKeeperMain", "-server", Bed.cluster.zookeepers.address, name, path)
        answers.append(printed.strip().splitlines()[-1])
    return answers


def main():
    with temporary_folder("cluster-tools") as folder:
        network = network_for(light=True)
        ensemble = Ensemble(folder, [network.place(f"zookeeper{number}") for number in (1, 2, 3)])
        try:
            ensemble.start()
            cluster = Cluster(folder, network, ensemble, chroot="/tools")
            Bed.cluster, Bed.folder = cluster, cluster.folder
            try:
                cluster.start()
                checks.run(*sys.argv[1:])
            finally:
                cluster.end()
        finally:
            ensemble.end()


if __name__ == "__main__":
    main()
