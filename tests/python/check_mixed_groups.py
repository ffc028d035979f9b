"""Checks groups whose members are written in several languages: Java, Python (librdkafka) and Go share one topic.

Members join, leave and crash while records arrive; every record is processed, and no partition has two owners.
"""

import os
import subprocess
import sys
import threading
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from harness.checks import Checks, eventually

BOOTSTRAP = os.environ["BOOTSTRAP"]
PARTITIONS = 6
COMMANDS = {
    "java": ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp", os.environ["JAVA_CHECKS"], "GroupMember"],
    "python": [sys.executable, "tests/python/group_member.py"],
    "go": [os.environ["GO_CHECKS"], "member"],
}  # fmt: skip
checks = Checks("mixed groups")


class Member:
    """One member as a process; a thread reads what it prints."""

    def __init__(self, language, topic, group):
        self.assigned, self.records = frozenset(), []
        self.process = subprocess.Popen(
            [*COMMANDS[language], topic, group], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "assigned":
                self.assigned = frozenset(map(int, rest))
            elif word == "record":
                self.records.append(rest[0])

    def leave(self):
        self.process.stdin.write("leave\n")
        self.process.stdin.flush()
        assert self.process.wait(30) == 0
        self.reader.join()
        self.assigned = frozenset()

    def crash(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.assigned = frozenset()


class Feed:
    """Sends numbered records, round robin, until it is stopped."""

    def __init__(self, topic):
        self.topic, self.sent, self.stopping = topic, 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "log_level": 2})
        while not self.stopping:
            producer.produce(self.topic, str(self.sent), partition=self.sent % PARTITIONS)
            self.sent += 1
            producer.poll(0)
            time.sleep(0.005)
        producer.flush(30)

    def stop(self):
        self.stopping = True
        self.thread.join()


def shared_by(members):
    """Each partition has one owner among these members, and each member an even part."""
    parts = [member.assigned for member in members]
    sizes = sorted(map(len, parts))
    return sum(sizes) == PARTITIONS == len(frozenset().union(*parts)) and sizes[-1] - sizes[0] <= 1


def settle(members, what):
    eventually(lambda: shared_by(members), 40, what)
    # What is shared stays shared: nobody is assigned anything more without a rebalance.
    for _ in range(10):
        time.sleep(0.05)
        assert shared_by(members), f"{what}: it did not last"


@checks.check
def members_of_three_languages_share_a_topic_and_lose_nothing():
    topic, group = "mixed", "mixed-group"
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()
    feed = Feed(topic)
    java = Member("java", topic, group)
    settle([java], "Java alone")
    python = Member("python", topic, group)
    settle([java, python], "Java and Python")
    go = Member("go", topic, group)
    settle([java, python, go], "Java, Python and Go")
    python.crash()
    settle([java, go], "Python crashed")
    again = Member("python", topic, group)
    settle([java, go, again], "Python is back")
    java.leave()
    settle([go, again], "Java left")
    second_java = Member("java", topic, group)
    settle([go, again, second_java], "Java is back")
    go.crash()
    settle([again, second_java], "Go crashed")
    feed.stop()
    members = [java, python, go, again, second_java]
    wanted = {str(number) for number in range(feed.sent)}
    eventually(lambda: wanted <= {value for member in members for value in member.records}, 30, "every record is processed")
    again.leave()
    settle([second_java], "Python left")
    second_java.leave()
    processed = sum(len(member.records) for member in members)
    print(f"     {feed.sent} records, {processed - feed.sent} of them processed twice around rebalances")


checks.run(*sys.argv[1:])
