"""The one error of the contract. Its category says who can mend it; whether trying again helps follows from that."""

import json

# Category: whether a retry can help, and how patient it should be.
_CATEGORIES = {
    "config": (False, "normal"),
    "auth": (False, "normal"),
    "permission": (False, "normal"),
    "rate_limit": (True, "slow"),
    "transient_network": (True, "normal"),
    "transient_db": (True, "normal"),
    "data": (False, "normal"),
    "schema": (False, "normal"),
    "internal": (False, "normal"),
    "frame": (False, "normal"),
}


class ConnectorError(Exception):
    """What went wrong: `category` for the host, `code` for machines, `message` for people. Never put a secret in one."""

    def __init__(self, category, code, message, *, details=None, retry_after_ms=None, scope="per_stream", commit=None):
        super().__init__(message)
        self.retryable, self.backoff = _CATEGORIES[category]
        self.category = category
        self.code = code
        self.message = message
        self.details = details
        self.retry_after_ms = retry_after_ms
        self.scope = scope
        self.safe_to_retry = True
        # Destinations: "before_commit", "after_commit_unknown" or "after_commit_confirmed".
        self.commit = commit

    def details_json(self):
        return None if self.details is None else json.dumps(self.details)

    def __str__(self):
        return f"{self.category} ({self.code}): {self.message}"


def config_error(key, message, code="config_invalid"):
    """The value of a config key is wrong; only the pipeline's author can mend it."""
    return ConnectorError("config", code, f"`{key}` {message}", details={"field": key})


def auth_error(code, message):
    """Credentials were refused."""
    return ConnectorError("auth", code, message)


def permission_error(code, message):
    """Credentials are fine, the right is missing."""
    return ConnectorError("permission", code, message)


def transient_error(code, message):
    """The network failed, or the other side did, in a way that may pass: the host tries again."""
    return ConnectorError("transient_network", code, message)


def data_error(code, message, scope="per_batch"):
    """A record cannot be represented or is refused."""
    return ConnectorError("data", code, message, scope=scope)


def schema_error(code, message):
    """Stream and connector disagree about columns or types."""
    return ConnectorError("schema", code, message)


def internal_error(code, message):
    """A defect in the connector."""
    return ConnectorError("internal", code, message)
