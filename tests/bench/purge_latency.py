#!/usr/bin/env python3
"""How soon three nodes have applied a purge: tests/bench/purge_latency.py [--help]

Three nodes share a ledger in NATS, which syncs each write before it acknowledges it. Purges by tag are
ordered at the first node with ?wait=5s, one after the other, and timed by who orders them, from the
first octet of the order to the last of the answer, which must say that every node has applied it:
alone; while the second node takes 1,000 purges a second from others; and with a relay before each
node's way to NATS that holds everything for 50 ms each way. Prints percentiles and the budgets.
Nodes and servers share both cores with what orders. With --sync-ms each sync of a server takes so much
longer, as on a slow disk: what bounds a log's rate there is how many purges share one.
"""

import argparse
import asyncio
import os
import sys
import threading
import time

sys.dont_write_bytecode = True
# pylint: disable=wrong-import-position
import machine
import purges
from machine import BenchError

IDLE_MS, LOADED_MS = 10, 50
# From each node to NATS; twice that lies between two nodes, and a round trip between them is four
# times that. Two of those, and what everything else may take.
HELD_MS = 50
DELAYED_MS = 2 * 4 * HELD_MS + 20
NODES = 3
CORES = "0,1"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the nearcast program")
    parser.add_argument("--nats-server", default="target/nats/bin/nats-server", help="its program")
    parser.add_argument("--servers", type=int, default=1, choices=(1, 3), help="of NATS, each with every stream")
    parser.add_argument("--purges", type=int, default=300, help="that are timed of each kind; a fifth with the relay")
    parser.add_argument("--sync-ms", type=int, default=0, metavar="N", help="how much longer a sync of NATS takes (strace)")
    args = parser.parse_args()
    if not 0 <= args.sync_ms <= 1000:
        parser.error(f"--sync-ms {args.sync_ms}: allowed: 0 to 1000")
    return args


def start_nats(folder, start, program, count, sync_ms):
    """Servers of one cluster; their ports."""
    clients = [machine.free_port() for _ in range(count)]
    routes = [machine.free_port() for _ in range(count)]
    # Only what syncs is stopped for it, and only the thread that does.
    slow = ["strace", "--seccomp-bpf", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
            "-e", f"inject=fsync,fdatasync:delay_exit={sync_ms * 1000}"] if sync_ms else []
    for number, (client, route) in enumerate(zip(clients, routes)):
        http = machine.free_port()
        others = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes if port != route)
        cluster = f'cluster {{ name: bench, listen: "127.0.0.1:{route}", routes: [{others}] }}' if count > 1 else ""
        path = f"{folder}/nats-{number}.conf"
        with open(path, "w", encoding="ascii") as conf:
            conf.write(f"""
host: 127.0.0.1
port: {client}
http: "127.0.0.1:{http}"
server_name: n{number}
jetstream {{ store_dir: "{folder}/nats-{number}", sync_interval: always }}
{cluster}
""")
        process = start(f"nats-{number}", [*slow, program, "-c", path], CORES)
    process.wait_ready(f"http://127.0.0.1:{http}/healthz")
    return clients


class Relays:
    """Ways to ports that hold everything for a while, each in a loop of a thread of its own."""

    def __init__(self, ports):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        opened = [asyncio.run_coroutine_threadsafe(self.open(port), self.loop).result(10) for port in ports]
        self.ports = [server.sockets[0].getsockname()[1] for server in opened]

    async def open(self, port):
        async def relay(reader, writer):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(self.carry(reader, far_writer), self.carry(far_reader, writer), return_exceptions=True)
        return await asyncio.start_server(relay, "127.0.0.1", 0)

    async def carry(self, reader, writer):
        while octets := await reader.read(1 << 16):
            self.loop.call_later(HELD_MS / 1000, writer.write, octets)
        self.loop.call_later(HELD_MS / 1000, writer.close)


def start_nodes(folder, start, args, origin, ways, prefix):
    nodes = []
    for number in range(NODES):
        servers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ways[number])
        ledger = (f'[control.nats]\nservers = [{servers}]\nfolder = "."\nprefix = "{prefix}"\n'
                  f"replicas = {args.servers}")
        token = nodes[0].token if nodes else None
        nodes.append(purges.Node(folder, start, f"{prefix}-{number}", [args.binary], origin, ledger, CORES, token))
    return nodes


def timed(nodes, count):
    """Milliseconds of each purge."""
    took = []
    with nodes[0].connect(nodes[0].admin) as stream:
        for number in range(count + 3):
            begin = time.monotonic()
            told = nodes[0].order(stream, [f"timed-{number}"], "5s")
            took.append((time.monotonic() - begin) * 1000)
            if told["state"] != "complete" or len(told["nodes"]) != NODES:
                logs = "".join(f"{node.process.name}:\n{node.process.tail()}" for node in nodes)
                raise BenchError(f"not complete: {told['state']}, {told['nodes']}\n{logs}")
    # The first ones open connections.
    return sorted(took[3:])


def report(kind, took, budget):
    at = lambda share: took[min(len(took) - 1, int(share * len(took)))]
    held = at(0.99) <= budget
    print(f"| {kind} | {len(took)} | {at(0.5):.1f} | {at(0.9):.1f} | {at(0.99):.1f} | {took[-1]:.1f} | {budget} "
          f"| {'yes' if held else '**no**'} |", flush=True)
    return held


def run():
    args = arguments()
    args.binary, args.nats_server = os.path.abspath(args.binary), os.path.abspath(args.nats_server)
    machine.need("taskset", "setpriv", "nginx", *(["strace"] if args.sync_ms else []))
    with machine.stage(600) as (folder, start):
        origin = purges.start_origin(folder, start)
        ports = start_nats(folder, start, args.nats_server, args.servers, args.sync_ms)
        print(f"{time.strftime('%Y-%m-%d')}, {machine.description()}; {NODES} nodes, {args.servers} NATS server(s)"
              f"{f', each sync {args.sync_ms} ms longer' if args.sync_ms else ''}\n")
        print("| purges | timed | p50 ms | p90 ms | p99 ms | max ms | p99 at most | held |\n"
              "|---|---:|---:|---:|---:|---:|---:|---|", flush=True)
        nodes = start_nodes(folder, start, args, origin, [ports] * NODES, "near")
        held = report("alone", timed(nodes, args.purges), IDLE_MS)
        with purges.Purging(nodes[1], CORES) as others:
            begin = time.monotonic()
            took = timed(nodes, args.purges)
            rate = sum(others.sent) / (time.monotonic() - begin)
        held &= report(f"among {rate:,.0f} a second", took, LOADED_MS)
        for node in nodes:
            node.process.stop()
        # A server tells its clients of the others, which would lead around a relay: one is enough here.
        relays = [Relays(ports[:1]).ports for _ in range(NODES)]
        nodes = start_nodes(folder, start, args, origin, relays, "far")
        held &= report(f"{2 * HELD_MS} ms from node to node", timed(nodes, max(1, args.purges // 5)), DELAYED_MS)
    return 0 if held and rate >= purges.RATE_MIN else 1


if __name__ == "__main__":
    machine.main(run)
