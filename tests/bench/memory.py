#!/usr/bin/env python3
"""Memory as the machine sees it: tests/bench/memory.py [--help]

Nearcast with a small `memory`, judged by its resident high-water mark from outside, under: slow
readers of objects larger than the cache, on one URL each and on few; of responses that may not be
stored; of content that comes in tiny chunks; a churn of small objects; fills whose clients go away;
and, when the cache is full, clients that send half a head, or more than their turn, and slow readers
again. The origin's cap on connections is no help: it lets all
of them in. Each load may reach `memory` × 1.2 and no more, and leave no client without answer; with an
empty cache all readers are served, with a full one some may be refused with 503.
"""

import argparse
import os
import re
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import machine
import mock
import peers
from machine import BenchError

CEILING = 1.2
MIB = 1 << 20

CHURN = """
local at, answered, count = 0, 0, tonumber(os.getenv("COUNT"))
request = function() at = at + 1; return wrk.format("GET", "/small/" .. at) end
response = function()
  answered = answered + 1
  if answered == count then io.write("ALL\\n"); io.flush() end
end
done = function(s) io.write(string.format("FIGURES %d %d\\n", s.requests, s.errors.status)) end
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the nearcast program")
    parser.add_argument("--origin", help="another origin's command line, with {port} in it")
    parser.add_argument("--server", help="another server's command line, with {port} {origin} {folder} in it")
    parser.add_argument("--memory", type=int, default=256, help="MiB")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=1_000_000, help="of the churn")
    parser.add_argument("--aborts", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=20, help="that the slow readers read")
    return parser.parse_args()


def ask(port, path):
    """A connection with little room for what arrives, so that a slow reader is slow for the server."""
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    one.settimeout(10)
    one.connect(("127.0.0.1", port))
    one.send(f"GET {path} HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode())
    one.setblocking(False)
    return one


def slow_readers(port, paths, seconds, refusals_max=0):
    """All read a little, ten times a second. Tells how many were served, refused, and starved.

    They come fifty at a time, the next when the ones before have their answer: all at once they would
    try the mock origin's queue of connections, which a busy machine does not empty in time.
    """
    readers, coming = [], list(paths)
    deadline = time.monotonic() + 10 * seconds
    last_came = time.monotonic()
    while time.monotonic() < deadline and (coming or time.monotonic() < last_came + seconds):
        next_turn = time.monotonic() + 0.1
        if coming and all(reader["first"] for reader in readers):
            readers += [{"socket": ask(port, path), "octets": 0, "first": b""} for path in coming[:50]]
            coming, last_came = coming[50:], time.monotonic()
        for reader in readers:
            try:
                data = reader["socket"].recv(4096)
            except (BlockingIOError, ConnectionResetError):
                continue
            reader["first"] = reader["first"] or data[:12]
            reader["octets"] += len(data)
        time.sleep(max(0, next_turn - time.monotonic()))
    for reader in readers:
        reader["socket"].close()
    served = sum(r["first"] == b"HTTP/1.1 200" and r["octets"] > 8192 for r in readers)
    refused = sum(r["first"] == b"HTTP/1.1 503" for r in readers)
    starved = len(paths) - served - refused
    well = starved == 0 and refused <= refusals_max
    return f"{served} served, {refused} refused with 503, {starved} neither", well


def churn(folder, port, count):
    """So many different small objects, one after the other, as fast as they come."""
    script = f"{folder}/churn.lua"
    with open(script, "w") as file:
        file.write(CHURN)
    limit = 120 + count // 1000
    argv = ["taskset", "-c", str(machine.LOAD_CORE), "wrk", "-t1", "-c64", f"-d{limit}s", "-s", script,
            f"http://127.0.0.1:{port}"]
    with subprocess.Popen(argv, env={**os.environ, "COUNT": str(count)}, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True) as wrk:
        told = ""
        for line in wrk.stdout:
            told += line
            if line == "ALL\n":
                # It would go on, and a script's thread:stop() leaves it idle to the end of its time.
                wrk.send_signal(signal.SIGINT)
    line = re.search(r"^FIGURES (\d+) (\d+)$", told, re.M)
    if not line:
        raise BenchError(f"wrk: {told}")
    well = line.group(2) == "0" and int(line.group(1)) >= count
    return f"{line.group(1)} requests, {line.group(2)} refused", well


def aborted_fills(port, count):
    """Clients that go away after the first bytes of a fill, a hundred at a time."""
    waiting, started, ended = selectors.DefaultSelector(), 0, 0
    deadline = time.monotonic() + 300
    while ended < count:
        if time.monotonic() > deadline:
            raise BenchError(f"only {ended} of {count} fills began in 300 s")
        while started < count and len(waiting.get_map()) < 100:
            waiting.register(ask(port, f"/aborted/{started}"), selectors.EVENT_READ)
            started += 1
        for key, _ in waiting.select(1):
            waiting.unregister(key.fileobj)
            key.fileobj.close()
            ended += 1
    return f"{ended} fills left by their clients", True


def senders(port, sent, count, seconds):
    """Clients that send this and wait; who is not answered for so long is held."""
    clients = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), 10)
        one.setblocking(False)
        try:
            one.send(sent)
        except BlockingIOError:
            pass
        clients.append(one)
    time.sleep(seconds)
    answered = 0
    for one in clients:
        try:
            answered += one.recv(12) == b"HTTP/1.1 503"
        except (BlockingIOError, ConnectionResetError):
            pass
        one.close()
    return f"{count - answered} held, {answered} refused with 503", True


def run():
    args = arguments()
    machine.need("wrk", "taskset", "setpriv")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, args.clients * 4 + 200)), hard))
    limit = args.memory * MIB * CEILING
    larger = args.memory * MIB * 2
    held = True
    with machine.stage(1800 + args.objects // 500) as (folder, start):
        os.sched_setaffinity(0, {machine.LOAD_CORE})
        origin = mock.Mock(start, args.binary, args.origin)
        patterns = {"/large/*": mock.stored_pattern(larger), "/small/*": mock.stored_pattern(2048),
                    "/aborted/*": mock.stored_pattern(32 * MIB),
                    "/tiny/*": mock.stored_pattern(larger, framing="chunked", chunk_bytes=1)}
        passed = mock.stored_pattern(larger)
        passed["fields"] = [["Cache-Control", "no-store"]]
        held_back = mock.stored_pattern(100, head_delay="20s")
        origin.script(**patterns, **{"/passed/*": passed, "/held": held_back})
        if args.server:
            cache = peers.start_command(folder, start, origin.port, "server", args.server)
        else:
            cache = peers.start_nearcast(folder, start, origin.port, args.binary, f"{args.memory} MiB",
                                         connections_max=2 * args.clients)
        cache.process.wait_ready(cache.url("/"))
        def readers(paths, refusals_max=0):
            return lambda: slow_readers(cache.port, paths, args.seconds, refusals_max)
        count = args.clients
        acts = [
            (f"{count} slow readers, one URL each", readers([f"/large/{n}" for n in range(count)])),
            (f"{count} slow readers, 10 URLs", readers([f"/large/few/{n % 10}" for n in range(count)])),
            (f"{count} slow readers, passed on", readers([f"/passed/{n}" for n in range(count)])),
            (f"{count // 10} slow readers, byte by byte", readers([f"/tiny/{n}" for n in range(count // 10)])),
            (f"churn of {args.objects:,} objects", lambda: churn(folder, cache.port, args.objects)),
            ("aborted fills", lambda: aborted_fills(cache.port, args.aborts)),
            (f"{2 * count - 100} heads without an end, full cache", lambda: senders(
                cache.port, b"GET /held HTTP/1.1\r\nHost: bench.test\r\nX: " + b"x" * 31000, 2 * count - 100, 3)),
            (f"{2 * count - 100} clients that wait and send on, full cache", lambda: senders(
                cache.port, b"GET /held HTTP/1.1\r\nHost: bench.test\r\n\r\n" + b"x" * 40000,
                2 * count - 100, 3)),
            (f"{count} slow readers, full cache", readers([f"/large/late/{n}" for n in range(count)], count)),
            (f"{count} slow readers, full cache, passed on",
             readers([f"/passed/late/{n}" for n in range(count)], count)),
        ]
        print(f"{time.strftime('%Y-%m-%d')}, {machine.description()}; memory = {args.memory} MiB, "
              f"ceiling {limit / MIB:.0f} MiB\n")
        print("| load | high-water mark MiB | afterwards MiB | what came of it | |\n|---|---:|---:|---|---|")
        for name, act in acts:
            cache.process.reset_high_water()
            told, well = act()
            if not cache.process.alive():
                raise BenchError(f"the server died under: {name}\n{cache.process.tail()}")
            peak, now = cache.process.resident_high_water(), cache.process.resident_bytes()
            good = well and peak <= limit
            held &= good
            print(f"| {name} | {peak / MIB:.0f} | {now / MIB:.0f} | {told} | {'held' if good else 'MISSED'} |",
                  flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    machine.main(run)
