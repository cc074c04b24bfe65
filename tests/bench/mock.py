"""The scripted origin, steered over its control route."""

import json
import urllib.request

from machine import LOAD_CORE, free_port


class Mock:
    """`nearcast origin-mock`, or another command line with {port} in it."""

    def __init__(self, start, binary, command=None):
        self.port = free_port()
        command = command or f"{binary} origin-mock --listen 127.0.0.1:{{port}}"
        argv = [word.format(port=self.port) for word in command.split()]
        self.process = start("origin-mock", argv, LOAD_CORE)
        self.process.wait_ready(self.url("stats"))

    def url(self, verb):
        return f"http://127.0.0.1:{self.port}/.mock/{verb}"

    def ask(self, method, verb, value=None):
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(self.url(verb), data=data, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def script(self, **routes):
        """Replaces the script; what no route fits is an empty 200 that is not stored."""
        self.ask("PUT", "script", {
            "routes": [{"path": path, "steps": [step]} for path, step in routes.items()],
            "otherwise": [{"fields": [["Cache-Control", "no-store"]]}]})


def stored_pattern(octets, **more):
    """A step whose answer may be stored and whose content depends on its target."""
    return {"fields": [["Cache-Control", "max-age=3600"]],
            "body": {"pattern": {"bytes": octets, "seed": "target"}}, **more}
