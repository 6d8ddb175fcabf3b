"""What the host does for a connector besides moving rows: log, metrics, state. Which host that is, `use` says: the one around
the component, or that of a unit test.
"""

_host = None


def use(host):
    global _host
    _host = host


def current():
    if _host is None:
        raise RuntimeError("there is no host; in a unit test make a `rapidbyte.testing.TestHost` first")
    return _host


class _Log:
    """`log.info("message", key="value")`. Never log a secret."""

    def trace(self, message, **fields):
        current().log("trace", message, fields)

    def debug(self, message, **fields):
        current().log("debug", message, fields)

    def info(self, message, **fields):
        current().log("info", message, fields)

    def warn(self, message, **fields):
        current().log("warn", message, fields)

    def error(self, message, **fields):
        current().log("error", message, fields)


class _Metric:
    def counter(self, name, value=1, **labels):
        current().metric(name, "counter", value, labels)

    def gauge(self, name, value, **labels):
        current().metric(name, "gauge", value, labels)

    def histogram(self, name, value, **labels):
        current().metric(name, "histogram", value, labels)


class _State:
    """Small values that outlive a run. The manifest has to ask for `state_read` and `state_write`. Scopes: `pipeline`,
    `stream`, `connector_instance`."""

    def get(self, key, scope="stream"):
        return current().state_get(scope, key)

    def put(self, key, value, scope="stream"):
        current().state_put(scope, key, value)

    def compare_and_swap(self, key, expected, value, scope="stream"):
        return current().state_compare_and_swap(scope, key, expected, value)


log = _Log()
metric = _Metric()
state = _State()
