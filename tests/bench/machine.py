"""Processes, cores and clocks of the machine that a bench runs on.

What always holds: whatever is started here is stopped here, by its own process id, also when the
bench fails, is interrupted or runs out of time; nothing listens outside of loopback.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

SERVER_CORE = 0
LOAD_CORE = 1
READY_SECONDS = 30
STOP_SECONDS = 15
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """What went wrong, for whoever started the bench."""


def need(*commands):
    """Names everything that is missing at once."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    missing = [c for c in commands if shutil.which(c) is None]
    if missing:
        raise BenchError(f"not installed: {', '.join(missing)} (./tests/run --install brings the rest; "
                         "varnish and trafficserver are Debian packages)")
    if os.cpu_count() < 2:
        raise BenchError("two cores are needed: one for the server, one for the load")


def free_port():
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, headers=None, seconds=10):
    """Status, fields and content of one GET; an error status is an answer, too."""
    request = urllib.request.Request(url, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


class Process:
    """A started program with its children."""

    def __init__(self, name, argv, core, log, env=None):
        self.name = name
        self.log = log
        # If this bench is killed outright, the kernel stops what it started.
        argv = ["setpriv", "--pdeathsig", "TERM", "taskset", "-c", str(core), *argv]
        with open(log, "wb") as out:
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          start_new_session=True, env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.child.pid

    def tree(self):
        """Its process id and those of all its descendants."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = stat_fields(entry)
                if fields:
                    children.setdefault(int(fields[1]), []).append(int(entry))
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            todo += children.get(pid, [])
        return found

    def cpu_seconds(self):
        """User and system time of the whole tree, so far."""
        stats = [stat_fields(pid) for pid in self.tree()]
        return sum(int(s[11]) + int(s[12]) for s in stats if s) / TICKS

    def resident_bytes(self):
        """Resident memory of the tree; what its processes share counts once."""
        return sum(memory_field(pid, "smaps_rollup", "Pss:") for pid in self.tree())

    def resident_high_water(self):
        """The largest resident sizes of its processes since the last reset."""
        return sum(memory_field(pid, "status", "VmHWM:") for pid in self.tree())

    def reset_high_water(self):
        for pid in self.tree():
            with open(f"/proc/{pid}/clear_refs", "w") as file:
                file.write("5")

    def alive(self):
        return self.child.poll() is None

    def tail(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-15:])

    def wait_ready(self, url, status=200):
        """Until `url` answers with `status`; an early death is told with its last words."""
        deadline = time.monotonic() + READY_SECONDS
        answer = None
        while time.monotonic() < deadline:
            if not self.alive():
                raise BenchError(f"{self.name} ended with {self.child.returncode}:\n{self.tail()}")
            with contextlib.suppress(OSError):
                answer = fetch(url, seconds=5)[0]
                if answer == status:
                    return
            time.sleep(0.05)
        raise BenchError(f"{self.name} is not ready after {READY_SECONDS} s ({url}: {answer}):\n{self.tail()}")

    def first_line(self):
        """The first line that it writes."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.alive():
            with open(self.log, errors="replace") as log:
                line = log.readline()
            if line.endswith("\n"):
                return line.strip()
            time.sleep(0.05)
        raise BenchError(f"{self.name} says nothing:\n{self.tail()}")

    def stop(self):
        if self.alive():
            self.child.terminate()
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"{self.name} did not stop in {STOP_SECONDS} s; killed", file=sys.stderr)
        # The session is this process's own: the group holds it and its children, nobody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.child.wait()


def stat_fields(pid):
    """What follows the name in /proc/PID/stat, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return None


def memory_field(pid, file, field):
    try:
        with open(f"/proc/{pid}/{file}") as lines:
            for line in lines:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


@contextlib.contextmanager
def stage(seconds):
    """A folder and a way to start processes in it; all of it is gone afterwards.

    `seconds` bounds the whole bench.
    """
    def give_up(number, _frame):
        raise BenchError(f"stopped by signal {number} (a bench may last {seconds} s)")
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, give_up)
    signal.alarm(seconds)
    folder = tempfile.mkdtemp(prefix="nearcast-bench-")
    # Workers that drop root must be able to get in.
    os.chmod(folder, 0o755)
    started = []

    def start(name, argv, core, env=None):
        process = Process(name, argv, core, os.path.join(folder, f"{name.replace(chr(47), chr(45))}.log"), env)
        started.append(process)
        return process
    try:
        yield folder, start
    finally:
        signal.alarm(0)
        for process in reversed(started):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


def description():
    """The machine in one line, and whether it had something else to do."""
    model = "unknown processor"
    with open("/proc/cpuinfo") as cpus:
        for line in cpus:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30
    return f"{model}, {os.cpu_count()} cores, {memory} GiB, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f} before"


def main(body):
    """Runs a bench and turns what it raises into an exit code."""
    try:
        sys.exit(body())
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
