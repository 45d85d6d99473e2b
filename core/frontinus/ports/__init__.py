"""What the engine needs from the world, as Protocols. The edges (qemu, linux, state, mock) implement them."""

from frontinus.ports.audit import Audited, AuditTrail
from frontinus.ports.firewall import Firewall
from frontinus.ports.hypervisor import GuestFacts, GuestFigures, Hypervisor, RunningGuest, RunRecord
from frontinus.ports.images import Images
from frontinus.ports.keeper import Keeper
from frontinus.ports.resources import Credentials, Journal, Prepared, Resources
from frontinus.ports.state import StateStore, Stored
from frontinus.ports.storage import StorageHost

__all__ = [
    "AuditTrail",
    "Audited",
    "Credentials",
    "Firewall",
    "GuestFacts",
    "GuestFigures",
    "Hypervisor",
    "Images",
    "Journal",
    "Keeper",
    "Prepared",
    "Resources",
    "RunRecord",
    "RunningGuest",
    "StateStore",
    "StorageHost",
    "Stored",
]
