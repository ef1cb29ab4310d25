"""The files of recordings: silence of the right length.

Source: Twilio docs, Recordings resource: WAV (8 kHz, 16 bit) without an extension, or with `.wav`; MP3 with `.mp3`.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

SAMPLES_PER_S = 8000
SAMPLE_BYTES = 2
# One frame of silence in MPEG-2 layer III, 16 kHz, 32 kbit/s: 576 samples, whose side information is zero.
MP3_FRAME_S, MP3_FRAME_BYTES = 0.036, 144
MP3_HEADERS = {1: b"\xff\xf3\x48\xc0", 2: b"\xff\xf3\x48\x00"}
PART_FRAMES = 16_384


@dataclass(frozen=True, slots=True)
class Media:
    """A file: a head, then the same frame over and over."""

    content_type: str
    head: bytes
    frame: bytes
    frame_count: int

    @property
    def size(self) -> int:
        """Return the length in bytes."""
        return len(self.head) + len(self.frame) * self.frame_count

    def parts(self) -> Iterator[bytes]:
        """Yield the file in parts: the longest has half a gigabyte."""
        yield self.head
        for first in range(0, self.frame_count, PART_FRAMES):
            yield self.frame * min(PART_FRAMES, self.frame_count - first)


def silence(file_format: Literal["wav", "mp3"], length_s: float, channels: int) -> Media:
    """Return a file of silence."""
    if file_format == "mp3":
        frame = MP3_HEADERS[channels].ljust(MP3_FRAME_BYTES, b"\0")
        return Media("audio/mpeg", b"", frame, math.ceil(length_s / MP3_FRAME_S))
    frame_bytes = SAMPLE_BYTES * channels
    frame_count = round(length_s * SAMPLES_PER_S)
    data_bytes = frame_count * frame_bytes
    pcm = struct.pack("<HHIIHH", 1, channels, SAMPLES_PER_S, SAMPLES_PER_S * frame_bytes, frame_bytes, 8 * SAMPLE_BYTES)
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + data_bytes, b"WAVE", b"fmt ", len(pcm)) + pcm
    return Media("audio/x-wav", head + struct.pack("<4sI", b"data", data_bytes), b"\0" * frame_bytes, frame_count)
