"""The DNS servers that answer the same geographic question, and what they are asked to prove it.

In: a folder, an address, a city database. Out: a command line for each server that is installed, or
the packages that are missing. Each has the same PoPs with the same addresses, the same thousand
sites, one worker, and otherwise what it ships as defaults.
gdnsd finds the nearest PoP by coordinates, as Nearcast does; Knot and PowerDNS know no distance and
are told which PoP is nearest to which country.
"""

import glob
import json
import os
import shutil
import socket
import struct

ZONE = "cdn.test"
SITES = 1000
POPS = [("iad", 39.04, -77.49), ("ord", 41.88, -87.63), ("sjc", 37.34, -121.89), ("gru", -23.55, -46.63),
        ("lhr", 51.47, -0.45), ("fra", 50.11, 8.68), ("arn", 59.33, 18.07), ("jnb", -26.20, 28.05),
        ("bom", 19.08, 72.88), ("sin", 1.35, 103.82), ("nrt", 35.68, 139.69), ("syd", -33.87, 151.21)]
ADDRESSES = {name: f"192.0.2.{at}" for at, (name, _, _) in enumerate(POPS, 1)}
# For who knows no distance: the nearest PoP of a country, and of the rest of a continent.
COUNTRIES = {
    "iad": "US CA MX", "gru": "BR AR CL UY PY BO PE", "lhr": "GB IE ES PT FR IS",
    "fra": "DE NL BE LU CH AT IT PL CZ SK HU SI HR RS RO BG GR", "arn": "SE NO FI DK EE LV LT",
    "jnb": "ZA NA BW ZW MZ", "bom": "IN PK LK NP BD AE OM", "sin": "SG MY ID TH VN KH",
    "nrt": "JP KR CN TW HK", "syd": "AU NZ FJ",
}
CONTINENTS = {"NA": "iad", "SA": "gru", "EU": "fra", "AF": "jnb", "AS": "sin", "OC": "syd"}
ELSEWHERE = "iad"
# What is asked before anything is measured: networks of universities in Munich and in Tokyo, which
# every city database knows, and the PoPs that are nearest to them.
PROOFS = [("129.187.0.0", "fra"), ("133.11.0.0", "nrt")]

NO_SUBNETS = "no client subnets"


class Missing(Exception):
    """Why a server takes no part."""


def names():
    return ["www", *(f"s{site}" for site in range(SITES))]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def need(found):
    """Names every package that is not installed. `found`: of each, what shows that it is."""
    missing = [package for package, file in found.items() if not file]
    if missing:
        raise Missing(f"not installed: {', '.join(missing)}")


def gdnsd(folder, host, port, city):
    program = shutil.which("gdnsd")
    need({"gdnsd": program})
    for sub in ("etc/geoip", "run", "state"):
        os.makedirs(f"{folder}/{sub}")
    os.symlink(city, f"{folder}/etc/geoip/city.mmdb")
    places = ", ".join(f"{name} => [ {north}, {east} ]" for name, north, east in POPS)
    centers = ", ".join(f"{name} => {address}" for name, address in ADDRESSES.items())
    write(f"{folder}/etc/config",
          f"options => {{ listen => \"{at(host, port)}\", udp_threads = 1, tcp_threads = 1, "
          f"run_dir => {folder}/run, state_dir => {folder}/state }}\n"
          f"plugins => {{ geoip => {{ maps => {{ m => {{ geoip2_db => city.mmdb, "
          f"datacenters => [ {', '.join(ADDRESSES)} ], auto_dc_coords => {{ {places} }} }} }}, "
          f"resources => {{ www => {{ map => m, service_types => up, dcmap => {{ {centers} }} }} }} }} }}\n")
    write(f"{folder}/etc/zones/{ZONE}",
          f"@ 3600 SOA ns1 hostmaster ( 1 7200 1800 259200 900 )\n@ 3600 NS ns1.{ZONE}.\n"
          "ns1 3600 A 127.0.0.1\n" + "".join(f"{name} 60 DYNA geoip!www\n" for name in names()))
    return [program, "-c", f"{folder}/etc", "start"]


def knot(folder, host, port, city):
    program = shutil.which("knotd")
    module = glob.glob("/usr/lib/*/knot/modules-*/geoip.so")
    need({"knot": program, "knot-module-geoip": module})
    places = [f"*;{continent}|{pop}" for continent, pop in CONTINENTS.items()]
    places += [f"{country};*|{pop}" for pop, countries in COUNTRIES.items() for country in countries.split()]
    places.append(f"*;*|{ELSEWHERE}")
    rows = [place.split("|") for place in places]
    views = "".join(f'  - geo: "{place}"\n    A: {ADDRESSES[pop]}\n' for place, pop in rows)
    write(f"{folder}/geo.conf", "".join(f"{name}.{ZONE}:\n{views}" for name in names()))
    write(f"{folder}/zone",
          f"$ORIGIN {ZONE}.\n@ 3600 SOA ns1 hostmaster 1 7200 1800 259200 900\n@ 3600 NS ns1\n"
          "ns1 3600 A 127.0.0.1\n"
          + "".join(f"{name} 60 A {ADDRESSES[ELSEWHERE]}\n" for name in names()))
    os.makedirs(f"{folder}/run")
    write(f"{folder}/knot.conf", f"""
server:
  rundir: "{folder}/run"
  listen: {host}@{port}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
  edns-client-subnet: on
database:
  storage: "{folder}/db"
mod-geoip:
  - id: default
    config-file: "{folder}/geo.conf"
    ttl: 60
    mode: geodb
    geodb-file: "{city}"
    geodb-key: [ country/iso_code, continent/code ]
zone:
  - domain: {ZONE}
    file: "{folder}/zone"
    module: mod-geoip/default
""")
    return [program, "-c", f"{folder}/knot.conf"]


def powerdns(folder, host, port, city):
    program = shutil.which("pdns_server")
    backend = glob.glob("/usr/lib/*/pdns/libgeoipbackend.so")
    need({"pdns-server": program, "pdns-backend-geoip": backend})
    mapping = {country.lower(): pop for pop, countries in COUNTRIES.items() for country in countries.split()}
    mapping |= {f"c-{continent.lower()}": pop for continent, pop in CONTINENTS.items()}
    records = {f"{pop}.pop.{ZONE}": [{"a": address}] for pop, address in ADDRESSES.items()}
    records[f"unknown.pop.{ZONE}"] = [{"a": ADDRESSES[ELSEWHERE]}]
    records[ZONE] = [{"soa": f"ns1.{ZONE} hostmaster.{ZONE} 1 7200 1800 259200 900"}, {"ns": f"ns1.{ZONE}"}]
    records[f"ns1.{ZONE}"] = [{"a": "127.0.0.1"}]
    domain = {"domain": ZONE, "ttl": 60, "records": records,
              "services": {f"{name}.{ZONE}": f"%mp.pop.{ZONE}" for name in names()}}
    # JSON is YAML.
    write(f"{folder}/zones.yaml", json.dumps({
        "domains": [domain], "mapping_lookup_formats": ["%cc", "c-%cn"], "custom_mapping": mapping}))
    write(f"{folder}/pdns.conf", f"""
launch=geoip
geoip-database-files=mmdb:{city}
geoip-zones-file={folder}/zones.yaml
edns-subnet-processing=yes
local-address={host}
local-port={port}
receiver-threads=1
distributor-threads=1
socket-dir={folder}
daemon=no
guardian=no
security-poll-suffix=
""")
    return [program, f"--config-dir={folder}"]


# Each with what it knows of the way to a PoP.
PEERS = {"gdnsd": (gdnsd, "distance"), "Knot": (knot, "country"), "PowerDNS": (powerdns, "country")}


def at(host, port):
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def query(name, network=None):
    """A question for an A record, with the /24 of a client if one is given."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in f"{name}.{ZONE}".split("."))
    option = b""
    if network:
        option = struct.pack("!HHHBB", 8, 7, 1, 24, 0) + socket.inet_aton(network)[:3]
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(option)) + option
    return struct.pack("!6H", 1, 0, 1, 0, 0, 1) + labels + struct.pack("!xHH", 1, 1) + opt


def read(answer):
    """Response code, the first A record, and the scope of the client subnet; None for what is not there."""
    rcode, records = answer[3] & 15, sum(struct.unpack("!3H", answer[6:12]))
    place = skip(answer, 12) + 4
    address = scope = None
    for _ in range(records):
        place = skip(answer, place)
        kind, _, _, length = struct.unpack("!HHIH", answer[place:place + 10])
        data = answer[place + 10:place + 10 + length]
        place += 10 + length
        if kind == 1 and address is None:
            address = socket.inet_ntoa(data)
        while kind == 41 and data:
            code, size = struct.unpack("!HH", data[:4])
            scope = data[7] if code == 8 else scope
            data = data[4 + size:]
    return rcode, address, scope


def skip(message, place):
    """Where a name ends."""
    while message[place]:
        if message[place] >= 192:
            return place + 2
        place += 1 + message[place]
    return place + 1


def ask(host, port, name, network=None, seconds=2):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asker:
        asker.settimeout(seconds)
        asker.connect((host, port))
        asker.send(query(name, network))
        return read(asker.recv(2000))


def proven(host, port):
    """How a server tells two clients apart, in words for the table; ValueError if it answers wrongly."""
    scopes = set()
    for name in ("www", f"s{SITES - 1}"):
        given = [ask(host, port, name, network) for network, _ in PROOFS]
        addresses = [address for _, address, _ in given]
        if addresses[0] == addresses[1] and addresses[0] in ADDRESSES.values():
            return NO_SUBNETS
        wanted = [ADDRESSES[pop] for _, pop in PROOFS]
        if addresses != wanted or any(rcode for rcode, _, _ in given):
            raise ValueError(f"{name}: {given} instead of {wanted}")
        scopes |= {scope for _, _, scope in given}
    nobody = ask(host, port, "nobody")
    if nobody[0] != 3:
        raise ValueError(f"nobody: {nobody} instead of NXDOMAIN")
    return "scopes " + " and ".join(sorted(f"/{scope}" for scope in scopes))
