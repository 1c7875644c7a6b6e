"""What the figures were measured on."""

from dataclasses import dataclass
from pathlib import Path

# As Linux names them.
FEATURES = ("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16")


@dataclass(frozen=True)
class Machine:
    """A processor."""

    name: str
    cores: int
    features: tuple[str, ...]

    def sentence(self) -> str:
        """For people."""
        absent = [name for name in FEATURES if name not in self.features]
        without = f", without {', '.join(absent)}" if absent else ""
        return f"{self.name}, {self.cores} cores, with {', '.join(self.features) or 'none of these'}{without}"


def this(cpuinfo: str | None = None) -> Machine:
    """Of `/proc/cpuinfo`, or of its text."""
    text = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    fields = [line.partition(":")[::2] for line in text.splitlines()]
    values = {name.strip(): value.strip() for name, value in reversed(fields)}
    flags = values.get("flags", "").split()
    return Machine(
        name=values.get("model name", "unknown processor"),
        cores=sum(name.strip() == "processor" for name, _ in fields),
        features=tuple(name for name in FEATURES if name in flags),
    )
