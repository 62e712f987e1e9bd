"""Load: thousands of light devices on one machine, which note what they get and how long it took.

`Fleet` connects them and lets them talk; `Figures` is what they saw. See docs/load.md.
"""

from roomgraph.load.device import Entries, LightDevice
from roomgraph.load.figures import Figures, Histogram
from roomgraph.load.fleet import Fleet
from roomgraph.load.wire import Refusal, Wire, WireError

__all__ = ["Entries", "Figures", "Fleet", "Histogram", "LightDevice", "Refusal", "Wire", "WireError"]
