#!/usr/bin/env python3
"""How well connections to origins are used: tests/bench/reuse.py [--help]

Misses without a pause, of answers that may not be stored, at two nginx, by two workers; each client
keeps its connection. After a moment to warm up, what Nearcast's own counters say of requests sent and
of connections opened is compared: at least 99 of 100 requests find a connection that is there, over
HTTP/1.1 and over HTTP/2, and none may fail.
"""

import argparse
import re
import subprocess
import sys
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import machine
from machine import LOAD_CORE, SERVER_CORE, BenchError

REUSED_MIN = 0.99
REQUESTS, OPENED = "nearcast_edge_origin_requests_total", "nearcast_edge_origin_connections_total"
FAILURES = "nearcast_edge_origin_failures_total"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the nearcast program")
    parser.add_argument("--connections", default="16,256", help="clients at once, each number in turn")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement")
    return parser.parse_args()


def start_origin(folder, start, name, protocol):
    """nginx, which closes a connection after so many requests as it does by default."""
    port = machine.free_port()
    http2 = " http2" if protocol == "http2" else ""
    path = f"{folder}/{name}.conf"
    with open(path, "w") as conf:
        conf.write(f"""
worker_processes 1; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections 8192; }}
http {{ access_log off;
  server {{ listen 127.0.0.1:{port}{http2} backlog=4096; root {folder};
    location = /ready {{ return 200; }}
    location / {{ add_header Cache-Control no-store; return 200 "not to be stored\\n"; }} }} }}
""")
    start(name, ["nginx", "-e", f"{folder}/{name}.err", "-c", path], LOAD_CORE)
    return port


def start_nearcast(folder, start, binary, protocol, origins):
    port, admin = machine.free_port(), machine.free_port()
    servers = ", ".join(f'"http://127.0.0.1:{origin}"' for origin in origins)
    path = f"{folder}/{protocol}.toml"
    with open(path, "w") as settings:
        settings.write(f"""
[node]
name = "bench"
[edge]
listen = ["127.0.0.1:{port}"]
origin_networks_allowed = ["127.0.0.0/8"]
[edge.limits]
connections_per_address_max = 5000
[admin]
listen = "127.0.0.1:{admin}"
[log]
access = "{folder}/{protocol}.log"
[[site]]
name = "bench"
hosts = ["*"]
origin = {{ servers = [{servers}], protocol = "{protocol}" }}
""")
    process = start(f"nearcast {protocol}", [binary, "run", "--config", path], SERVER_CORE,
                    {"NEARCAST_WORKERS": "2"})
    process.wait_ready(f"http://127.0.0.1:{admin}/readyz")
    return port, admin


def counters(admin):
    """The sums of the counters over all servers."""
    page = machine.fetch(f"http://127.0.0.1:{admin}/metrics")[2].decode()
    sums = dict.fromkeys((REQUESTS, OPENED, FAILURES), 0.0)
    for name, value in re.findall(r"^(\w+)\{[^}]*\} (\S+)", page, re.M):
        if name in sums:
            sums[name] += float(value)
    return sums


def misses(port, connections, seconds):
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
            "--timeout", "10s", f"http://127.0.0.1:{port}/miss"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0 or re.search("Non-2xx|Socket errors", done.stdout):
        raise BenchError(f"wrk: {done.stdout}{done.stderr}")


def measure(protocol, admin, port, connections, seconds):
    misses(port, connections, 1)
    before = counters(admin)
    misses(port, connections, seconds)
    after = counters(admin)
    sent, opened, failed = (after[name] - before[name] for name in (REQUESTS, OPENED, FAILURES))
    reused = 1 - opened / max(sent, 1)
    held = reused >= REUSED_MIN and failed == 0 and sent > 0
    print(f"| {protocol} | {connections} | {sent:,.0f} | {opened:,.0f} | {100 * reused:.3f} % | "
          f"{failed:.0f} | {'yes' if held else '**no**'} |", flush=True)
    return held


def run():
    args = arguments()
    machine.need("taskset", "setpriv", "nginx", "wrk")
    held = True
    with machine.stage(300) as (folder, start):
        print(f"{time.strftime('%Y-%m-%d')}, {machine.description()}; {args.seconds} s each\n")
        print("| protocol | clients | requests | connections opened | reused | failures | held |\n"
              "|---|---:|---:|---:|---:|---:|---|")
        for protocol in ("http1", "http2"):
            origins = [start_origin(folder, start, f"{protocol}-{number}", protocol) for number in "12"]
            port, admin = start_nearcast(folder, start, args.binary, protocol, origins)
            for connections in args.connections.split(","):
                held &= measure(protocol, admin, port, int(connections), args.seconds)
    return 0 if held else 1


if __name__ == "__main__":
    machine.main(run)
