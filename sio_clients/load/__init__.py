"""Load: thousands of light devices on one machine, which note what they get and how long it took.

`Fleet` connects them and lets them talk; `Figures` is what they saw. See docs/load.md.
"""

from sio_clients.load.device import Entries, LightDevice
from sio_clients.load.figures import Figures, Histogram
from sio_clients.load.fleet import Fleet
from sio_clients.load.wire import Refusal, Wire, WireError

__all__ = ["Entries", "Figures", "Fleet", "Histogram", "LightDevice", "Refusal", "Wire", "WireError"]
