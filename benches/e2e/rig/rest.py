"""Decides how the rig speaks to a worker: Connect's REST interface."""

import http.client
import json
from typing import Any

from rig.process import Failure


class Rest:
    """The REST interface at 127.0.0.1 and a port."""

    def __init__(self, port: int) -> None:
        self._port = port

    def answers(self, path: str) -> bool:
        """Whether a GET gives 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON; a failure for anything but 2xx."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=90)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Failure(f"{method} {path}: {error}") from error
        finally:
            connection.close()
        if response.status >= 300:
            raise Failure(f"{method} {path}: {response.status} {answer.decode()[:2000]}")
        return json.loads(answer) if answer else None

    def put_connector(self, name: str, config: dict[str, str]) -> None:
        self.ask("PUT", f"/connectors/{name}/config", config)

    def delete_connector(self, name: str) -> None:
        self.ask("DELETE", f"/connectors/{name}")

    def trouble(self, name: str) -> str | None:
        """The first lines of the trace, when the connector or a task of it has failed."""
        status = self.ask("GET", f"/connectors/{name}/status")
        for part in [status["connector"], *status["tasks"]]:
            if part["state"] == "FAILED":
                return "\n".join(str(part.get("trace")).splitlines()[:12])
        return None

    def running_tasks(self, name: str) -> int:
        status = self.ask("GET", f"/connectors/{name}/status")
        return sum(task["state"] == "RUNNING" for task in status["tasks"])
