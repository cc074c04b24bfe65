"""The servers that are compared: one origin, and caches of it.

What always holds: each cache runs on one core with what it ships as defaults, tuned by what its own
documentation says about throughput, and logs its requests as it does by default; nginx, which logs
to a file, writes in batches as Nearcast does.
"""

import os
import shutil
import subprocess

from machine import LOAD_CORE, SERVER_CORE, BenchError, fetch, free_port

# What is asked for: octets of an object, and how many there are.
SIZES = {"k1": (1024, 1000), "k16": (16384, 100), "m1": (1048576, 10)}


def object_path(size, number):
    """`number` may also stand for a pattern."""
    return f"/o/{size}_{number}.bin"


# Nearcast three times more, for what its access log costs.
NO_LOG, READ_LOG, UNREAD_LOG = "nearcast, no log", "nearcast, log read", "nearcast, log unread"


class Cache:
    """A server under test."""

    def __init__(self, name, process, port, version, own_objects=False, admin_port=None):
        self.name, self.process, self.port, self.version = name, process, port, version
        self.admin_port = admin_port
        # Whether its bytes are its own, so that only their number can be compared.
        self.own_objects = own_objects

    def url(self, path=""):
        return f"http://127.0.0.1:{self.port}{path}"


def objects(folder):
    """Writes the origin's files, random, so that nothing can be deduplicated."""
    os.makedirs(f"{folder}/files/o", exist_ok=True)
    for size, (octets, count) in SIZES.items():
        for number in range(count):
            with open(f"{folder}/files{object_path(size, number)}", "wb") as file:
                file.write(os.urandom(octets))


def start_origin(folder, start):
    """nginx with the files; it counts its requests at `/requests`."""
    objects(folder)
    port = free_port()
    path = f"{folder}/origin.conf"
    with open(path, "w") as conf:
        conf.write(f"""
worker_processes 1; daemon off; pid {folder}/origin.pid; error_log {folder}/origin.err;
events {{ worker_connections 8192; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000; default_type application/octet-stream;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files;
    add_header Cache-Control "public, max-age=86400";
    location = /requests {{ stub_status; add_header Cache-Control no-store; }} }} }}
""")
    process = start("origin", ["nginx", "-e", f"{folder}/origin.err", "-c", path], LOAD_CORE)
    process.wait_ready(f"http://127.0.0.1:{port}{object_path('k1', 0)}")
    return port


def origin_requests(origin_port):
    """How many requests the origin has had, this one not counted."""
    _, _, page = fetch(f"http://127.0.0.1:{origin_port}/requests")
    return int(page.split(b"requests\n")[1].split()[2])


def version(argv, prefix=""):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return next((line for line in lines if prefix in line), "?").strip()


def start_nginx(folder, start, origin_port):
    port = free_port()
    path = f"{folder}/nginx.conf"
    with open(path, "w") as conf:
        conf.write(f"""
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err; worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{ access_log {folder}/nginx-access.log combined buffer=64k flush=1s;
  sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000;
  open_file_cache max=20000 inactive=300s; open_file_cache_valid 300s;
  proxy_cache_path {folder}/nginx-cache levels=1:2 keys_zone=c:64m max_size=4g inactive=600m use_temp_path=off;
  upstream o {{ server 127.0.0.1:{origin_port}; keepalive 64; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{
    proxy_pass http://o; proxy_cache c; proxy_cache_lock on; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""")
    process = start("nginx", ["nginx", "-e", f"{folder}/nginx.err", "-c", path], SERVER_CORE)
    return Cache("nginx", process, port, version(["nginx", "-v"]))


def start_varnish(folder, start, origin_port):
    port = free_port()
    path = f"{folder}/varnish.vcl"
    with open(path, "w") as vcl:
        vcl.write(f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{origin_port}"; }}\n')
    argv = ["varnishd", "-F", "-j", "none", "-n", f"{folder}/varnish", "-a", f"127.0.0.1:{port}", "-f", path,
            "-s", "malloc,1G", "-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p", "thread_pool_max=1200"]
    process = start("varnish", argv, SERVER_CORE)
    return Cache("varnish", process, port, version(["varnishd", "-V"], "varnish"))


def start_ats(folder, start, origin_port):
    """Apache Traffic Server, in a folder of its own instead of the system's."""
    port = free_port()
    home = f"{folder}/ats"
    for part in ("etc", "cache", "log", "run"):
        os.makedirs(f"{home}/{part}")
    shutil.copytree("/etc/trafficserver", f"{home}/etc", dirs_exist_ok=True)
    parts = {"prefix": "/usr", "exec_prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/sbin",
             "sysconfdir": f"{home}/etc", "datadir": f"{home}/cache", "localstatedir": home,
             "runtimedir": f"{home}/run", "logdir": f"{home}/log", "cachedir": f"{home}/cache",
             "libexecdir": "/usr/lib/trafficserver/modules"}
    files = {
        "runroot.yaml": "".join(f"{key}: {value}\n" for key, value in parts.items()),
        "etc/records.config": "".join(f"CONFIG proxy.config.{line}\n" for line in (
            "exec_thread.autoconfig INT 0", "exec_thread.limit INT 1", "accept_threads INT 1",
            "task_threads INT 1", f"http.server_ports STRING 127.0.0.1:{port}",
            "cache.ram_cache.size INT 1073741824", "http.cache.required_headers INT 2",
            "log.logging_enabled INT 3", "net.connections_throttle INT 8000", "admin.user_id STRING #-1",
            # It refuses a second copy of itself unless each has a port of its own for its tools.
            f"process_manager.mgmt_port INT {free_port()}")),
        "etc/remap.config": f"map / http://127.0.0.1:{origin_port}/\n",
        "etc/storage.config": f"{home}/cache 2G\n",
    }
    for name, text in files.items():
        with open(f"{home}/{name}", "w") as file:
            file.write(text)
    process = start("ats", ["traffic_server", f"--run-root={home}/runroot.yaml"], SERVER_CORE)
    return Cache("ats", process, port, version(["traffic_server", "--version"], "Traffic Server"))


def nearcast_settings(folder, name, ports, memory, connections_max, access=None):
    """Shipped defaults; only what has none, and the word that lets an origin stand on loopback."""
    port, admin_port, origin_port = ports
    access = access or f"{folder}/{name}-access.log"
    cap = f", connections_max = {connections_max}" if connections_max else ""
    path = f"{folder}/{name}.toml"
    with open(path, "w") as settings:
        settings.write(f"""
[node]
name = "bench"
[edge]
listen = ["127.0.0.1:{port}"]
memory = "{memory}"
origin_networks_allowed = ["127.0.0.0/8"]
[admin]
listen = "127.0.0.1:{admin_port}"
[log]
access = "{access}"
[[site]]
name = "bench"
hosts = ["*"]
origin = {{ servers = ["http://127.0.0.1:{origin_port}"]{cap} }}
""")
    return path


def start_nearcast(folder, start, origin_port, binary, memory="1 GiB", name="nearcast", connections_max=None,
                   access=None):
    port, admin_port = free_port(), free_port()
    settings = nearcast_settings(folder, name, (port, admin_port, origin_port), memory, connections_max, access)
    process = start(name, [binary, "run", "--config", settings], SERVER_CORE)
    process.wait_ready(f"http://127.0.0.1:{admin_port}/readyz")
    return Cache(name, process, port, version([binary, "--version"]), admin_port=admin_port)


def start_logs(folder, start, origin_port, binary):
    """Nearcast without an access log, with one into a file, and with one that nobody reads."""
    fifo = f"{folder}/unread"
    os.mkfifo(fifo)
    small = {"memory": "64 MiB"}
    return [start_nearcast(folder, start, origin_port, binary, name=NO_LOG, access="off", **small),
            start_nearcast(folder, start, origin_port, binary, name=READ_LOG, access=f"{folder}/read", **small),
            start_nearcast(folder, start, origin_port, binary, name=UNREAD_LOG, access=fifo, **small)]


def dropped_lines(cache):
    """How many lines its access log could not take."""
    _, _, page = fetch(f"http://127.0.0.1:{cache.admin_port}/metrics")
    sample = next(line for line in page.decode().splitlines()
                  if line.startswith("nearcast_access_log_lines_total") and 'outcome="dropped"' in line)
    return float(sample.rsplit(" ", 1)[1])


def start_command(folder, start, origin_port, name, command):
    """A server of the caller's, by a command line with {port}, {origin} and {folder} in it.

    One without {port} says on its first line where it listens, and has objects of its own.
    """
    port = free_port() if "{port}" in command else None
    argv = [word.format(port=port, origin=origin_port, folder=folder) for word in command.split()]
    process = start(name, argv, SERVER_CORE)
    own_objects = port is None
    if own_objects:
        port = int(process.first_line().rsplit(":", 1)[1])
    return Cache(name, process, port, "", own_objects)


STARTERS = {"nginx": start_nginx, "varnish": start_varnish, "ats": start_ats}


def start_peers(names, folder, start, origin_port):
    """The named peers, ready to answer."""
    caches = []
    for name in names:
        if name not in STARTERS:
            raise BenchError(f"no such peer: {name} (have: {', '.join(STARTERS)})")
        cache = STARTERS[name](folder, start, origin_port)
        cache.process.wait_ready(cache.url(object_path("k1", 0)))
        caches.append(cache)
    return caches


def check_serves(cache, folder, sizes):
    """Every size arrives whole, twice: no figure counts for a server that answers wrongly."""
    for size in sizes:
        path = object_path(size, 1)
        with open(f"{folder}/files{path}", "rb") as file:
            expected = file.read()
        for _ in range(2):
            status, _, content = fetch(cache.url(path))
            right = len(content) == len(expected) if cache.own_objects else content == expected
            if status != 200 or not right:
                raise BenchError(f"{cache.name} answers {path} with {status}, {len(content)} bytes")
