"""What a start needs: the command line and the resources around it, as data.

A plan is made without I/O. `engine/lifecycle` walks `resources` forward through the ports and, on failure or at the
guest's end, backward. Descriptors have the number that the child will see, chosen by the plan from 3 upward.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from frontinus.filter.instance import Filtered, FilterUse

Use = tuple[str, str | None, str | None]
"""A secret: the type of its use, and its UUID or what it is for."""

FIRST_FD = 3
VFIO_DRIVER = "vfio-pci"
"""The host's driver that hands any PCI function to a guest; some functions have one of their own."""


@dataclass(frozen=True)
class Folder:
    """A private folder of the guest, owned by its user."""

    path: str
    mode: int = 0o700


@dataclass(frozen=True)
class Listener:
    """A listening unix socket, passed as descriptor `fd`."""

    path: str
    fd: int


@dataclass(frozen=True)
class OpenFile:
    """A file opened by the engine and passed as descriptor `fd`. A `device` is the kernel's to make, never ours."""

    path: str
    fd: int
    append: bool = True
    mode: int = 0o600
    device: bool = False


@dataclass(frozen=True)
class Handed:
    """Descriptors that a caller gave the guest under a name, passed as descriptors of these numbers."""

    group: str
    fds: tuple[int, ...]


@dataclass(frozen=True)
class Floor:
    """What a port of a bridge always gets, and what it may get at most, in kilobytes a second. `class_id` names it there."""

    class_id: int
    rate: int
    most: int


@dataclass(frozen=True)
class Tap:
    """A tap device (empty name: the kernel numbers it vnet%d), on a bridge or not, passed as descriptors, one a queue.

    With `lower` it is a macvtap device over that device of the host, in the mode that it says.
    """

    mac: str
    fds: tuple[int, ...]
    vhost_fds: tuple[int, ...] = ()
    name: str = ""
    bridge: str | None = None
    network: str | None = None
    mtu: int | None = None
    managed: bool = True
    """False: the tap exists and belongs to the user; it is opened, never removed."""
    alias: str = ""
    lower: str | None = None
    mode: str | None = None
    portgroup: str | None = None
    vnet_hdr: bool = False
    """Whether packets carry virtio's header: the guest's card is virtio."""
    isolated: bool = False
    coalesce: int | None = None
    """Frames that the kernel may gather before it wakes whoever reads them."""
    script: str | None = None
    down_script: str | None = None
    tap_device: str = "/dev/net/tun"
    vhost_device: str = "/dev/vhost-net"
    addresses: tuple[tuple[str, int | None, str | None], ...] = ()
    """Addresses of the host's end: address, prefix, peer."""
    routes: tuple[tuple[str, int | None, str | None, int | None], ...] = ()
    """Routes by way of it: destination, prefix, gateway, metric."""
    floor: Floor | None = None
    filter: FilterUse | None = None
    filtered: Filtered | None = None
    """What the filter comes to; the engine, which knows the filters, adds it."""


@dataclass(frozen=True)
class SecretFile:
    """The master key of the guest's secret objects: 32 random bytes unless `data` says otherwise."""

    path: str
    data: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CopyOnce:
    """A file made from a template when it does not exist yet (the UEFI variable store)."""

    source: str
    target: str
    format: str = "raw"
    source_format: str = "raw"
    """The template's, which is converted where it is another."""


@dataclass(frozen=True)
class EmptyFile:
    """A file that is made where there is none, and stays: QEMU gives it its size (a guest's pstore)."""

    path: str


@dataclass(frozen=True)
class Overlay:
    """A new qcow2 image over another, which takes what a guest writes to a transient disk; removed at its end."""

    path: str
    backing: str
    backing_format: str


@dataclass(frozen=True)
class Helper:
    """A program that runs beside QEMU for the life of the guest (swtpm, virtiofsd...). Ready when `socket` exists."""

    name: str
    argv: tuple[str, ...]
    socket: str
    folders: tuple[str, ...] = ()
    """Folders that it writes into: made where missing, and kept."""
    setup: tuple[str, ...] = ()
    """A program that runs to its end first, with the same folders and secrets."""
    secrets: Mapping[int, Use] = field(default_factory=dict)
    """Secrets whose values the programs read from descriptors of these numbers."""
    texts: Mapping[int, str] = field(default_factory=dict, repr=False)
    """What it reads from descriptors of these numbers besides: words that belong on no command line."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of its environment beyond what every helper has."""
    pair: tuple[int, int] | None = None
    """Instead of `socket`: two connected sockets, QEMU's by the first number, the helper's by the second."""
    privileged: bool = False
    """Whether it runs as the engine itself, because it does for QEMU what the guest's user may not."""


@dataclass(frozen=True)
class Vfio:
    """A device that QEMU reaches by VFIO, as its folder in sysfs: its group is given to the guest's user.

    A managed PCI function is taken from the host's driver before, and given back after.
    """

    path: str
    managed: bool = False
    driver: str = VFIO_DRIVER
    """The host's driver that gives it to guests."""
    fd: int | None = None
    """With iommufd: the device's own node, opened and passed as this descriptor in place of its group."""


@dataclass(frozen=True)
class Label:
    """A host path that QEMU must reach: given to the guest's user before, given back after."""

    path: str
    readonly: bool = False
    shared: bool = False
    optional: bool = False
    """What is not there is passed over."""
    linked: bool = True
    """Whether the path may be a link; where anybody can put one, it may not."""


Resource = (
    Folder | Listener | OpenFile | Handed | Tap | SecretFile | CopyOnce | EmptyFile | Overlay | Helper | Vfio | Label
)


@dataclass(frozen=True)
class LaunchPlan:
    """One start of one guest. `monitor` and `agent` are paths of unix sockets."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    resources: tuple[Resource, ...]
    folder: str
    monitor: str
    agent: str | None = None
    agent_device: str | None = None
    """The alias of the channel that the guest agent speaks on."""
    log: str = ""
    monitor_commands: tuple[tuple[str, Mapping[str, object]], ...] = ()
    """QMP commands to run before `cont` (passwords of graphics...)."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """rlimits by name (memlock, nofile, core, nproc), in their own units."""
    rights: tuple[str, ...] = ()
    """Capabilities of the kernel (capabilities(7), without CAP_) that the process keeps, whatever its user."""


@dataclass(frozen=True)
class Step:
    """One command to a running hypervisor, the one that takes it back, and the descriptors that go with it.

    `fds` are names by number: the number is the resource's, the name is what `arguments` call the descriptor.
    """

    command: str
    arguments: Mapping[str, object]
    undo: tuple[str, Mapping[str, object]] | None = None
    fds: tuple[tuple[str, int], ...] = ()
    seconds: float = 10.0
    """How long the hypervisor may take to answer."""
    first: tuple[str, Mapping[str, object]] | None = None
    """A command that this one takes for granted, and whose work the guest may undo between the two: both are tried again then."""


@dataclass(frozen=True)
class DevicePlan:
    """What plugging or changing one device of a running guest takes. Unplugging takes the steps back, last first."""

    alias: str
    resources: tuple[Resource, ...] = ()
    steps: tuple[Step, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    """rlimits that the process must have before, by name."""
