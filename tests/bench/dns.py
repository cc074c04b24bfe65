#!/usr/bin/env python3
"""DNS answers over UDP beside a bare echo and gdnsd: tests/bench/dns.py [--help]

Servers on core 0, load on core 1, one worker each; rounds interleaved, so that whatever the machine
does meanwhile falls on all alike. Prints the median of the rounds: answers/s, CPU per answer as the
scheduler counts it, and, where perf may count, instructions per answer. gdnsd takes part if it is
installed and there is a city database for both (--city GeoLite2-City.mmdb).
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

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
POPS = [("iad", 39.04, -77.49), ("ord", 41.88, -87.63), ("sjc", 37.34, -121.89), ("gru", -23.55, -46.63),
        ("lhr", 51.47, -0.45), ("fra", 50.11, 8.68), ("arn", 59.33, 18.07), ("jnb", -26.20, 28.05),
        ("bom", 19.08, 72.88), ("sin", 1.35, 103.82), ("nrt", 35.68, 139.69), ("syd", -33.87, 151.21)]
# Name, queries outstanding, sockets, names asked for, subnets.
LOADS = {
    "ecs": ("geo answer with client subnet, 128 outstanding", 128, 16, "www.cdn.test", "ecs"),
    "plain": ("geo answer without client subnet, 128 outstanding", 128, 16, "www.cdn.test", "plain"),
    "one": ("geo answer with client subnet, one outstanding", 1, 1, "www.cdn.test", "ecs"),
    "mix": ("1,000 sites by Zipf's law, a tenth NXDOMAIN", 128, 16, "mix", "ecs"),
}


class BenchError(Exception):
    """Why there is no figure."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", default=",".join(LOADS), help=f"which of {','.join(LOADS)}")
    parser.add_argument("--city", metavar="FILE", help="a city database, for Nearcast and gdnsd")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one measurement")
    parser.add_argument("--wildcard", action="store_true", help="bind to all addresses: PKTINFO is in play")
    parser.add_argument("--no-build", action="store_true", help="take the release build that is there")
    parser.add_argument("--json", metavar="FILE", help="all figures of all rounds")
    return parser.parse_args()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def gdnsd_folder(folder, port, city):
    """A configuration of gdnsd with the same PoPs, addresses and database."""
    for sub in ("etc/zones", "etc/geoip", "run", "state"):
        os.makedirs(f"{folder}/{sub}")
    os.symlink(os.path.realpath(city), f"{folder}/etc/geoip/city.mmdb")
    names = ", ".join(name for name, _, _ in POPS)
    places = ", ".join(f"{name} => [ {north}, {east} ]" for name, north, east in POPS)
    centers = ", ".join(f"{name} => 192.0.2.{at}" for at, (name, _, _) in enumerate(POPS, 1))
    with open(f"{folder}/etc/config", "w", encoding="ascii") as config:
        config.write(f"options => {{ listen => 127.0.0.1:{port}, udp_threads = 1, tcp_threads = 1, "
                     f"run_dir => {folder}/run, state_dir => {folder}/state }}\n"
                     f"plugins => {{ geoip => {{ maps => {{ m => {{ geoip2_db => city.mmdb, "
                     f"datacenters => [ {names} ], auto_dc_coords => {{ {places} }} }} }}, "
                     f"resources => {{ www => {{ map => m, service_types => up, dcmap => {{ {centers} }} }} }} }} }}\n")
    with open(f"{folder}/etc/zones/cdn.test", "w", encoding="ascii") as zone:
        zone.write("@ 3600 SOA ns1 hostmaster ( 1 7200 1800 259200 900 )\n@ 3600 NS ns1.cdn.test.\n"
                   "ns1 3600 A 127.0.0.1\nwww 60 DYNA geoip!www\n")
        for site in range(1000):
            zone.write(f"s{site} 60 DYNA geoip!www\n")
    return ["gdnsd", "-c", f"{folder}/etc", "start"]


def wait_until_up(port):
    """Until a query is answered; with a deadline."""
    query = b"\0\1\0\0\0\1\0\0\0\0\0\0\3www\3cdn\4test\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(0.2)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                asker.sendto(query, ("127.0.0.1", port))
                asker.recv(2000)
                return
            except OSError:
                continue
    raise BenchError(f"nobody answers on port {port}")


class Server:
    """A server on core 0, and how it is measured."""

    def __init__(self, name, argv, port):
        self.name, self.port = name, port
        self.process = subprocess.Popen(["taskset", "-c", "0", *argv], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_until_up(port)

    def measure(self, program, load, seconds):
        _, outstanding, sockets, names, subnets = LOADS[load]
        pid = str(self.process.pid)
        argv = ["taskset", "-c", "1", program, "load", f"127.0.0.1:{self.port}", str(seconds), str(outstanding),
                str(sockets), names, subnets, pid]
        with instructions(pid) as counted:
            out = subprocess.run(argv, capture_output=True, text=True, check=False)
        if out.returncode != 0:
            raise BenchError(f"{self.name}: {out.stderr.strip()}")
        figures = json.loads(out.stdout)
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


def start_all(program, folder, args):
    host = "0.0.0.0" if args.wildcard else "127.0.0.1"
    servers = []
    try:
        port = free_port()
        servers.append(Server("bare echo", [program, "echo", f"{host}:{port}"], port))
        port = free_port()
        city = [args.city] if args.city else []
        servers.append(Server("Nearcast", [program, "serve", f"{host}:{port}", *city], port))
        if args.city and shutil.which("gdnsd"):
            port = free_port()
            servers.append(Server("gdnsd", gdnsd_folder(folder, port, args.city), port))
    except BaseException:
        for server in servers:
            server.stop()
        raise
    return servers


def print_table(load, figures):
    """A Markdown table, so that a result can go into docs/benchmarks.md as it is."""
    print(f"\n### {LOADS[load][0]}\n\n| server | answers/s | CPU µs/answer | instructions | lost |")
    print("|---|---:|---:|---:|---:|")
    for name, rounds in figures.items():
        middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        print(f"| {name} | {middle['rate']:,.0f} | {middle['cpu_us']:.3f} | {middle['instructions']:,.0f} "
              f"| {middle['lost']:,.0f} |")
    sys.stdout.flush()


def run(args):
    target = os.path.realpath(os.environ.get("CARGO_TARGET_DIR", f"{ROOT}/target"))
    if not args.no_build:
        build = ["cargo", "build", "--release", "--locked", "--package", "bench-dns"]
        if subprocess.run(build, cwd=ROOT, check=False).returncode != 0:
            raise BenchError("the release build failed")
    program = os.path.join(target, "release", "bench-dns")
    everything = {}
    with tempfile.TemporaryDirectory() as folder:
        servers = start_all(program, folder, args)
        try:
            for load in args.loads.split(","):
                figures = {server.name: [] for server in servers}
                for server in servers:
                    server.measure(program, load, 1)
                for _ in range(args.rounds):
                    for server in servers:
                        figures[server.name].append(server.measure(program, load, args.seconds))
                everything[load] = figures
                print_table(load, figures)
        finally:
            for server in servers:
                server.stop()
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
