"""Follows the ledger: what it says is live is what this worker serves; and the tokens, which say to whom."""

from __future__ import annotations

import asyncio
import logging

from prodml_magics.errors import ProdmlError
from prodml_magics.serving.access import Access
from prodml_magics.serving.router import Router
from prodml_magics.storage.ledger import Ledger
from prodml_magics.wire.routes import MODEL_FILES, VersionFiles, flavor_of

__all__ = ["Follower"]

_log = logging.getLogger(__name__)
_INTERVAL = 0.5
_RETRY = 10.0


class Follower:
    """Reads the ledger in a thread when it has changed; actions nudge it, the interval is the net.

    When the ledger cannot be read the worker goes on serving what it serves.
    """

    def __init__(self, ledger: Ledger, router: Router, access: Access) -> None:
        self._access = access
        self._ledger = ledger
        self._router = router
        self._retried = 0.0

    async def follow(self) -> dict[str, str]:
        """Bring the latest routes in force; returns, by model, why that failed."""
        self._access.follow()
        last_id = await asyncio.to_thread(self._ledger.last_id)
        if last_id == self._router.last_id and not self._due():
            return self._router.problems()
        routes = await asyncio.to_thread(self._ledger.routes)
        return await self._router.apply(routes, last_id)

    def _due(self) -> bool:
        """A route that could not be followed is tried again now and then."""
        now = asyncio.get_running_loop().time()
        if not self._router.problems() or now - self._retried < _RETRY:
            return False
        self._retried = now
        return True

    def registered(self, model: str) -> VersionFiles | None:
        """The files of the newest registered version of `model`; reads the ledger, so call it in a thread."""
        found = [event.payload for event in self._ledger.events(model) if event.kind == "register"]
        if not found:
            return None
        version, digests = int(found[-1]["version"]), found[-1]["sha256"]
        flavor = flavor_of(digests) or "onnx"
        model_digest, contract = digests[MODEL_FILES[flavor]], digests["contract.json"]
        return VersionFiles(version, f"models/{model}/{version}", model_digest, contract, digests.get("samples.json", ""), flavor)

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            try:
                self._router.tend()
                await self.follow()
            except ProdmlError as error:
                _log.warning("%s", error)
            except Exception:  # whatever went wrong this time, the ledger is looked at again
                _log.exception("the ledger could not be followed")
