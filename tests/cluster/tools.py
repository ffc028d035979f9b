"""Kafka's own command-line tools, out of its jars."""

import json
import os
import pathlib
import subprocess

from harness.servers import LOG4J

TOOL_SECONDS_MAX = 60


def java_tool(name, *arguments):
    """The command that runs a class out of Kafka's jars."""
    java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j.configuration=file:{LOG4J}"]
    return [*java, "-cp", f"{os.environ['KAFKA_JARS']}/*", name, *map(str, arguments)]


def tool(name, *arguments, text=None):
    """What the tool prints; it must end well within a minute, without an error."""
    command = java_tool(name, *arguments)
    done = subprocess.run(command, input=text or "", capture_output=True, text=True, timeout=TOOL_SECONDS_MAX)
    assert done.returncode == 0, f"{name} {arguments}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def plan(folder, assignment):
    """A reassignment file: `{(topic, partition): replicas}`."""
    path = pathlib.Path(folder) / "reassignment.json"
    rows = [{"topic": topic, "partition": index, "replicas": replicas} for (topic, index), replicas in assignment.items()]
    path.write_text(json.dumps({"version": 1, "partitions": rows}))
    return path


def reassign(cluster, folder, assignment, *arguments):
    """Starts a reassignment with Kafka's tool."""
    return tool(
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "--bootstrap-server", cluster.bootstrap,
        "--reassignment-json-file", plan(folder, assignment), "--execute", *arguments,
    )  # fmt: skip
