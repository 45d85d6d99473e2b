"""What each path answers."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from frontinus_prometheus.compat import COMPAT
from frontinus_prometheus.httpd import Request, Response, failure
from frontinus_prometheus.link import Link, Round
from frontinus_prometheus.metric import Profile
from frontinus_prometheus.model import Entry, facts
from frontinus_prometheus.native import NATIVE
from frontinus_prometheus.own import END, Own
from frontinus_prometheus.render import Renderer

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

PROFILES: Mapping[str, Profile] = {"/metrics": NATIVE, **{f"/metrics/{profile.name}": profile for profile in COMPAT}}
"""The profile of each path."""


def wants_openmetrics(accept: str) -> bool:
    """Whether the scraper's header prefers OpenMetrics 1.0 to the text format."""
    best = {"text": 0.0, "openmetrics": 0.0}
    for offer in accept.split(","):
        kind, *parameters = (part.strip() for part in offer.split(";"))
        given = dict(p.partition("=")[::2] for p in parameters)
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            continue
        if kind == "application/openmetrics-text" and given.get("version", "1.0.0") in ("1.0.0", "0.0.1"):
            best["openmetrics"] = max(best["openmetrics"], quality)
        elif kind in ("text/plain", "text/*", "*/*"):
            best["text"] = max(best["text"], quality)
    return best["openmetrics"] > 0 and best["openmetrics"] >= best["text"]


class Routes:
    """Answers requests from the link's model and figures."""

    def __init__(self, link: Link, own: Own) -> None:
        self.link, self.own = link, own
        self._renderers = {path: Renderer(profile) for path, profile in PROFILES.items()}

    async def __call__(self, request: Request) -> Response:
        path = request.path
        if path in self._renderers:
            return await self._metrics(request, self._renderers[path])
        if path == "/":
            return self._index()
        if path == "/-/healthy":
            return Response(b"healthy\n")
        if path == "/-/ready":
            ready = self.link.model.generation is not None
            return (
                Response(b"ready\n")
                if ready
                else failure(HTTPStatus.SERVICE_UNAVAILABLE, "the engine is not connected")
            )
        return failure(HTTPStatus.NOT_FOUND)

    async def _metrics(self, request: Request, renderer: Renderer) -> Response:
        openmetrics = renderer.profile.openmetrics and wants_openmetrics(request.headers.get("accept", ""))
        if renderer.profile.details:
            await self.link.describe()
        round = await self.link.round()
        body = self._text(renderer, round, self.link.model.guests, openmetrics=openmetrics)
        if renderer.profile is NATIVE:
            body += self.own.render(openmetrics=openmetrics)
        self.own.scrapes.labels(renderer.profile.name, "200").inc()
        return self._shown(body, openmetrics=openmetrics)

    def _text(self, renderer: Renderer, round: Round, guests: Mapping[str, Entry], *, openmetrics: bool) -> str:
        """The guests' text; those who scrape at once share it."""
        model = self.link.model
        key = (renderer.profile.name, openmetrics, model.version)
        if key not in round.rendered:
            with self.own.rendering.time():
                found = facts(model, round.stats, fresh=round.fresh, version=self.link.version, host=self.link.host)
                round.rendered[key] = renderer.render(found, guests, openmetrics=openmetrics)
        return round.rendered[key]

    @staticmethod
    def _shown(body: str, *, openmetrics: bool) -> Response:
        return Response((body + END * openmetrics).encode(), kind=OPENMETRICS if openmetrics else TEXT)

    def _index(self) -> Response:
        links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in PROFILES)
        page = f"<!doctype html><title>Frontinus exporter</title><h1>Frontinus exporter</h1><ul>{links}</ul>\n"
        return Response(page.encode(), kind="text/html; charset=utf-8")
