"""The facade. Append-only, no I/O."""

from frontinus.api.engine import Descriptor, Engine
from frontinus.api.errors import ERRORS, FrontinusError
from frontinus.api.identity import Identity
from frontinus.api.permissions import PERMISSIONS, Permission

__all__ = ["ERRORS", "PERMISSIONS", "Descriptor", "Engine", "FrontinusError", "Identity", "Permission"]
