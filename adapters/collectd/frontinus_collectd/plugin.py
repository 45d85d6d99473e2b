"""The module that collectd imports. It registers itself; all else is elsewhere, for it is importable by collectd alone.

collectd calls `configure` and `init` in its main thread and `read` in one of its reading threads, never two at a time.
Nothing here starts a thread or a process, so nothing outlives `shutdown`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial

import collectd
from frontinus.api.errors import InvalidValue
from frontinus_collectd.reader import Message, Output, Reader
from frontinus_collectd.settings import Settings, parse

NAME = "frontinus"
"""Of the configuration block: <Module frontinus>."""

LEVELS: dict[str, Callable[[str], None]] = {
    "error": collectd.error, "warning": collectd.warning, "notice": collectd.notice, "info": collectd.info,
}  # fmt: skip
SEVERITIES = {"okay": collectd.NOTIF_OKAY, "warning": collectd.NOTIF_WARNING, "failure": collectd.NOTIF_FAILURE}


def say(level: str, text: str) -> None:
    LEVELS[level](f"{NAME}: {text}")


class Plugin:
    """A block of the configuration becomes a reader; without any block there is one with the defaults."""

    def __init__(self) -> None:
        self._blocks: list[Settings] = []
        self._configured = False
        self._readers: list[Reader] = []

    def configure(self, block: collectd.Config) -> None:
        """Take a block in. Raises CollectdError, which collectd logs; then this block is not read."""
        self._configured = True
        try:
            settings = parse(block)
        except InvalidValue as error:
            raise collectd.CollectdError(f"{NAME}: {error.message}") from None
        for remark in settings.remarks:
            say("warning", remark)
        self._blocks.append(settings)

    def init(self) -> None:
        for number, settings in enumerate(self._blocks if self._configured else [Settings()]):
            reader = Reader(settings, say)
            self._readers.append(reader)
            name = NAME if number == 0 else f"{NAME}-{number}"
            if settings.interval is None:
                collectd.register_read(partial(read, reader), name=name)
            else:
                collectd.register_read(partial(read, reader), settings.interval, name=name)

    def shutdown(self) -> None:
        for reader in self._readers:
            reader.close()


def read(reader: Reader) -> None:
    """One reading. Nothing may be raised: collectd would call less and less often."""
    try:
        for output in reader.read():
            dispatch(reader.settings.plugin, output)
    except Exception:
        say("error", f"a reading failed:\n{traceback.format_exc()}")


def dispatch(plugin: str, output: Output) -> None:
    for sample in output.samples:
        collectd.Values(type=sample.type, type_instance=sample.instance, plugin=plugin, plugin_instance=output.instance,
                        host=output.host, time=sample.time, values=sample.values).dispatch()  # fmt: skip
    for message in output.messages:
        notify(plugin, output, message)


def notify(plugin: str, output: Output, message: Message) -> None:
    notification = collectd.Notification(type=message.type, message=message.text, plugin=plugin, host=output.host,
                                         plugin_instance=output.instance, severity=SEVERITIES[message.severity])  # fmt: skip
    notification.meta = message.meta
    notification.dispatch()


PLUGIN = Plugin()
collectd.register_config(PLUGIN.configure, name=NAME)
collectd.register_init(PLUGIN.init)
collectd.register_shutdown(PLUGIN.shutdown)
