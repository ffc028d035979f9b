"""Child processes that end with this one, however it ends."""

import ctypes
import os
import signal
import subprocess

END_SECONDS = 10
PR_SET_PDEATHSIG = 1
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIBC = ctypes.CDLL(None)


class Failed(Exception):
    """A child that could not do what it was started for."""


class Interrupted(BaseException):
    """A signal asked for the end. No `Exception`, so that nothing takes it for a failure of a measurement."""


def end_on_signals():
    """Lets the signals that ask for the end raise `Interrupted`, so that every `finally` on the way is run."""
    for number in ENDING:
        # `nohup` has it ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def interrupt(number, _frame):
    # A second one must not cut short what ends the children.
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def run(words, *, log, cwd=None, environment=None, accept=(0,)):
    """Runs a command to its end, with its errors in the file `log`; returns its exit code and its output.

    It has a process group of its own, which is ended as a whole when this process is interrupted. If this process is
    killed, the kernel kills the command, and the servers that `whimbrel bench` starts go with it in the same way.
    """
    with open(log, "a") as errors:
        errors.write(f"$ {' '.join(map(str, words))}\n")
        errors.flush()
        child = subprocess.Popen(
            [str(word) for word in words], cwd=cwd, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True, preexec_fn=die_with_parent,
        )  # fmt: skip
        try:
            output, _ = child.communicate()
        finally:
            end(child)
    if child.returncode not in accept:
        raise Failed(f"{' '.join(map(str, words[:3]))}… ended with {child.returncode}:\n{tail(log)}")
    return child.returncode, output


def die_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end(child):
    """Ends what is left of the child's group: first it is asked to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.wait(END_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def tail(path, lines=20):
    with open(path) as file:
        return "".join(f"  {line}" for line in file.readlines()[-lines:])
