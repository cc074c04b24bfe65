#!/usr/bin/env python3
"""Queries while the map is made anew: tests/bench/dns_reload.py --city GeoLite2-City.mmdb [--help]

The program with a city database, and queries at a given rate, each charged from the moment that it
was due. Rounds of three parts: one in which nothing else happens, one in which another process of
the same cores and niceness as what makes a map reads that database as often and in the same parts and
otherwise computes, and one in which the database is replaced, and again as soon as its map is in
force. Prints the median of the rounds for each, and the budgets: the 99th percentile is within noise
that beside such a neighbour, which costs what no program can help (the best round of each: a host adds
to a tail and never takes from it), and resident memory stays below a ceiling.
The load runs on core 1 and sleeps between queries, so the program may have that core as well; on
core 0 alone, what makes the map and what answers have to share it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import dns
import machine
from dns_peers import ADDRESSES, POPS, PROOFS, ZONE, ask, at
from machine import BenchError

HOST = "127.0.0.1"
IN_FORCE = "geo data files were replaced, and are in force"
# Noise, as a share and in milliseconds; and the ceiling in MB.
SHARE, SLACK, RESIDENT = 1.25, 0.1, 220
RELOAD_SECONDS = 60
# How much nicer than others the thread is that makes maps, about how long it takes for one, and how
# much of a file it reads at once.
NICENESS, MAKING_SECONDS, PART = 10, 2.3, 128 << 10


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--city", metavar="FILE", type=os.path.abspath, required=True, help="a city database")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--reloads", type=int, default=3, help="of a round")
    parser.add_argument("--seconds", type=int, default=6, help="of the part without reloads")
    parser.add_argument("--rate", type=int, default=5000, help="queries per second")
    parser.add_argument("--cores", default="0,1", help="the program's")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-build", action="store_true", help="take the release builds that are there")
    parser.add_argument("--json", metavar="FILE", help="all figures of all rounds")
    return parser.parse_args()


def settings(port, workers):
    pops = "".join(f'[[pop]]\nname = "{name}"\naddresses = ["{ADDRESSES[name]}"]\n'
                   f"location = {{ latitude = {north}, longitude = {east} }}\n" for name, north, east in POPS)
    return (f'[geodns]\nlisten = ["{at(HOST, port)}"]\nworkers = {workers}\n'
            f'zone = [{{ name = "{ZONE}", servers = ["ns.example.net"] }}]\n'
            'geo = { database = "city.mmdb" }\nrate_limit = { networks_exempt = ["127.0.0.0/8"] }\n'
            '[[geodns.route]]\nnames = ["www"]\naddresses_max = 1\n' + pops)


def start_server(folder, start, program, args):
    port = dns.free_port(HOST)
    shutil.copyfile(args.city, f"{folder}/city.mmdb")
    with open(f"{folder}/node.toml", "w", encoding="ascii") as file:
        file.write(settings(port, args.workers))
    server = start("nearcast", [program, "run", "--config", f"{folder}/node.toml"], args.cores)
    end = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < end and server.alive():
        try:
            given = [ask(HOST, port, "www", network, seconds=0.2)[1] for network, _ in PROOFS]
            if given != [ADDRESSES[pop] for _, pop in PROOFS]:
                raise BenchError(f"the database does not decide: {given}")
            return server, port
        except OSError:
            time.sleep(0.02)
    raise BenchError(f"nearcast does not answer:\n{server.tail()}")


def reloads_seen(server):
    with open(server.log, encoding="utf-8", errors="replace") as log:
        return log.read().count(IN_FORCE)


def reload_once(server, folder, copy):
    """A new file in the database's place, until its map is in force; the seconds that it took."""
    before, begin = reloads_seen(server), time.monotonic()
    os.rename(copy, f"{folder}/city.mmdb")
    while reloads_seen(server) == before:
        if time.monotonic() > begin + RELOAD_SECONDS or not server.alive():
            raise BenchError(f"a replaced database is not in force:\n{server.tail()}")
        time.sleep(0.01)
    return time.monotonic() - begin


def paced(program, port, rate, meanwhile):
    """Queries while `meanwhile` lasts; the load's figures, and what it returns."""
    argv = ["taskset", "-c", str(machine.LOAD_CORE), program, "pace", at(HOST, port), str(rate), f"www.{ZONE}", "ecs"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as load:
        try:
            result = meanwhile()
            out, _ = load.communicate(timeout=30)
        finally:
            load.kill()
    if load.returncode != 0:
        raise BenchError("the load failed")
    figures = json.loads(out)
    if figures["errors"]:
        raise BenchError(f"{figures['errors']} answers neither NOERROR nor NXDOMAIN")
    return figures, result


def measure(folder, server, load, args):
    """One round: what is measured without and with reloads."""
    copies = [f"{folder}/copy-{number}" for number in range(args.reloads)]
    for copy in copies:
        shutil.copyfile(args.city, copy)
    program, port = load
    calm, _ = paced(program, port, args.rate, lambda: time.sleep(args.seconds))
    calm["resident"] = server.resident_bytes() / 1e6
    beside, _ = paced(program, port, args.rate, lambda: neighbour(args))
    beside["resident"] = server.resident_bytes() / 1e6
    server.reset_high_water()
    busy, took = paced(program, port, args.rate, lambda: [reload_once(server, folder, copy) for copy in copies])
    busy["resident"] = server.resident_high_water() / 1e6
    busy["reload"] = statistics.median(took)
    return calm, beside, busy


def neighbour(args):
    """A process beside the program that reads the database now and then and never waits."""
    compute = f"""
import time
end = time.monotonic() + {args.seconds}
while time.monotonic() < end:
    again = min(end, time.monotonic() + {MAKING_SECONDS})
    with open({args.city!r}, "rb", buffering=0) as file:
        parts = list(iter(lambda: file.read({PART}), b""))
    while time.monotonic() < again: pass
"""
    argv = ["taskset", "-c", args.cores, "nice", "-n", str(NICENESS), sys.executable, "-c", compute]
    subprocess.run(argv, check=True, timeout=args.seconds + 30)


def median(rounds):
    return {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}


def report(rounds, args):
    calm, beside, busy = (median(part) for part in zip(*rounds))
    print(f"\n### {args.rate:,} queries/s, {args.workers} worker(s), program on cores {args.cores}, "
          f"medians of {args.rounds} rounds\n")
    print("| meanwhile | p50 ms | p99 ms | p99.9 ms | max ms | lost | resident MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    parts = {"nothing": calm, "another process reads and computes": beside, f"{args.reloads} reloads, {busy['reload']:.2f} s each": busy}
    for name, row in parts.items():
        print(f"| {name} | {row['p50']:.3f} | {row['p99']:.3f} | {row['p999']:.3f} | {row['max']:.2f} "
              f"| {row['lost']:.0f} | {row['resident']:.0f} |")
    print("\nResident in each round before its reloads: "
          + ", ".join(f"{part['resident']:.0f}" for part, _, _ in rounds) + " MB.\n")
    quiet, neighbours, reloading = (min(part["p99"] for part in parts) for parts in zip(*rounds))
    limit = SHARE * max(quiet, neighbours) + SLACK
    # -1 stands for answers that never came.
    p99_held = 0 <= reloading <= limit
    peak = max(busy["resident"] for _, _, busy in rounds)
    lost = sum(part["lost"] for part in sum(rounds, ()))
    for held, told in [(p99_held, f"p99 while reloading, best round, {reloading:.3f} ms, budget {limit:.3f} ms"),
                       (peak <= RESIDENT, f"resident while reloading {peak:.0f} MB, budget {RESIDENT} MB"),
                       (lost == 0, f"{lost:.0f} queries lost")]:
        print(f"- {'held' if held else 'MISSED'}: {told}")
    return p99_held and peak <= RESIDENT and lost == 0


def run():
    args = arguments()
    machine.need("taskset", "setpriv")
    if not os.path.isfile(args.city):
        raise BenchError(f"no such file: {args.city}")
    if not args.no_build:
        build = ["cargo", "build", "--release", "--locked", "--package", "nearcast", "--package", "bench-dns"]
        if subprocess.run(build, cwd=dns.ROOT, check=False).returncode != 0:
            raise BenchError("the release build failed")
    release = f"{os.path.realpath(os.environ.get('CARGO_TARGET_DIR', f'{dns.ROOT}/target'))}/release"
    # What the bench does itself, such as ending a file that was replaced, is none of the program's.
    os.sched_setaffinity(0, {machine.LOAD_CORE})
    limit = 60 + RELOAD_SECONDS + args.rounds * (2 * args.seconds + args.reloads * RELOAD_SECONDS)
    with machine.stage(limit) as (folder, start):
        print(f"{time.strftime('%Y-%m-%d')}, {machine.description()}")
        server, port = start_server(folder, start, f"{release}/nearcast", args)
        rounds = [measure(folder, server, (f"{release}/bench-dns", port), args) for _ in range(args.rounds)]
    if args.json:
        with open(args.json, "w", encoding="ascii") as file:
            json.dump(rounds, file, indent=1)
    return 0 if report(rounds, args) else 1


if __name__ == "__main__":
    machine.main(run)
