"""Generate the wait audio (ringback and music) from sine waves.

`python scripts/make_media.py` writes webhooks/media/*.wav. The output is reproducible, and a test compares it. Both
files are in telephone quality: 8 kHz, 16 bits, mono.
"""

import io
import math
import wave
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "webhooks" / "media"

RATE_HZ = 8_000
FULL = 32_767

#: Frequencies of the North American ringback tone, in Hz; it sounds for 2 s and is silent for 4 s.
#: Source: ITU-T E.180 Supplement 2, "Various tones used in national networks", United States.
RINGBACK_HZ = (440.0, 480.0)
RINGBACK_ON_S, RINGBACK_OFF_S = 2.0, 4.0
RINGBACK_LEVEL = 0.09

#: Four chords of six notes each, as semitones above middle C: up and back down, all within telephone bandwidth.
CHORDS = (
    (0, 7, 12, 16, 12, 7),
    (-3, 4, 9, 12, 9, 4),
    (5, 9, 12, 17, 12, 9),
    (-1, 7, 11, 14, 11, 7),
)
MIDDLE_C_HZ = 261.6256
NOTE_S = 0.5
#: How long a note rings on below the next ones, in seconds; the last ones ring on into the first, for a seamless loop.
RING_S = 2.4
#: Level of each harmonic of a note.
HARMONICS = (1.0, 0.28, 0.09)
MUSIC_PEAK = 0.2


def ringback() -> bytes:
    """Return one period of the ringback tone."""
    on, silent = int(RINGBACK_ON_S * RATE_HZ), int(RINGBACK_OFF_S * RATE_HZ)
    ramp = RATE_HZ // 100  # 10 ms, so that it starts and ends without a click
    tone = (
        RINGBACK_LEVEL
        * min(1.0, n / ramp, (on - 1 - n) / ramp)
        * sum(math.sin(2 * math.pi * hz * n / RATE_HZ) for hz in RINGBACK_HZ)
        for n in range(on)
    )
    return _wav([*tone, *[0.0] * silent])


def music() -> bytes:
    """Return a quiet arpeggio that loops seamlessly."""
    notes = [semitones for chord in CHORDS for semitones in chord]
    step, length = int(NOTE_S * RATE_HZ), int(NOTE_S * RATE_HZ) * len(notes)
    mixed = [0.0] * length
    for position, semitones in enumerate(notes):
        accent = 1.0 if position % len(CHORDS[0]) == 0 else 0.8
        for n, value in enumerate(_pluck(MIDDLE_C_HZ * 2 ** (semitones / 12))):
            mixed[(position * step + n) % length] += accent * value
    loudest = max(abs(value) for value in mixed)
    return _wav(value * MUSIC_PEAK / loudest for value in mixed)


def _pluck(hz: float) -> Iterable[float]:
    """Yield one note: a soft attack, then a decay to silence."""
    count, attack = int(RING_S * RATE_HZ), RATE_HZ // 50
    for n in range(count):
        fade = min(1.0, n / attack) * math.exp(-3.0 * n / RATE_HZ) * (1 - n / count)
        angle = 2 * math.pi * hz * n / RATE_HZ
        yield fade * sum(level * math.sin(order * angle) for order, level in enumerate(HARMONICS, 1))


def _wav(values: Iterable[float]) -> bytes:
    """Return a WAV file of samples from -1 to 1."""
    samples = array("h", (round(value * FULL) for value in values))
    data = b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples)
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(data)
    return file.getvalue()


FILES: dict[str, Callable[[], bytes]] = {"ringback.wav": ringback, "music.wav": music}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in FILES.items():
        (FOLDER / name).write_bytes(make())
        print(f"webhooks/media/{name}")
