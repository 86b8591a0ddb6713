"""Animations as files: GIF by Pillow, MP4 by ffmpeg where it is installed."""

import io
import shutil
import subprocess
from pathlib import Path

from PIL import Image

from icrl.errors import MachineError, UserError
from icrl.runs.disk import write_atomically

FRAME_SECONDS = 0.08
HOLD_SECONDS = 2.5
"""For which the last frame stays."""
COLOURS, SAMPLED = 128, 6
"""Of a GIF, and from how many of its frames they are taken."""
KINDS = (".gif", ".mp4")


def require_kind(path: Path) -> None:
    """Raises UserError if an animation of that name cannot be written: before the work that it takes."""
    if path.suffix not in KINDS:
        raise UserError(f"--out: got {str(path)!r}; expected a name that ends with {' or '.join(KINDS)}")
    if path.suffix == ".mp4" and shutil.which("ffmpeg") is None:
        raise UserError("--out: got an .mp4, which needs ffmpeg; expected it installed; install it, or choose a .gif")


def save_film(frames: list[Image.Image], path: Path) -> Path:
    """Writes the frames, the last of which stays for a while; the path's ending says how.

    Raises:
        UserError, MachineError: it cannot be written.
    """
    require_kind(path)
    write_atomically(path, _gif(frames) if path.suffix == ".gif" else _mp4(frames))
    return path


def _gif(frames: list[Image.Image]) -> bytes:
    """One palette for all, and of each frame only what changed: small enough to commit."""
    shown = frames[:: max(1, len(frames) // SAMPLED)] + frames[-1:]
    sample = Image.new("RGB", (frames[0].width, len(shown) * frames[0].height))
    for index, frame in enumerate(shown):
        sample.paste(frame, (0, index * frame.height))
    palette = sample.quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
    colours = palette.getpalette() or []
    lightest = max(range(0, len(colours), 3), key=lambda first: sum(colours[first : first + 3]))
    palette.putpalette([*colours[:lightest], 255, 255, 255, *colours[lightest + 3 :]])  # white stays white
    first, *rest = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames)
    durations = [round(1000 * FRAME_SECONDS)] * len(rest) + [round(1000 * HOLD_SECONDS)]
    file = io.BytesIO()
    first.save(file, "gif", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)
    return file.getvalue()


def _mp4(frames: list[Image.Image]) -> bytes:
    held = [*frames, *[frames[-1]] * round(HOLD_SECONDS / FRAME_SECONDS)]
    size, rate = f"{frames[0].width}x{frames[0].height}", f"{1 / FRAME_SECONDS:g}"
    source = ["-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", size, "-framerate", rate, "-i", "-"]
    target = ["-pix_fmt", "yuv420p", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov", "-"]
    pixels = b"".join(frame.tobytes() for frame in held)
    done = subprocess.run(["ffmpeg", "-loglevel", "error", *source, *target], input=pixels, capture_output=True)
    if done.returncode:
        raise MachineError(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()}; choose a .gif with --out")
    return done.stdout
