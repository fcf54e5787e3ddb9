"""Requests to an MLflow server as MLflow's own client makes them: its login, token, certificates and redirects."""

import os
from typing import TYPE_CHECKING, Any

from smlmbench.addresses import Address, hidden

if TYPE_CHECKING:
    from requests import Response

HEALTH_TIMEOUT_S = 5.0
LOGIN = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, also where workers run"

# Read by MLflow while it is imported or at its first call; a value of the user wins.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def prepare_environment() -> None:
    """Set what MLflow shall find; before it is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def ask(uri: Address, path: str, timeout_s: float, body: dict[str, Any] | None = None) -> "Response":
    """Ask a server once: GET a path, or POST a body to it.

    Raises:
        ConnectionError: It does not answer, or a setting of MLflow (a certificate, ...) stands in the way.
    """
    prepare_environment()
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    method, once = "GET" if body is None else "POST", {"max_retries": 0, "raise_on_status": False}
    try:
        login = get_default_host_creds(uri.whole)  # type: ignore[no-untyped-call]
        answer: Response = http_request(  # type: ignore[no-untyped-call]
            login, path, method, timeout=timeout_s, json=body, **once
        )
    except MlflowException as error:
        # The text begins with the address and names what each library called it; the cause is at its end.
        said = str(error).partition("failed with exception ")[2] or str(error)
        raise ConnectionError(hidden(said.rpartition("Caused by ")[2].strip("()"))) from None
    return answer


def healthy(uri: Address, timeout_s: float = HEALTH_TIMEOUT_S) -> bool:
    """Whether a server says that it is well (ConnectionError: it does not answer)."""
    return is_well(ask(uri, "/health", timeout_s))


def is_well(answer: "Response") -> bool:
    """Whether this is what MLflow's /health says."""
    return bool(answer.ok and answer.content.strip() == b"OK")
