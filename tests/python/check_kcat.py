"""Checks the broker at $BOOTSTRAP with kcat, the command-line client of librdkafka (Debian's, several years old)."""

import json
import os
import subprocess
import sys

from harness.checks import Checks

BOOTSTRAP = os.environ["BOOTSTRAP"]
checks = Checks("kcat")


def kcat(*arguments, text=None):
    """What kcat prints; it must end well within 30 s."""
    done = subprocess.run(["kcat", "-b", BOOTSTRAP, *arguments], input=text or "", capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@checks.check
def metadata_is_listed():
    listed = json.loads(kcat("-L", "-J"))
    assert [broker["name"] for broker in listed["brokers"]] == [BOOTSTRAP]
    assert listed["controllerid"] == listed["brokers"][0]["id"]


@checks.check
def what_is_produced_with_each_codec_is_consumed():
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = f"kcat-{codec}"
        lines = "".join(f"key-{i}:value-{i}\n" for i in range(500))
        kcat("-P", "-t", topic, "-K:", "-z", codec, text=lines)
        assert kcat("-C", "-t", topic, "-K:", "-e", "-q", "-o", "beginning", "-X", "check.crcs=true") == lines, codec


@checks.check
def headers_partitions_and_timestamps_are_shown():
    kcat("-P", "-t", "kcat-headers", "-H", "a=1", "-H", "b=two", "-k", "key", text="value\n")
    shown = kcat("-C", "-t", "kcat-headers", "-e", "-q", "-o", "beginning", "-f", "%p %o %k %s %h\n")
    assert shown == "0 0 key value a=1,b=two\n", shown


@checks.check
def offsets_from_the_end_and_by_time_are_found():
    kcat("-P", "-t", "kcat-offsets", text="".join(f"{i}\n" for i in range(100)))
    assert kcat("-C", "-t", "kcat-offsets", "-e", "-q", "-o", "-3") == "97\n98\n99\n"
    assert kcat("-C", "-t", "kcat-offsets", "-e", "-q", "-o", "s@1", "-c", "1") == "0\n"
    assert "offset 100" in kcat("-Q", "-t", "kcat-offsets:0:-1")


@checks.check
def a_group_reads_on_from_its_commit():
    kcat("-P", "-t", "kcat-group", text="one\ntwo\n")
    settings = ["-X", "auto.offset.reset=earliest"]
    assert kcat("-G", "kcat-readers", *settings, "-e", "-q", "-c", "2", "kcat-group") == "one\ntwo\n"
    kcat("-P", "-t", "kcat-group", text="three\n")
    assert kcat("-G", "kcat-readers", *settings, "-e", "-q", "-c", "1", "kcat-group") == "three\n"


@checks.check
def idempotent_produce_works():
    kcat("-P", "-t", "kcat-idempotent", "-X", "enable.idempotence=true", text="x\n" * 100)
    assert kcat("-C", "-t", "kcat-idempotent", "-e", "-q", "-o", "beginning") == "x\n" * 100


checks.run(*sys.argv[1:])
