"""A small HTTP client that can misbehave. Every response is held against the contract."""

import base64
import hashlib
import json
import socket
import urllib.parse

from support.contract import CONTRACT, parse_json


class Headers(dict):
    """Header fields by their names in any case; of several the values joined by commas."""

    def __init__(self, pairs=()):
        super().__init__()
        for name, value in pairs:
            key = name.lower()
            super().__setitem__(key, self[key] + ", " + value if key in self else value)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return super().__contains__(name.lower())

    def get(self, name, otherwise=None):
        return super().get(name.lower(), otherwise)


class Response:
    def __init__(self, status, headers, body, interim):
        self.status = status
        self.headers = headers
        self.body = body
        self.interim = interim  # statuses of 1xx responses that came before

    def json(self):
        return parse_json(self.body)

    def text(self):
        return self.body.decode("utf-8")

    def problem(self):
        """The problem's type without its folder."""
        return self.json()["type"].rsplit("/", 1)[1]


class Cut(Exception):
    """The daemon closed the connection before its answer was whole."""


class Connection:
    """One TCP connection: what is written is up to the test."""

    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def head(self, method, target, headers):
        lines = ["%s %s HTTP/1.1" % (method, target)]
        pairs = list(headers)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs.insert(0, ("Host", "127.0.0.1"))
        lines += ["%s: %s" % pair for pair in pairs]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    def fill(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            raise Cut("the connection was closed after %r" % self.buffer[:200])
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def take(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read_body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while True:
                size = int(self.line().split(";")[0], 16)
                body += self.take(size)
                self.line()
                if size == 0:
                    return body
        if "Content-Length" in headers:
            return self.take(int(headers["Content-Length"]))
        body = b""
        try:
            while True:
                body += self.take(max(1, len(self.buffer)))
        except Cut:
            return body

    def response(self, method, target):
        interim = []
        while True:
            status = int(self.line().split(" ")[1])
            pairs = []
            while True:
                line = self.line()
                if not line:
                    break
                name, value = line.split(":", 1)
                pairs.append((name, value.strip()))
            if status >= 200:
                break
            interim.append(status)
        headers = Headers(pairs)
        body = self.read_body(method, status, headers)
        response = Response(status, headers, body, interim)
        CONTRACT.check(method, target, response)
        return response


def quote(text):
    return urllib.parse.quote(text, safe="")


def query(target, parameters):
    """parameters: a dict; a list as value repeats its name."""
    pairs = []
    for name, value in parameters.items():
        for one in value if isinstance(value, list) else [value]:
            pairs.append("%s=%s" % (quote(name), quote(str(one))))
    return target + ("?" + "&".join(pairs) if pairs else "")


def repr_digest(data):
    return "sha-256=:%s:" % base64.b64encode(hashlib.sha256(data).digest()).decode()


def hex_digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Client:
    def __init__(self, port):
        self.port = port

    def connect(self, timeout=60):
        return Connection(self.port, timeout)

    def request(self, method, target, body=None, headers=(), timeout=120, **parameters):
        """Parameters become the query. body: bytes, None, or an iterable of chunks."""
        target = query(target, parameters)
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        pairs.append(("Connection", "close"))
        chunks = None
        if isinstance(body, bytes):
            pairs.append(("Content-Length", str(len(body))))
        elif body is not None:
            chunks = body
            pairs.append(("Transfer-Encoding", "chunked"))
        with self.connect(timeout) as connection:
            connection.head(method, target, pairs)
            try:
                if chunks is not None:
                    for chunk in chunks:
                        connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                    connection.send(b"0\r\n\r\n")
                elif body:
                    connection.send(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the body's end: the answer may still be there
            return connection.response(method, target)

    def get(self, target, headers=(), **parameters):
        return self.request("GET", target, None, headers, **parameters)

    def head(self, target, headers=(), **parameters):
        return self.request("HEAD", target, None, headers, **parameters)

    def put(self, target, body, headers=(), **parameters):
        return self.request("PUT", target, body, headers, **parameters)

    def post(self, target, body, headers=(), **parameters):
        return self.request("POST", target, body, headers, **parameters)

    def early(self, method, target, length, headers=(), **parameters):
        """Send the header alone, with Expect: 100-continue, and give the answer, which is 100 in
        interim if the daemon wants the body. The body is never sent."""
        target = query(target, parameters)
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        if length is None:
            pairs.append(("Transfer-Encoding", "chunked"))
        else:
            pairs.append(("Content-Length", str(length)))
        pairs.append(("Expect", "100-continue"))
        with self.connect(10) as connection:
            connection.head(method, target, pairs)
            first = connection.line()
            if first.split(" ")[1] == "100":
                return None
            connection.buffer = first.encode() + b"\r\n" + connection.buffer
            return connection.response(method, target)


def to_json(value):
    return json.dumps(value).encode()
