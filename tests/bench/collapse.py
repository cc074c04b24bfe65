#!/usr/bin/env python3
"""A thousand clients at once on one URL that is not stored: tests/bench/collapse.py [--help]

The origin holds its answer until all have asked. One thread stamps every client's first byte as
epoll reports it. Beside the caches stands what the kernel alone takes: a loop that sends as much
to as many connections, with nothing between one send and the next; and hyper, with nothing of ours.
Judged: requests at the origin (1), and the followers' first bytes after the leader's: the last at
most 2.5 times as late as the bare loop's, by the best round of each, for a host adds to such a time
and never takes from it.
"""

import argparse
import os
import resource
import select
import socket
import statistics
import sys
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import machine
import mock
import peers
from machine import BenchError

BARE_TIMES_MAX = 2.5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the nearcast program")
    parser.add_argument("--bare", metavar="FILE", help="the bench-bare program: hyper alone, which waits for one POST")
    parser.add_argument("--origin", help="another origin's command line, with {port} in it")
    parser.add_argument("--caches", default="nearcast,nginx,varnish")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--octets", type=int, default=16384)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def connect_all(port, count):
    sockets = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port), timeout=10)
        one.setblocking(False)
        sockets.append(one)
    return sockets


def wait_quiet(process, seconds=20):
    """Until the cache has done what it can: two looks apart, it has used next to no CPU time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = process.cpu_seconds()
        time.sleep(0.3)
        if process.cpu_seconds() - before <= 0.01:
            return
    raise BenchError(f"{process.name} is still busy after {seconds} s of waiting for its origin")


def stamp_first_bytes(sockets, seconds=30):
    """When each client's first byte was there, in the order of arrival."""
    epoll = select.epoll()
    by_fd = {one.fileno(): one for one in sockets}
    for fd in by_fd:
        epoll.register(fd, select.EPOLLIN)
    stamps, left = [], {fd: None for fd in by_fd}
    received = dict.fromkeys(by_fd, 0)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        ready = epoll.poll(1, len(by_fd))
        # One stamp for all that were ready together: reading them takes longer than they differ.
        now = time.monotonic()
        for fd, _ in ready:
            if received[fd] == 0:
                stamps.append(now)
            data = by_fd[fd].recv(65536)
            received[fd] += len(data)
            left.pop(fd, None)
            if not data:
                epoll.unregister(fd)
    epoll.close()
    if left:
        raise BenchError(f"{len(left)} clients got nothing in {seconds} s")
    return stamps


def one_round(cache, clients, path, release):
    """All ask for `path`, `release` lets the answer come, and says what it knows of the requests."""
    sockets = connect_all(cache.port, clients)
    try:
        request = f"GET {path} HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode()
        for one in sockets:
            one.send(request)
        wait_quiet(cache.process)
        known = release(path)
        stamps = stamp_first_bytes(sockets)
    finally:
        for one in sockets:
            one.close()
    return {**known, **delays(stamps)}


def release_origin(origin):
    def release(path):
        asked = len(origin.ask("GET", f"requests?path={path}"))
        origin.ask("POST", "release")
        return {"asked": asked}
    return release


def release_bare(bare):
    def release(_path):
        # Its answer is not waited for: it would be read between the others'.
        with socket.create_connection(("127.0.0.1", bare.port), timeout=10) as one:
            one.send(b"POST /release HTTP/1.1\r\nHost: bench.test\r\nContent-Length: 0\r\n\r\n")
        return {}
    return release


def delays(stamps):
    after = [(stamp - stamps[0]) * 1000 for stamp in stamps[1:]]
    return {"median": statistics.median(after), "last": after[-1]}


def bare_round(clients, octets):
    """As one_round, but a process that does nothing but send to one connection after the other."""
    with socket.create_server(("127.0.0.1", 0), backlog=clients) as server:
        ready, go = os.pipe()
        sender = os.fork()
        if sender == 0:
            os.close(go)
            send_to_all(server, clients, bytes(octets), ready)
        os.close(ready)
        sockets = connect_all(server.getsockname()[1], clients)
        try:
            os.write(go, b"1")
            stamps = stamp_first_bytes(sockets)
        finally:
            os.close(go)
            os.waitpid(sender, 0)
            for one in sockets:
                one.close()
    return delays(stamps)


def send_to_all(server, clients, content, ready):
    """The other process of a bare round; it ends with the pipe."""
    try:
        os.sched_setaffinity(0, {machine.SERVER_CORE})
        accepted = [server.accept()[0] for _ in range(clients)]
        os.read(ready, 1)
        for one in accepted:
            one.send(content)
        os.read(ready, 1)
    finally:
        os._exit(0)


def tell(name, rounds):
    """Prints what came of the rounds; the last follower's first byte in the best of them."""
    def span(key):
        return " to ".join(f"{of(one[key] for one in rounds):.2f}" for of in (min, max))
    asked = max((one["asked"] for one in rounds if "asked" in one), default="")
    print(f"| {name} | {asked} | {span('median')} | {span('last')} |", flush=True)
    return min(one["last"] for one in rounds)


def run():
    args = arguments()
    machine.need("taskset", "setpriv", "nginx")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, args.clients * 2 + 100)), hard))
    held = True
    with machine.stage(120 + args.rounds * 180) as (folder, start):
        os.sched_setaffinity(0, {machine.LOAD_CORE})
        origin = mock.Mock(start, args.binary, args.origin)
        origin.script(**{"/collapse/*": mock.stored_pattern(args.octets, hold="release")})
        names = args.caches.split(",")
        caches = peers.start_peers([n for n in names if n != "nearcast"], folder, start, origin.port)
        if "nearcast" in names:
            caches.append(peers.start_nearcast(folder, start, origin.port, args.binary))
        print(f"{time.strftime('%Y-%m-%d')}, {machine.description()}; {args.clients} clients, "
              f"{args.octets} octets, {args.rounds} rounds; first bytes in ms after the leader's\n")
        print("| server | origin requests | median, best and worst round | last, best and worst round |\n"
              "|---|---:|---:|---:|")
        bare = tell("bare loop", [bare_round(args.clients, args.octets) for _ in range(args.rounds)])
        if args.bare:
            bare_hyper = peers.start_command(folder, start, origin.port, "bare hyper", args.bare)
            rounds = [one_round(bare_hyper, args.clients, f"/held/k16_{number}.bin", release_bare(bare_hyper))
                      for number in range(args.rounds)]
            tell("bare hyper", rounds)
        for cache in caches:
            rounds = [one_round(cache, args.clients, f"/collapse/{cache.name}/{number}", release_origin(origin))
                      for number in range(args.rounds)]
            last = tell(cache.name, rounds)
            if cache.name == "nearcast":
                held = all(one["asked"] == 1 for one in rounds) and last <= BARE_TIMES_MAX * bare
                print(f"budget {'held' if held else 'MISSED'}", file=sys.stderr)
    return 0 if held else 1


if __name__ == "__main__":
    machine.main(run)
