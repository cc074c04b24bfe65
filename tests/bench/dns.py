#!/usr/bin/env python3
"""DNS answers over UDP beside a bare echo, gdnsd, Knot and PowerDNS: tests/bench/dns.py [--help]

Servers on core 0, load on core 1, one worker each; rounds interleaved, so that whatever the machine
does meanwhile falls on all alike. Prints the median of the rounds: answers/s, CPU per answer as the
scheduler counts it, and, where perf may count, instructions per answer. The other servers take part
with a city database for all (--city GeoLite2-City.mmdb), each if its Debian packages are installed:
gdnsd; knot and knot-module-geoip; pdns-server and pdns-backend-geoip (their services need not run).
Before it is measured, each server proves what it answers to two clients.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from dns_peers import NO_SUBNETS, PEERS, Missing, ask, at, proven

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
# What is bound and what is asked, queries outstanding, sockets, names asked for, subnets.
LOADS = {
    "ecs": ("geo answer with client subnet, 128 outstanding", "127.0.0.1", 128, 16, "www.cdn.test", "ecs"),
    "plain": ("geo answer without client subnet, 128 outstanding", "127.0.0.1", 128, 16, "www.cdn.test", "plain"),
    "one": ("geo answer with client subnet, one outstanding", "127.0.0.1", 1, 1, "www.cdn.test", "ecs"),
    "mix": ("1,000 sites by Zipf's law, a tenth NXDOMAIN", "127.0.0.1", 128, 16, "mix", "ecs"),
    "wildcard": ("the first, bound to all IPv4 addresses", "0.0.0.0", 128, 16, "www.cdn.test", "ecs"),
    "ipv6": ("the first over IPv6", "::1", 128, 16, "www.cdn.test", "ecs"),
    "wildcard6": ("the first over IPv6, bound to all addresses", "::", 128, 16, "www.cdn.test", "ecs"),
}
# Where who is bound to all addresses is asked.
ASKED = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class BenchError(Exception):
    """Why there is no figure."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", default=",".join(LOADS), help=f"which of {','.join(LOADS)}")
    parser.add_argument("--city", metavar="FILE", type=os.path.abspath,
                        help="a city database, for Nearcast and the other servers")
    parser.add_argument("--servers", help="only these: words of their names, as nearcast,gdnsd")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one measurement")
    parser.add_argument("--no-build", action="store_true", help="take the release build that is there")
    parser.add_argument("--json", metavar="FILE", help="all figures of all rounds")
    return parser.parse_args()


def free_port(host):
    """A port that neither transport uses: a server takes both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(100):
        with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family, socket.SOCK_STREAM) as tcp:
            udp.bind((host, 0))
            port = udp.getsockname()[1]
            try:
                tcp.bind((host, port))
                return port
            except OSError:
                continue
    raise BenchError(f"no free port on {host}")


class Server:
    """A server on core 0, and how it is measured."""

    def __init__(self, name, argv, bound, port, log):
        self.name, self.host, self.port, self.log = name, ASKED.get(bound, bound), port, log
        self.proof = ""
        with open(log, "wb") as file:
            self.process = subprocess.Popen(["taskset", "-c", "0", *argv], stdout=file, stderr=file)
        try:
            self.wait_until_up()
        except BaseException:
            self.stop()
            raise

    def wait_until_up(self):
        """Until a query is answered; with a deadline."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                ask(self.host, self.port, "www", seconds=0.2)
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.02)
        with open(self.log, encoding="utf-8", errors="replace") as file:
            raise BenchError(f"{self.name} does not answer on port {self.port}: {file.read()[-800:].strip()}")

    def prove(self, by):
        """Whether its answers follow from where clients are."""
        try:
            self.proof = f"by {by}, {proven(self.host, self.port)}"
        except (OSError, ValueError, IndexError) as error:
            self.stop()
            raise BenchError(f"{self.name} answers wrongly: {error}") from error

    def measure(self, program, load, seconds):
        _, _, outstanding, sockets, names, subnets = LOADS[load]
        pid = str(self.process.pid)
        argv = ["taskset", "-c", "1", program, "load", at(self.host, self.port), str(seconds), str(outstanding),
                str(sockets), names, subnets, pid]
        with instructions(pid) as counted:
            out = subprocess.run(argv, capture_output=True, text=True, check=False)
        if out.returncode != 0:
            raise BenchError(f"{self.name}: {out.stderr.strip()}")
        figures = json.loads(out.stdout)
        if figures["other"]:
            raise BenchError(f"{self.name}: {figures['other']} answers neither NOERROR nor NXDOMAIN")
        figures["instructions"] = counted.total() / max(figures["rate"] * seconds, 1)
        return figures

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class instructions:  # pylint: disable=invalid-name
    """What perf counts of a process meanwhile; 0 where it may not."""

    def __init__(self, pid):
        self.pid, self.perf, self.text = pid, None, ""

    def __enter__(self):
        if shutil.which("perf"):
            argv = ["perf", "stat", "-x,", "-e", "instructions", "-p", self.pid]
            self.perf = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        if self.perf:
            self.perf.send_signal(signal.SIGINT)
            self.text = self.perf.communicate()[1]

    def total(self):
        for line in self.text.splitlines():
            value = line.split(",")[0]
            if value.isdigit():
                return int(value)
        return 0


def is_wanted(name, args):
    return not args.servers or any(word and word in name.lower() for word in args.servers.lower().split(","))


def start_all(program, bound, folder, args):
    """All servers, bound to one address. A peer that cannot take part is told and left out."""
    city = [args.city] if args.city else []
    ours = {"bare echo": (lambda _, host, port, __: [program, "echo", at(host, port)], ""),
            "Nearcast": (lambda _, host, port, __: [program, "serve", at(host, port), *city], "distance")}
    servers = []
    try:
        for name, (argv, by) in {**ours, **(PEERS if city else {})}.items():
            if not is_wanted(name, args):
                continue
            port, place = free_port(bound), f"{folder}/{name}"
            os.makedirs(place)
            try:
                server = Server(name, argv(place, bound, port, args.city), bound, port, f"{place}/log")
                if city and by:
                    server.prove(by)
                servers.append(server)
                if name in ours and NO_SUBNETS in server.proof:
                    raise BenchError(f"{name} does not tell clients apart")
            except (Missing, BenchError) as error:
                if name in ours:
                    raise
                print(f"dns.py: {name} takes no part: {error}", file=sys.stderr)
    except BaseException:
        stop_all(servers)
        raise
    return servers


def stop_all(servers):
    for server in servers:
        server.stop()


def print_table(load, servers, figures):
    """A Markdown table, so that a result can go into docs/benchmarks.md as it is."""
    print(f"\n### {LOADS[load][0]}\n")
    print("| server | answers/s | CPU µs/answer | instructions | lost | clients told apart |")
    print("|---|---:|---:|---:|---:|---|")
    for server in servers:
        rounds = figures[server.name]
        middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        print(f"| {server.name} | {middle['rate']:,.0f} | {middle['cpu_us']:.3f} | {middle['instructions']:,.0f} "
              f"| {middle['lost']:,.0f} | {server.proof} |")
    sys.stdout.flush()


def measure_all(program, load, servers, args):
    figures = {server.name: [] for server in servers}
    for server in servers:
        server.measure(program, load, 1)
    for _ in range(args.rounds):
        for server in servers:
            figures[server.name].append(server.measure(program, load, args.seconds))
    print_table(load, servers, figures)
    return figures


def check(args):
    unknown = [load for load in args.loads.split(",") if load not in LOADS]
    if unknown:
        raise BenchError(f"not loads: {', '.join(unknown)}; there are {', '.join(LOADS)}")
    if args.city and not os.path.isfile(args.city):
        raise BenchError(f"no such file: {args.city}")
    os.environ["PATH"] += os.pathsep + "/usr/sbin"


def run(args):
    check(args)
    target = os.path.realpath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
    if not args.no_build:
        build = ["cargo", "build", "--release", "--locked", "--package", "bench-dns"]
        if subprocess.run(build, cwd=ROOT, check=False).returncode != 0:
            raise BenchError("the release build failed")
    program = os.path.join(target, "release", "bench-dns")
    everything, loads = {}, args.loads.split(",")
    for bound in dict.fromkeys(LOADS[load][1] for load in loads):
        with tempfile.TemporaryDirectory() as folder:
            servers = start_all(program, bound, folder, args)
            try:
                for load in loads:
                    if LOADS[load][1] == bound:
                        everything[load] = measure_all(program, load, servers, args)
            finally:
                stop_all(servers)
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump(everything, file, indent=1)


def main():
    args = arguments()
    try:
        run(args)
    except BenchError as error:
        sys.exit(f"dns.py: {error}")


if __name__ == "__main__":
    main()
