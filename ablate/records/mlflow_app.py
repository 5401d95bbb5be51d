"""MLflow's server as `ablate ui` starts it: through MLflow's own plugin point `mlflow.app` (`--app-name`).

MLflow 3 opens its assistant's pane over the page on a browser's first visit and has no setting for that; a flag in the
browser's storage, which it sets itself after that visit, says that it was open already. The start page sets the flag.
"""

from typing import Any

APP_NAME = "ablate"
"""The plugin's name in the package's entry points."""

_FLAG = "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1"
SCRIPT = f'<script>try{{localStorage.setItem("{_FLAG}","true")}}catch(error){{}}</script>'
"""What the start page gets."""


def create_app() -> Any:
    """Give MLflow's application with the script in its start page."""
    from mlflow.server import app as pages
    from mlflow.server.fastapi_app import app

    pages.after_request(with_script)
    return app


def with_script(response: Any) -> Any:
    """Put the script into a page (a response of Flask); all else passes as it is."""
    if response.status_code == 200 and response.mimetype == "text/html" and _is_start_page():
        response.direct_passthrough = False
        response.set_data(response.get_data(as_text=True).replace("<head>", f"<head>{SCRIPT}", 1))
        response.headers.pop("ETag", None)
    return response


def _is_start_page() -> bool:
    from flask import request

    return bool(request.path == "/")
