"""Loads: wrk for the closed loop, `openloop` for the open one; both on a core of their own."""

import json
import os
import re
import subprocess

from machine import LOAD_CORE, BenchError
from peers import SIZES, object_path

# Visits all objects in a fixed order, and prints one line of figures in the end.
SCRIPT = """
local count, pattern = tonumber(os.getenv("COUNT")), os.getenv("PATTERN")
local requests, at = {}, 0
init = function()
  for n = 0, count - 1 do requests[n] = wrk.format("GET", string.format(pattern, n)) end
end
request = function() at = (at + 7) % count; return requests[at] end
done = function(s, l)
  io.write(string.format("FIGURES %d %d %d %d %d %d\\n", s.requests, s.duration,
    l:percentile(50), l:percentile(99), l:percentile(99.9),
    s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))
end
"""


def closed_loop(folder, cache, size, connections, seconds):
    """As fast as the server answers. Figures per second, latencies in milliseconds."""
    script = f"{folder}/load.lua"
    if not os.path.exists(script):
        with open(script, "w") as file:
            file.write(SCRIPT)
    env = {**os.environ, "COUNT": str(SIZES[size][1]), "PATTERN": object_path(size, "%d")}
    argv = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
            "--timeout", "10s", "-s", script, cache.url()]
    before = cache.process.cpu_seconds()
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=seconds + 60, check=False)
    spent = cache.process.cpu_seconds() - before
    line = re.search(r"^FIGURES (.*)$", done.stdout, re.M)
    if not line:
        raise BenchError(f"wrk against {cache.name}: {done.stdout}{done.stderr}")
    requests, micros, p50, p99, p999, errors = map(int, line.group(1).split())
    if requests == 0:
        raise BenchError(f"{cache.name} answered nothing at {connections} connections")
    return {"rate": requests / micros * 1e6, "cpu_us": spent / requests * 1e6, "p50": p50 / 1000,
            "p99": p99 / 1000, "p999": p999 / 1000, "errors": errors,
            "resident": cache.process.resident_bytes() / 1e6}


def open_loop(loader, cache, size, connections, rate, seconds):
    """At a given rate, whatever the server does; latencies count from the scheduled send."""
    argv = ["taskset", "-c", str(LOAD_CORE), loader, f"127.0.0.1:{cache.port}", object_path(size, "{}"),
            str(SIZES[size][1]), str(connections), str(int(rate)), str(seconds)]
    before = cache.process.cpu_seconds()
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=False)
    spent = cache.process.cpu_seconds() - before
    if done.returncode != 0:
        raise BenchError(f"open loop against {cache.name}: {done.stderr}")
    figures = json.loads(done.stdout)
    return {**figures, "cpu_us": spent / max(figures["answered"], 1) * 1e6,
            "resident": cache.process.resident_bytes() / 1e6}
