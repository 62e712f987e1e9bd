"""A flame graph of a node under load: where its CPU time goes, as a small SVG.

    python -m benchmarks.flame docs/flame.svg

Two nodes serve rooms of 10 as in `benchmarks.fanout`; py-spy samples the event loop of the first one, without
its other threads. Functions below 0.4 % are left out, so that the file stays below 150 kB. The title of each
box has its file and its share: hover over it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from html import escape
from pathlib import Path

from benchmarks.contenders import KINDS, VENV, Contender, install
from benchmarks.fanout import NODES, rooms_of
from benchmarks.load_generator import BenchmarkError
from benchmarks.reports import run

WIDTH, ROW, LEAST = 1200, 17, 0.004
LOOP = "Runner.run ("  # what is above it is the start of the program
COLOURS = {
    "sio_server": "#f4a259",
    "socketio": "#8cb369",
    "engineio": "#5b8e7d",
    "aiohttp": "#7da0ca",
    "redis": "#d98c8c",
}


class Box:
    """A function in one place of the stack: its samples, with those of what it called."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.samples = 0
        self.called: dict[str, Box] = {}

    def add(self, stack: list[str], samples: int) -> None:
        """Count the samples of a stack, the outermost function first."""
        self.samples += samples
        if stack:
            self.called.setdefault(stack[0], Box(stack[0])).add(stack[1:], samples)


def folded(text: str) -> Box:
    """The tree of py-spy's raw output: in each line a stack, joined by semicolons, and its number of samples."""
    root = Box("event loop")
    for line in text.splitlines():
        stack, _, samples = line.rpartition(" ")
        frames = [re.sub(r":\d+\)$", ")", frame) for frame in stack.split(";")]
        starts = [number for number, frame in enumerate(frames) if frame.startswith(LOOP)]
        if starts:
            root.add(frames[starts[0] + 1 :], int(samples))
    return root


def drawn(root: Box, title: str) -> str:
    """The SVG."""
    boxes: list[str] = []
    deepest = 0

    def draw(box: Box, left: float, depth: int) -> None:
        nonlocal deepest
        share = box.samples / root.samples
        if share < LEAST:
            return
        deepest = max(deepest, depth)
        width, top = share * WIDTH, depth * ROW + 24
        function, _, file = box.name.partition(" (")
        colour = next((colour for part, colour in COLOURS.items() if part in file), "#cccccc")
        fits = int(width / 6.4)
        label = function if len(function) <= fits else function[: max(fits - 1, 0)] + "…"
        said = f'<text x="{left + 2:.1f}" y="{top + 12}">{escape(label)}</text>' if fits > 3 else ""
        boxes.append(
            f"<g><title>{escape(box.name)} {share:.1%}</title>"
            f'<rect x="{left:.1f}" y="{top}" width="{width - 0.5:.1f}" height="{ROW - 1}" fill="{colour}"/>'
            f"{said}</g>"
        )
        for child in sorted(box.called.values(), key=lambda child: -child.samples):
            draw(child, left, depth + 1)
            left += child.samples / root.samples * WIDTH

    draw(root, 0, 0)
    height = (deepest + 1) * ROW + 30
    legend = ", ".join(f'<tspan fill="{colour}">■</tspan> {part}' for part, colour in COLOURS.items())
    style = 'font-family="monospace" font-size="10.5"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" {style}>\n'
        f'<rect width="100%" height="100%" fill="white"/><text x="4" y="15">{escape(title)}: {legend}</text>\n'
        + "\n".join(boxes)
        + "\n</svg>\n"
    )


async def main(options: argparse.Namespace) -> int:
    """Record and draw."""
    kind = KINDS[options.only]
    install([kind, KINDS["bare"]])  # py-spy is in the environment of the peers
    rooms = rooms_of(options.fan_out, options.clients)
    with tempfile.TemporaryDirectory(prefix="flame-") as folder:
        contender = Contender(kind, NODES, Path(folder))
        try:
            await contender.start()
            contender.add_clients(options.clients)
            await contender.fill_rooms(rooms)
            generator = contender.generator
            generator.rooms((members, contender.message(room, 100)) for room, members in rooms.items())
            await generator.run("closed 1 1")
            stacks = Path(folder) / "stacks"
            what = ["-p", str(contender.node_pids()[0]), "-d", str(options.seconds), "-r", "500", "-f", "raw"]
            load = await generator.begin(f"closed {options.seconds + 60} 1")
            recorder = await asyncio.create_subprocess_exec(
                *(str(VENV / "bin" / "py-spy"), "record", *what, "-o", str(stacks)),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await recorder.communicate()
            await generator.stop()
            await load
        finally:
            await contender.stop()
        if not stacks.exists():
            raise BenchmarkError(f"py-spy has recorded nothing (it may need root):\n{said.decode()}")
        root = folded(stacks.read_text(encoding="utf-8"))
    svg = drawn(root, f"{kind.title}, rooms of {options.fan_out}, {root.samples:,} samples")
    options.file.write_text(svg, encoding="utf-8")
    print(f"{options.file}: {len(svg) // 1000} kB")
    return 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A flame graph of a node under load.")
    parser.add_argument("file", type=Path, help="the SVG to write")
    parser.add_argument("--only", choices=["ours", "ours-joined", "ours-stock", "stock"], default="ours")
    parser.add_argument("--fan-out", type=int, default=10, help="members of a room (default: 10)")
    parser.add_argument("--clients", type=int, default=400, help="(default: 400)")
    parser.add_argument("--seconds", type=int, default=6, help="of recording (default: 6)")
    return parser.parse_args()


if __name__ == "__main__":
    run(lambda: main(arguments()))
