"""The module that collectd puts into its embedded Python: what the plugin uses of it."""

from collections.abc import Callable, Mapping, Sequence

NOTIF_FAILURE: int
NOTIF_WARNING: int
NOTIF_OKAY: int

class CollectdError(Exception): ...

class Config:
    key: str
    values: tuple[str | float | bool, ...]
    children: tuple[Config, ...]

class Values:
    def __init__(
        self,
        type: str,
        values: Sequence[int | float],
        plugin_instance: str = ...,
        type_instance: str = ...,
        plugin: str = ...,
        host: str = ...,
        time: float = ...,
        interval: float = ...,
    ) -> None: ...
    def dispatch(self) -> None: ...

class Notification:
    def __init__(
        self,
        type: str,
        message: str,
        plugin_instance: str = ...,
        type_instance: str = ...,
        plugin: str = ...,
        host: str = ...,
        time: float = ...,
        severity: int = ...,
    ) -> None: ...
    meta: Mapping[str, str | int | bool]
    def dispatch(self) -> None: ...

def register_config(callback: Callable[[Config], None], *, name: str = ...) -> str: ...
def register_init(callback: Callable[[], None]) -> str: ...
def register_read(callback: Callable[[], None], interval: float = ..., *, name: str = ...) -> str: ...
def register_shutdown(callback: Callable[[], None]) -> str: ...
def error(message: str) -> None: ...
def warning(message: str) -> None: ...
def notice(message: str) -> None: ...
def info(message: str) -> None: ...
