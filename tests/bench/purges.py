#!/usr/bin/env python3
"""What a hit costs among purges: tests/bench/purges.py [--help]

First the program's instructions for each 1 KiB hit, counted by valgrind's callgrind, before and after
100,000 tags were purged that nothing stored has; at most 2 % more are allowed. Then CPU per hit while
1,000 such purges a second arrive, each its own request of the admin API, by turns with rounds without;
at most 10 % more. What is judged there is the thread that serves: what accepts a purge and writes it
to disk is another's work, and stands beside it.
Server on core 0, load, purges and origin on core 1. Every stored response has five tags.
"""

import argparse
import contextlib
import glob
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import machine
from machine import LOAD_CORE, SERVER_CORE, TICKS, BenchError

INSTRUCTIONS_MAX, CPU_MAX = 1.02, 1.10
LIVE, PER_ORDER = 100_000, 100
OBJECTS, PATTERN, OCTETS = 100, "/o/{}.bin", 1024
EMBEDDED = 'embedded = "ledger.redb"'
RATE, RATE_MIN, SENDERS = 1000, 950, 32
LUA = """
local requests, at = {}, 0
init = function()
  for n = 0, COUNT - 1 do requests[n] = wrk.format("GET", string.format("/o/%d.bin", n)) end
end
request = function() at = (at + 7) % COUNT; return requests[at] end
""".replace("COUNT", str(OBJECTS))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the nearcast program")
    parser.add_argument("--hits", type=int, default=4000, help="whose instructions are counted")
    parser.add_argument("--rounds", type=int, default=7, help="of CPU per hit; 0 for none")
    parser.add_argument("--seconds", type=int, default=3, help="of each")
    parser.add_argument("--no-instructions", action="store_true")
    return parser.parse_args()


class Node:
    """A node with a ledger of its own, and what speaks to it."""

    def __init__(self, folder, start, name, argv, origin, ledger=EMBEDDED, core=SERVER_CORE, token=None):
        self.folder = f"{folder}/{name}"
        os.makedirs(self.folder)
        self.port, self.admin = machine.free_port(), machine.free_port()
        path = f"{self.folder}/node.toml"
        with open(path, "w", encoding="ascii") as settings:
            settings.write(f"""
[node]
name = "{name}"
workers = 1
[edge]
listen = ["127.0.0.1:{self.port}"]
origin_networks_allowed = ["127.0.0.0/8"]
[admin]
listen = "127.0.0.1:{self.admin}"
[control]
requests_per_second = 100000
{ledger}
[log]
access = "access.log"
[[site]]
name = "bench"
hosts = ["*"]
origin = {{ servers = ["http://127.0.0.1:{origin}"] }}
""")
        self.process = start(name, [*argv, "run", "--config", path], core)
        self.process.wait_ready(f"http://127.0.0.1:{self.admin}/readyz")
        self.token = token
        if token is None:
            with open(f"{self.folder}/token", encoding="ascii") as file:
                self.token = file.read().strip()

    def connect(self, port):
        stream = socket.create_connection(("127.0.0.1", port), timeout=60)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def order(self, stream, tags, wait=""):
        """Purges by tags; returns the answer once they are in the log, or after that wait."""
        body = json.dumps({"site": "bench", "selectors": [{"tag": tag} for tag in tags]})
        stream.sendall((f"POST /v1/purges{wait and f'?wait={wait}'} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
                        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode())
        head, content = answer(stream)
        if not head.startswith(b"HTTP/1.1 20"):
            raise BenchError(f"a purge was refused: {head.splitlines()[0].decode()} {content.decode()}")
        return json.loads(content)

    def settled(self):
        """Waits until the node has applied every purge."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            page = machine.fetch(f"http://127.0.0.1:{self.admin}/v1/nodes", {"Authorization": f"Bearer {self.token}"})
            if json.loads(page[2])["nodes"][0]["behind"] == 0:
                return
            time.sleep(0.05)
        raise BenchError("the node does not catch up with purges")

    def hits(self, number):
        """So many GETs over one connection, each a hit."""
        with self.connect(self.port) as stream:
            for at in range(number):
                path = PATTERN.format(at % OBJECTS)
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
                head, content = answer(stream)
                if len(content) != OCTETS:
                    raise BenchError(f"{path}: {head.decode()}")
        return head

    def warm(self):
        self.hits(OBJECTS)
        if b"; hit" not in self.hits(2 * OBJECTS):
            raise BenchError("what was fetched is not stored")

    def serving_seconds(self):
        """CPU time of the thread that serves, so far."""
        for task in glob.glob(f"/proc/{self.process.pid}/task/*"):
            with contextlib.suppress(OSError), open(f"{task}/comm", encoding="ascii") as comm:
                if comm.read().strip() == "edge-0":
                    with open(f"{task}/stat", encoding="ascii") as stat:
                        fields = stat.read().rsplit(")", 1)[1].split()
                    return (int(fields[11]) + int(fields[12])) / TICKS
        raise BenchError("the program has no thread edge-0")


def answer(stream):
    """One answer with a Content-Length: its head and content."""
    read = b""
    while b"\r\n\r\n" not in read:
        more = stream.recv(65536)
        if not more:
            raise BenchError(f"a connection ended after {read!r}")
        read += more
    head, content = read.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"content-length: (\d+)", head, re.I).group(1))
    while len(content) < length:
        content += stream.recv(65536)
    return head, content


def start_origin(folder, start):
    port = machine.free_port()
    os.makedirs(f"{folder}/files/o")
    for number in range(OBJECTS):
        with open(f"{folder}/files{PATTERN.format(number)}", "wb") as file:
            file.write(os.urandom(OCTETS))
    path = f"{folder}/origin.conf"
    with open(path, "w", encoding="ascii") as conf:
        conf.write(f"""
worker_processes 1; daemon off; pid {folder}/origin.pid; error_log {folder}/origin.err;
events {{ }}
http {{ access_log off; default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port}; root {folder}/files;
    add_header Cache-Control "public, max-age=86400";
    add_header Surrogate-Key "shop product $request_id-a $request_id-b $request_id-c"; }} }}
""")
    process = start("origin", ["nginx", "-e", f"{folder}/origin.err", "-c", path], LOAD_CORE)
    process.wait_ready(f"http://127.0.0.1:{port}{PATTERN.format(0)}")
    return port


def counted(node, hits):
    """Instructions of all threads for each hit."""
    def control(option):
        argv = ["callgrind_control", option, str(node.process.pid)]
        subprocess.run(argv, check=True, capture_output=True, timeout=60)
    node.warm()
    before = set(glob.glob(f"{node.folder}/callgrind.*"))
    control("--zero")
    node.hits(hits)
    control("--dump")
    dumps = sorted(set(glob.glob(f"{node.folder}/callgrind.*")) - before)
    totals = 0
    for dump in dumps:
        with open(dump, encoding="utf-8", errors="replace") as lines:
            totals += sum(int(line.split()[1]) for line in lines if line.startswith("totals:"))
    if totals == 0:
        raise BenchError("callgrind counted nothing")
    return totals / hits


def instructions(folder, start, args, origin):
    # Its files go beside the node's own.
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind/callgrind.%p"]
    node = Node(folder, start, "callgrind", [*valgrind, args.binary], origin)
    calm = counted(node, args.hits)
    with node.connect(node.admin) as stream:
        for order in range(LIVE // PER_ORDER):
            node.order(stream, [f"live-{order}-{tag}" for tag in range(PER_ORDER)])
    node.settled()
    purged = counted(node, args.hits)
    share = purged / calm
    held = share <= INSTRUCTIONS_MAX
    print(f"| instructions per hit | {calm:,.0f} | {purged:,.0f} with {LIVE:,} purged tags | {share:.3f} "
          f"| {INSTRUCTIONS_MAX} | {'yes' if held else '**no**'} |", flush=True)
    node.process.stop()
    return held


class Purging:
    """Purges at a rate, from connections of their own, while it is open."""

    def __init__(self, node, core=LOAD_CORE):
        self.node, self.core, self.sent, self.failure = node, core, [0] * SENDERS, None
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(n,)) for n in range(SENDERS)]

    def send(self, number):
        try:
            with self.node.connect(self.node.admin) as stream:
                begin = time.monotonic()
                while not self.over.wait(max(0, begin + self.sent[number] * SENDERS / RATE - time.monotonic())):
                    self.node.order(stream, [f"gone-{time.monotonic_ns()}-{number}"])
                    self.sent[number] += 1
        except (BenchError, OSError) as failure:
            self.failure = failure

    def __enter__(self):
        os.sched_setaffinity(0, map(int, str(self.core).split(",")))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.failure:
            raise BenchError(f"purging ended: {self.failure}")


def loaded(node, script, seconds):
    """CPU per hit of what serves and of the program, in microseconds, and hits a second."""
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", "-c64", f"-d{seconds}s", "-s", script,
            f"http://127.0.0.1:{node.port}"]
    serving, whole = node.serving_seconds(), node.process.cpu_seconds()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    serving, whole = node.serving_seconds() - serving, node.process.cpu_seconds() - whole
    found = re.search(r"(\d+) requests in", done.stdout)
    if not found or re.search("Non-2xx|Socket errors", done.stdout):
        raise BenchError(f"wrk: {done.stdout}{done.stderr}")
    requests = int(found.group(1))
    return {"serving": serving / requests * 1e6, "whole": whole / requests * 1e6, "rate": requests / seconds}


def cpu(folder, start, args, origin):
    node = Node(folder, start, "loaded", [args.binary], origin)
    node.warm()
    script = f"{folder}/load.lua"
    with open(script, "w", encoding="ascii") as file:
        file.write(LUA)
    loaded(node, script, 1)
    calm, purging, rates = [], [], []
    for _ in range(args.rounds):
        calm.append(loaded(node, script, args.seconds))
        with Purging(node) as purges:
            begin, before = time.monotonic(), sum(purges.sent)
            purging.append(loaded(node, script, args.seconds))
            rates.append((sum(purges.sent) - before) / (time.monotonic() - begin))
        node.settled()
    middle = lambda rounds, figure: statistics.median(one[figure] for one in rounds)
    share = statistics.median(one["serving"] / other["serving"] for one, other in zip(purging, calm))
    rate = statistics.median(rates)
    held = share <= CPU_MAX and rate >= RATE_MIN
    print(f"| CPU per hit, what serves | {middle(calm, 'serving'):.2f} µs | {middle(purging, 'serving'):.2f} µs at "
          f"{rate:,.0f} purges/s | {share:.3f} | {CPU_MAX} | {'yes' if held else '**no**'} |")
    print(f"| CPU per hit, the program | {middle(calm, 'whole'):.2f} µs | {middle(purging, 'whole'):.2f} µs | "
          f"{middle(purging, 'whole') / middle(calm, 'whole'):.3f} | | |")
    print(f"| hits a second | {middle(calm, 'rate'):,.0f} | {middle(purging, 'rate'):,.0f} | "
          f"{middle(purging, 'rate') / middle(calm, 'rate'):.3f} | | |")
    return held


def run():
    args = arguments()
    args.binary = os.path.abspath(args.binary)
    machine.need("taskset", "setpriv", "nginx", "wrk", "valgrind", "callgrind_control")
    held = True
    with machine.stage(900) as (folder, start):
        origin = start_origin(folder, start)
        print(f"{time.strftime('%Y-%m-%d')}, {machine.description()}\n")
        print("| figure | without | with | share | at most | held |\n|---|---:|---:|---:|---:|---|", flush=True)
        if not args.no_instructions:
            held &= instructions(folder, start, args, origin)
        if args.rounds:
            held &= cpu(folder, start, args, origin)
    return 0 if held else 1


if __name__ == "__main__":
    machine.main(run)
