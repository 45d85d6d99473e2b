"""A mock engine in this process: what a session's service shows when there is no engine beside it."""

from __future__ import annotations

import os

from frontinus.api.identity import Identity
from frontinus.mock.engine import mock_engine
from frontinus_dbus.world import World


class Playground(World):
    """It lives and dies with this process."""

    async def run(self) -> None:
        engine = await mock_engine()
        await self.follow(engine.session(Identity(uid=os.getuid(), gid=os.getgid())), engine.session)
