#!/usr/bin/env python3
"""Runs the system's nginx with nginx/nginx.conf in front of two scripted nodes, and checks what the file promises.

What matters most is what is *not* sent twice: a node that breaks off in the middle of a write must be the only one that
has seen it. The nodes here are a few lines of Python that do as the request tells them and count.

Needs nginx. Everything is on loopback and on ports that the system chooses.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NGINX_DIRECTORY = Path(__file__).resolve().parents[2] / "nginx"
MIB = 1 << 20
# What nginx says; shown only if a check fails.
LOG = tempfile.TemporaryFile()


class Node(ThreadingHTTPServer):
    """A node that behaves as its `mood` says, and remembers what reached it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.mood = "well"
        self.seen = []
        self.connections = 0

    @property
    def port(self):
        return self.server_address[1]

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True

    def answer(self):
        if self.path == "/api/batch":
            self.stream()
            return
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        self.server.seen.append((self.command, self.path, len(body), dict(self.headers.items())))
        if self.server.mood == "breaks":
            self.close_connection = True
            return
        status = 503 if self.server.mood == "busy" else 200
        self.send_response(status)
        self.send_header("Content-Length", "2")
        self.send_header("ETag", '"7"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def stream(self):
        """Sends every chunk back as it comes."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            size = int(self.rfile.readline(), 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            self.wfile.write(b"%x\r\n%s\r\n" % (size, chunk))
            self.wfile.flush()
            if size == 0:
                return


class Balancer:
    """nginx in front of the ports given."""

    def __init__(self, ports):
        self.directory = Path(tempfile.mkdtemp())
        # Workers of an nginx that root starts are another user.
        self.directory.chmod(0o755)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        shutil.copy(NGINX_DIRECTORY / "nginx.conf", self.directory)
        (self.directory / "listen.conf").write_text(f"listen 127.0.0.1:{self.port};\n")
        servers = [f"server 127.0.0.1:{port} max_fails=3 fail_timeout=1s;\n" for port in ports]
        (self.directory / "servers.conf").write_text("".join(servers))
        program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if program is None:
            sys.exit("balancer: nginx is missing (Debian package: nginx-light)")
        self.process = subprocess.Popen(
            [program, "-p", f"{self.directory}/", "-e", "stderr", "-c", f"{self.directory}/nginx.conf",
             "-g", "daemon off; worker_rlimit_nofile 1024;"],
            stderr=LOG,
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.end()
                    sys.exit("balancer: nginx did not start")
                time.sleep(0.02)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, not {wanted!r}")


def started():
    """Two nodes."""
    nodes = [Node(), Node()]
    for node in nodes:
        threading.Thread(target=node.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return nodes


def attempts(nodes):
    return sum(len(node.seen) for node in nodes)


def trial(mood):
    """A balancer before one node in this mood and one that is well, and a way to aim at the first.

    The balancer goes round, so one of two requests in a row begins with the node in the mood; both are sent, and the
    attempts that they took together are what is counted.
    """
    nodes = started()
    nodes[0].mood = mood
    return nodes, Balancer([node.port for node in nodes])


def end(nodes, balancer):
    balancer.end()
    for node in nodes:
        node.shutdown()
        node.server_close()


def two(mood, method, statuses, tries):
    """Two requests to a pair of which the first node is in a mood: their statuses, and the attempts in all."""
    nodes, balancer = trial(mood)
    try:
        body = None if method in ("GET", "HEAD") else b'{"key":1,"data":{}}'
        answers = [balancer.ask(method, "/api?key=1", body) for _ in range(2)]
        expect(sorted(status for status, _, _ in answers), statuses, f"{method}, a node {mood}: statuses")
        expect(attempts(nodes), tries, f"{method}, a node {mood}: attempts")
        for status, headers, text in answers:
            if status == 502:
                expect(json.loads(text)["status"], 502, f"{method}, a node {mood}: the error body")
                expect(headers["Retry-After"], "1", f"{method}, a node {mood}: Retry-After")
    finally:
        end(nodes, balancer)


def test_reads_are_tried_again_and_writes_are_not():
    for method in ["GET", "HEAD"]:
        two("breaks", method, [200, 200], 3)
        two("busy", method, [200, 200], 3)
    for method in ["POST", "PATCH", "PUT", "DELETE"]:
        two("breaks", method, [200, 502], 2)
        two("busy", method, [200, 503], 2)


def test_a_node_that_is_not_there_costs_no_post():
    nodes = started()
    nodes[0].shutdown()
    nodes[0].server_close()
    balancer = Balancer([node.port for node in nodes])
    try:
        for _ in range(4):
            expect(balancer.ask("POST", "/api", b'{"key":1,"data":{}}')[0], 200, "POST beside a missing node")
        expect(len(nodes[1].seen), 4, "attempts")
    finally:
        balancer.end()
        nodes[1].shutdown()
        nodes[1].server_close()


def test_sizes():
    nodes, balancer = trial("well")
    try:
        expect(balancer.ask("POST", "/api", bytes(17 * MIB))[0], 200, "a body of 17 MiB")
        expect(balancer.ask("PUT", "/api", bytes(17 * MIB))[0], 200, "a body of 17 MiB, PUT")
        expect([length for node in nodes for _, _, length, _ in node.seen], [17 * MIB] * 2, "what arrived")
        # Announced, not sent: nginx refuses by the length alone.
        for method in ["POST", "PUT"]:
            with socket.create_connection(("127.0.0.1", balancer.port), 10) as connection:
                head = f"{method} /api HTTP/1.1\r\nHost: x\r\nContent-Length: {18 * MIB}\r\n\r\n"
                connection.sendall(head.encode())
                response = http.client.HTTPResponse(connection)
                response.begin()
                expect(response.status, 413, f"18 MiB, {method}")
                expect(json.loads(response.read())["error"], "payload_too_large", f"18 MiB, {method}: its body")
        key = "%F0%9F%9A%8B" * 1024
        for path in [f"/api?key={key}", "/api?" + "&".join(f"key={i:032}" for i in range(1000))]:
            expect(balancer.ask("GET", path)[0], 200, f"a request line of {len(path)} bytes")
            expect(any(seen == path for node in nodes for _, seen, _, _ in node.seen), True, "as it was sent")
        expect(balancer.ask("GET", "/api?key=" + "k" * 140_000)[0], 414, "a request line that is too long")
    finally:
        end(nodes, balancer)


def test_headers_and_connections():
    nodes, balancer = trial("well")
    try:
        balancer.ask("GET", "/api?key=1", headers={"X-Request-Id": "mine-1", "If-None-Match": '"6"'})
        balancer.ask("GET", "/api?key=1", headers={"X-Request-Id": "not/decent " * 3})
        balancer.ask("PUT", "/api?key=1", b"{}", headers={"X-Request-Id": "mine-2", "If-Match": '"6"'})
        seen = {headers["X-Request-Id"]: headers for node in nodes for _, _, _, headers in node.seen}
        expect(len(seen), 3, "ids")
        expect(seen.pop("mine-1")["If-None-Match"], '"6"', "a condition")
        expect(seen.pop("mine-2")["If-Match"], '"6"', "a condition on a write")
        ((made, headers),) = seen.items()
        expect(len(made), 32, "an id that nginx made")
        expect(headers["Host"], f"127.0.0.1:{balancer.port}", "Host")
        expect(balancer.ask("GET", "/api?key=1")[1]["ETag"], '"7"', "ETag")
        for _ in range(50):
            balancer.ask("GET", "/api?key=1")
        workers = os.cpu_count() or 1
        expect(sum(node.connections for node in nodes) <= 2 * workers + 2, True, "few connections for many requests")
    finally:
        end(nodes, balancer)


def test_a_batch_streams():
    nodes, balancer = trial("well")
    try:
        with socket.create_connection(("127.0.0.1", balancer.port), 10) as connection:
            connection.sendall(b"POST /api/batch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            answer = connection.makefile("rb")
            for i in range(3):
                line = b'{"line":%d}\n' % i
                connection.sendall(b"%x\r\n%s\r\n" % (len(line), line))
                # The answer to this line comes while the request goes on, or this times out.
                while answer.readline() != line:
                    pass
            connection.sendall(b"0\r\n\r\n")
    finally:
        end(nodes, balancer)


def main():
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        try:
            test()
        except Exception:
            LOG.seek(0)
            sys.stderr.buffer.write(LOG.read())
            raise
        print(f"balancer: {name[5:].replace('_', ' ')}: ok", flush=True)


if __name__ == "__main__":
    main()
