"""HTTP for connectors, on Python's own `http.client`. In a component the connection is the host's: it checks the endpoint
against what was granted, resolves the name and ends TLS. In a unit test it is an ordinary one.

    api = HttpClient("https://api.example.com/v1", token=config.token)
    page = api.get("issues", after=7, limit=100)      # the decoded JSON

An answer that is no success is raised as the error its status stands for; redirects are not followed.
"""

import http.client
import json
from urllib.parse import quote, urlencode, urlsplit

from . import host
from .errors import ConnectorError, config_error, internal_error, transient_error

# Silence of a server that is taken for its death.
TIMEOUT_SECONDS = 30
# Largest answer.
BODY_BYTES_MAX = 16 * 1024 * 1024
# Tries of a request that may be repeated, where the connection fails.
TRIES = 3

_STATUSES = {
    401: ("auth", "http_unauthorized"),
    403: ("auth", "http_forbidden"),
    404: ("config", "http_not_found"),
    408: ("transient_network", "http_timeout"),
    409: ("data", "http_refused"),
    410: ("config", "http_not_found"),
    413: ("data", "http_refused"),
    422: ("data", "http_refused"),
    425: ("transient_network", "http_too_early"),
    429: ("rate_limit", "http_too_many_requests"),
}


class HttpClient:
    """A base URL with its credentials."""

    def __init__(self, url, *, token=None, headers=None, key="url"):
        """`key` is the config key that the URL comes from, for the error if it is none."""
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise config_error(key, "must be a URL like `https://api.example.com/v1`")
        self.secure = parts.scheme == "https"
        self.host, self.port = parts.hostname, port or (443 if self.secure else 80)
        self.path = parts.path.rstrip("/")
        self.headers = {"accept": "application/json", "user-agent": "rapidbyte", **(headers or {})}
        if token:
            self.headers["authorization"] = f"Bearer {token}"

    def get(self, path, **query):
        """The decoded JSON of an answer."""
        return self.request("GET", path, query=query)

    def post(self, path, body, **query):
        """Sends JSON; not repeated by itself."""
        return self.request("POST", path, query=query, body=body)

    def request(self, method, path, *, query=None, body=None):
        target = f"{self.path}/{quote(path.lstrip('/'), safe='/')}"
        if query:
            target += "?" + urlencode(query)
        headers = dict(self.headers)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        what = f"{method} {target.split('?')[0]}"
        for attempt in range(TRIES if method in ("GET", "HEAD", "PUT", "DELETE") else 1):
            try:
                return self._send(method, target, data, headers, what)
            except ConnectorError as error:
                lost = error.category == "transient_network" and error.code.startswith("connection_")
                if not lost or attempt == TRIES - 1 or error.code == "connection_refused":
                    raise
        raise internal_error("unreachable", what)

    def _send(self, method, target, data, headers, what):
        connection = self._connection()
        try:
            connection.request(method, target, data, headers)
            answer = connection.getresponse()
            body = answer.read(BODY_BYTES_MAX + 1)
        except ConnectorError:
            raise
        except TimeoutError as error:
            raise transient_error("connection_timed_out", f"{what}: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            code = "connection_refused" if isinstance(error, ConnectionRefusedError) else "connection_lost"
            raise transient_error(code, f"{what}: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if len(body) > BODY_BYTES_MAX:
            raise ConnectorError("data", "http_too_large", f"{what} answered more than {BODY_BYTES_MAX} bytes")
        if not 200 <= answer.status < 300:
            raise _refused(what, answer, body)
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise ConnectorError("internal", "http_not_json", f"{what} answered no JSON: {error}") from None

    def _connection(self):
        socket = host.current().connect(self.host, self.port, self.secure)
        if socket is not None:
            connection = http.client.HTTPConnection(self.host, self.port)
            # Then it does not connect by itself.
            connection.sock = socket
            if self.secure and self.port == 443:
                connection.default_port = 443
            return connection
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=TIMEOUT_SECONDS)


def _refused(what, answer, body):
    status = answer.status
    if status in _STATUSES:
        category, code = _STATUSES[status]
    elif status >= 500:
        category, code = "transient_network", "http_server_error"
    elif 300 <= status < 400:
        category, code = "config", "http_redirect"
    else:
        category, code = "config", "http_bad_request"
    text = " ".join(body[:800].decode(errors="replace").split())[:200]
    message = f"{what} answered {status} {answer.reason}" + (f": {text}" if text else "")
    wait = answer.getheader("retry-after", "")
    retry_after_ms = int(wait) * 1000 if wait.isdigit() else None
    return ConnectorError(category, code, message, details={"status": status}, retry_after_ms=retry_after_ms)
