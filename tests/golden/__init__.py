"""Files that must decode to the same for ever."""

from pathlib import Path

FOLDER = Path(__file__).parent
FINGERPRINT = 0x5EEDC0DE
SHAPE = (128, 5, 5)
PICTURES = 200
