"""Real gateways in front of an endpoint, each a process of its own on a free port of loopback.

`with nginx(folder, endpoint.url, "limit_conn all 2;") as gateway:` has a `url` and counts what it
answered by status, `gateway.statuses()`; likewise `haproxy` and `litellm`, LiteLLM's proxy.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import urlsplit

from builders.engine.embedded import model_file, thread_count
from builders.engine.teacher import EMBEDDED_MODEL

ROOT = Path(__file__).resolve().parents[1]
NGINX, HAPROXY = (shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("nginx", "haproxy"))
# Without its extra `proxy`, which needs a package that is not free software.
LITELLM = ROOT / "tests" / "litellm.txt"
MASTER_KEY = "sk-" + "0123456789abcdef" * 3  # LiteLLM refuses to start without a long one
_POST = re.compile(r'POST \S+ HTTP/1\.[01]"? (-?\d+)')

_NGINX = """\
daemon off; master_process off; pid nginx.pid; error_log errors.log;
events {{ worker_connections 512; }}
http {{
    log_format short '$request $status';
    access_log stdout.log short;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    limit_req_zone $server_port zone=paced:1m rate=5r/s;
    limit_conn_zone $server_port zone=all:1m;
    upstream teacher {{ server {upstream}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://teacher; proxy_http_version 1.1; proxy_set_header Connection "";
            {rules}
        }}
        location /busy {{ default_type text/html; return 200 "<html>Back in a minute</html>"; }}
        location /moved/ {{ return 308 http://127.0.0.1:{port}/v1/; }}
    }}
}}
"""
_HAPROXY = """\
global
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "%HM %HP %HV %ST"
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout queue 60s
frontend gateway
    bind 127.0.0.1:{port}
    default_backend teacher
backend teacher
    {rules}
    server one {upstream}
"""
_KEYS = """\
import json
from pathlib import Path

from litellm.proxy._types import ProxyException, UserAPIKeyAuth

KEYS = json.loads(Path(__file__).with_name("keys.json").read_text())


async def check(request, api_key: str) -> UserAPIKeyAuth:
    if api_key not in KEYS:
        raise ProxyException("Invalid proxy server token", "token_not_found_in_db", "key", 401)
    return UserAPIKeyAuth(api_key=api_key, **KEYS[api_key])
"""


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs: its address and what it has logged."""

    url: str
    log: Path

    def statuses(self) -> Counter[int]:
        """Count the requests it has answered by status; 499 and -1: the client had left."""
        return Counter(int(status) for status in _POST.findall(self.log.read_text()))


@contextlib.contextmanager
def nginx(folder: Path, upstream: str, rules: str) -> Iterator[Gateway]:
    """Nginx with these rules in front of the endpoint `upstream`."""
    port, text = free_port(), folder / "nginx.conf"
    text.write_text(_NGINX.format(upstream=urlsplit(upstream).netloc, port=port, rules=rules))
    command = [str(NGINX), "-p", str(folder), "-e", "errors.log", "-c", text.name]
    with _running(command, folder, port) as gateway:
        yield gateway


@contextlib.contextmanager
def haproxy(folder: Path, upstream: str, rules: str) -> Iterator[Gateway]:
    """Haproxy with these rules in its backend, whose one server is the endpoint `upstream`."""
    port, text = free_port(), folder / "haproxy.cfg"
    text.write_text(_HAPROXY.format(upstream=urlsplit(upstream).netloc, port=port, rules=rules))
    with _running([str(HAPROXY), "-db", "-f", text.name], folder, port) as gateway:
        yield gateway


@contextlib.contextmanager
def llama(*, slots: int, slot_tokens: int, key: str = "") -> Iterator[str]:
    """The address of llama.cpp's server, in this process, with the embedded model."""
    threads = thread_count()  # before OpenMP is loaded
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = str(model_file()), {EMBEDDED_MODEL}
    params.n_parallel, params.n_ctx = slots, slots * slot_tokens
    params.hostnames, params.port, params.verbosity, params.ui = ["127.0.0.1"], 0, -1, False
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads, cpu.poll = threads, 0
    params.api_keys = [key] if key else []
    server = xllamacpp.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@contextlib.contextmanager
def litellm(
    folder: Path,
    models: Sequence[Mapping[str, Any]],
    keys: Mapping[str, Mapping[str, Any]] | None,
    **router: Any,
) -> Iterator[Gateway]:
    """LiteLLM's proxy with these models, keys and their limits; keys None: only its master key."""
    general = {"custom_auth": "keys.check"} if keys is not None else {}
    settings = {"model_list": models, "router_settings": router, "general_settings": general}
    (folder / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML
    (folder / "keys.py").write_text(_KEYS)
    (folder / "keys.json").write_text(json.dumps(keys))
    port = free_port()
    command = [str(litellm_folder() / "bin" / "litellm"), "--config", "config.yaml"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    env = {"LITELLM_MASTER_KEY": MASTER_KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with _running(command, folder, port, env) as gateway:
        yield gateway


def litellm_folder() -> Path:
    """LiteLLM's own virtual environment, made at the first call: a minute, 500 MB."""
    folder = ROOT / ".venv-litellm"
    if not (folder / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-input"]
    subprocess.run([*pip, "-r", str(LITELLM)], check=True)
    return folder


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Gateway]:
    log = folder / "stdout.log"
    with log.open("wb") as out, (folder / "stderr.log").open("wb") as errors:
        process = subprocess.Popen(
            command, cwd=folder, stdout=out, stderr=errors, env={**os.environ, **(env or {})}
        )
        try:
            until = time.monotonic() + 300
            while not _answers(port):
                logged = (folder / "stderr.log").read_text()[-2000:] + log.read_text()[-2000:]
                assert process.poll() is None, f"{command[0]} ended:\n{logged}"
                assert time.monotonic() < until, f"{command[0]} does not answer:\n{logged}"
                time.sleep(0.2)
            yield Gateway(f"http://127.0.0.1:{port}/v1", log)
        finally:
            process.terminate()
            process.wait(30)


def _answers(port: int) -> bool:
    """Whether anything there answers HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/busy", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
