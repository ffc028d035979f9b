"""Two revisions, each built in a git worktree of its own."""

import json
import os
import pathlib

from bench.paired import children


class Build:
    """One revision: its worktree, its program, its micro-benchmarks."""

    def __init__(self, revision, commit, worktree, profile):
        self.revision, self.commit, self.profile = revision, commit, profile
        self.worktree = pathlib.Path(worktree)
        self.whimbrel = self.target / {"dev": "debug"}.get(profile, profile) / "whimbrel"
        # Name, executable, and the folder it is to run in; found by `build`.
        self.micro_benchmarks = []

    @property
    def target(self):
        return self.worktree / "target"

    @property
    def title(self):
        short = self.commit[:10]
        return short if self.commit.startswith(self.revision) else f"{self.revision} ({short})"

    def check_out(self, repository, log):
        """Leaves the worktree at the revision, and what was built there before as a start for the next build."""
        git = ["git", "-C", repository]
        children.run([*git, "worktree", "prune"], log=log)
        if (self.worktree / ".git").exists():
            children.run(["git", "-C", self.worktree, "checkout", "--quiet", "--force", "--detach", self.commit], log=log)
        else:
            self.worktree.parent.mkdir(parents=True, exist_ok=True)
            children.run([*git, "worktree", "add", "--quiet", "--force", "--detach", self.worktree, self.commit], log=log)

    def build(self, log, jobs, with_program, with_micro):
        """Builds what is asked for: the program, and the micro-benchmarks that the revision has."""
        options = ["--locked", "--profile", self.profile, "--jobs", jobs]
        if with_program:
            self.cargo(["build", *options, "--package", "whimbrel"], log)
        if not with_micro or not self.has_micro_benchmarks(log):
            return
        told = self.cargo(
            ["bench", *options, "--workspace", "--bench", "*", "--no-run", "--message-format", "json-render-diagnostics"], log
        )
        for line in told.splitlines():
            artifact = json.loads(line)
            target = artifact.get("target", {})
            if artifact.get("reason") == "compiler-artifact" and "bench" in target.get("kind", ()):
                folder = pathlib.Path(artifact["manifest_path"]).parent
                self.micro_benchmarks.append((target["name"], artifact["executable"], folder))

    def has_micro_benchmarks(self, log):
        """Revisions from before they were written have none, and cargo takes that for an error."""
        metadata = json.loads(self.cargo(["metadata", "--locked", "--no-deps", "--format-version", "1"], log))
        targets = (target for package in metadata["packages"] for target in package["targets"])
        return any("bench" in target["kind"] for target in targets)

    def cargo(self, words, log):
        """What cargo says on its standard output. Both builds have a target folder of their own, whatever is set."""
        environment = {"CARGO_TARGET_DIR": str(self.target)}
        _, output = children.run(["cargo", *words], log=log, cwd=self.worktree, environment=environment)
        return output


def commit_of(repository, revision, log):
    words = ["git", "-C", repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    code, output = children.run(words, log=log, accept=(0, 1, 128))
    if code != 0:
        raise children.Failed(f"git knows no revision '{revision}'")
    return output.strip()


def default_base(repository, candidate, log):
    """The newest tag before the candidate; its parent where there is none."""
    words = ["git", "-C", repository, "describe", "--tags", "--abbrev=0", f"{candidate}~1"]
    code, output = children.run(words, log=log, accept=(0, 128))
    return output.strip() if code == 0 else f"{candidate}~1"


def all_cores():
    return str(len(os.sched_getaffinity(0)))
