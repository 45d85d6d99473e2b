"""What each path answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING

from frontinus_prometheus.compat import COMPAT
from frontinus_prometheus.httpd import Request, Response, failure, qualities
from frontinus_prometheus.link import Link, Round
from frontinus_prometheus.metric import Profile, only
from frontinus_prometheus.model import Entry, facts
from frontinus_prometheus.native import NATIVE, with_labels
from frontinus_prometheus.own import END, Own
from frontinus_prometheus.render import Renderer

if TYPE_CHECKING:
    from frontinus_prometheus.webconfig import Guard

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

PROFILES: Mapping[str, Profile] = {"/metrics": NATIVE, **{f"/metrics/{profile.name}": profile for profile in COMPAT}}
"""The profile of each path."""


CHOICES = 16
"""Sets of names that scrapers choose, which are kept ready."""

NO_ENGINE = "the engine is not connected"

META = "__meta_frontinus_guest_"
DISCOVERED = (
    "name",
    "uuid",
    "state",
    "title",
    "active",
    "persistent",
    "autostart",
    "arch",
    "machine",
    "virt_type",
    "os_type",
)
"""What service discovery tells of a guest: fields of its view, for relabelling to choose by."""


def text(value: object) -> str:
    """A label's value; flags in lower case."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def wants_openmetrics(accept: str) -> bool:
    """Whether the scraper's header prefers OpenMetrics 1.0 to the text format."""
    best = {"text": 0.0, "openmetrics": 0.0}
    for kind, given, quality in qualities(accept):
        if kind == "application/openmetrics-text" and given.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            best["openmetrics"] = max(best["openmetrics"], quality)
        elif kind in ("text/plain", "text/*", "*/*"):
            best["text"] = max(best["text"], quality)
    return best["openmetrics"] > 0 and best["openmetrics"] >= best["text"]


SHARE = 0.8
"""Of the scraper's own timeout that the engine gets; the rest is for the way back."""


def patience(header: str, usual: float) -> float:
    """Seconds that a scrape may wait for the engine, by the scraper's header and our setting."""
    try:
        given = float(header)
    except ValueError:
        return usual
    return min(usual, given * SHARE) if 0 < given < inf else usual


class Routes:
    """Answers requests from the link's model and figures."""

    def __init__(self, link: Link, own: Own, guard: Guard | None = None, *, created: bool = True) -> None:
        self.link, self.own, self.guard, self._created = link, own, guard, created
        profiles = {**PROFILES, "/metrics": with_labels(link.places)}
        self._renderers = {path: self._both(profile) for path, profile in profiles.items()}
        self._chosen: dict[tuple[str, frozenset[str]], Mapping[bool, Renderer]] = {}
        """Renderers of what scrapers choose by `name[]`."""
        self._pages: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
            "/": self._index, "/probe": self._probe, "/sd": self._discovery, "/-/healthy": self._healthy, "/-/ready": self._ready,
        }  # fmt: skip
        self._probes = {profile.name: self._both(replace(profile, engine=())) for profile in profiles.values()}

    def _both(self, profile: Profile) -> Mapping[bool, Renderer]:
        """The renderers of a profile: of the text format (False), and of OpenMetrics (True) if it has that."""
        return {
            kind: Renderer(profile, openmetrics=kind, created=self._created) for kind in {False, profile.openmetrics}
        }

    def _of_names(self, path: str, names: frozenset[str]) -> Mapping[bool, Renderer]:
        """The renderers of a path, of all its families or of these; scrapers ask for the same again and again."""
        if not names:
            return self._renderers[path]
        if (path, names) not in self._chosen:
            if len(self._chosen) >= CHOICES:
                self._chosen.clear()
            families = {name.removesuffix("_bucket") for name in names} | names
            self._chosen[path, names] = self._both(only(self._renderers[path][False].profile, families))
        return self._chosen[path, names]

    async def __call__(self, request: Request) -> Response:
        if self.guard is None:
            return await self._answer(request)
        await self.guard.refresh()
        if not await self.guard.admits(request.headers.get("authorization", "")):
            self.own.refused.labels("password").inc()
            return replace(failure(HTTPStatus.UNAUTHORIZED), headers={"WWW-Authenticate": 'Basic realm="frontinus"'})
        answer = await self._answer(request)
        return replace(answer, headers={**self.guard.settings.headers, **answer.headers})

    async def _answer(self, request: Request) -> Response:
        if request.path in self._renderers:
            return await self._metrics(request)
        page = self._pages.get(request.path)
        return await page(request) if page is not None else failure(HTTPStatus.NOT_FOUND)

    async def _healthy(self, request: Request) -> Response:
        return Response(b"healthy\n")

    async def _ready(self, request: Request) -> Response:
        ready = self.link.model.generation is not None
        return Response(b"ready\n") if ready else failure(HTTPStatus.SERVICE_UNAVAILABLE, NO_ENGINE)

    async def _metrics(self, request: Request) -> Response:
        names = frozenset(request.query.get("name[]", ()))
        renderers = self._of_names(request.path, names)
        openmetrics, end = self._wishes(request, renderers)
        renderer = renderers[openmetrics]
        if renderer.profile.details:
            await self.link.describe(end=end)
        self.own.scrapes.labels(renderer.profile.name).inc()
        await self.link.begin()  # now the engine works, and we meanwhile
        native = renderer.profile.name == NATIVE.name
        own = [self.own.render(openmetrics=openmetrics, names=names)] if native else []
        parts = self._parts(renderer, await self.link.round(end=end), self.link.model.guests)
        return self._shown([*parts, *own], openmetrics=openmetrics)

    def _wishes(self, request: Request, renderers: Mapping[bool, Renderer]) -> tuple[bool, float]:
        """Whether the scraper wants OpenMetrics, and until when (by the loop's clock) it can wait for the engine."""
        wait = patience(request.headers.get("x-prometheus-scrape-timeout-seconds", ""), self.link.deadline)
        openmetrics = True in renderers and wants_openmetrics(request.headers.get("accept", ""))
        return openmetrics, asyncio.get_running_loop().time() + wait

    async def _probe(self, request: Request) -> Response:
        """One guest by name, UUID or id, with nothing of the engine's."""
        target, name = (
            request.query.get(key, [default])[-1] for key, default in (("target", ""), ("profile", NATIVE.name))
        )
        if not target or name not in self._probes:
            return failure(HTTPStatus.BAD_REQUEST, f"/probe?target=GUEST[&profile={'|'.join(self._probes)}]")
        if self.link.model.generation is None:
            return failure(HTTPStatus.SERVICE_UNAVAILABLE, NO_ENGINE)
        entry = self.link.model.find(target)
        if entry is None:
            return failure(HTTPStatus.NOT_FOUND, "no such guest")
        uuid = entry.view.uuid
        openmetrics, end = self._wishes(request, self._probes[name])
        renderer = self._probes[name][openmetrics]
        if renderer.profile.details:
            await self.link.describe([uuid], end=end)
        round = await self.link.round([uuid], end=end)
        found = facts(self.link.model, round.stats, fresh=round.fresh, version=self.link.version, host=self.link.host)
        self.own.scrapes.labels("probe").inc()
        return self._shown(renderer.render(found, {uuid: entry}, whole=False), openmetrics=openmetrics)

    async def _discovery(self, request: Request) -> Response:
        """The guests as targets for /probe, in the format of Prometheus' HTTP service discovery."""
        groups = [{"targets": [e.view.name], "labels": {f"{META}{name}": text(getattr(e.view, name)) for name in DISCOVERED}}
                  for e in self.link.model.guests.values()]  # fmt: skip
        return Response(json.dumps(groups).encode(), kind="application/json; charset=utf-8")

    def _parts(self, renderer: Renderer, round: Round, guests: Mapping[str, Entry]) -> Sequence[bytes]:
        """The families' texts; those who scrape at once share them."""
        model = self.link.model
        key = (renderer, model.version)
        if key not in round.rendered:
            with self.own.rendering.time():
                found = facts(model, round.stats, fresh=round.fresh, version=self.link.version, host=self.link.host,
                              host_figures=round.host, engine_figures=round.engine)  # fmt: skip
                round.rendered[key] = renderer.render(found, guests)
        return round.rendered[key]

    @staticmethod
    def _shown(parts: Sequence[bytes], *, openmetrics: bool) -> Response:
        return Response([*parts, END], kind=OPENMETRICS) if openmetrics else Response(parts, kind=TEXT)

    async def _index(self, request: Request) -> Response:
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in PROFILES)
        page = f"<!doctype html><title>Frontinus exporter</title><h1>Frontinus exporter</h1><ul>{links}</ul>\n"
        return Response(page.encode(), kind="text/html; charset=utf-8")
