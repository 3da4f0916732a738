"""The other workers of this gateway, asked for what they have counted, so that one scrape tells of all of them."""

from __future__ import annotations

import http.client
import logging
import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from prodml_magics.serving.counts import Counts
from prodml_magics.storage.runtime import read_runtime

__all__ = ["Siblings"]

_log = logging.getLogger(__name__)
_PATIENCE = 1.0


class Siblings:
    """Found in ``runtime.json`` of the home; none where this worker is the gateway."""

    def __init__(self, home: Path, token: str) -> None:
        self._path = home / "runtime.json"
        self._token = token

    def counts(self) -> list[Counts]:
        """What each of the others has counted; waits for them, so call it in a thread. One that does not answer is left out."""
        runtime = read_runtime(self._path)
        urls = [worker.url for worker in runtime.gateway.workers if worker.pid not in (None, os.getpid())] if runtime else []
        return [counts for url in urls if (counts := self._ask(url)) is not None]

    def _ask(self, url: str) -> Counts | None:
        where = urlsplit(url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=_PATIENCE)
        try:
            connection.request("GET", "/admin/counts", headers={"Authorization": f"Bearer {self._token}"})
            return msgspec.json.decode(connection.getresponse().read(), type=Counts)
        except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
            _log.warning("the metrics lack the worker on %s: %s", url, error)
            return None
        finally:
            connection.close()
