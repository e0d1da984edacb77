"""Every command, seen once on every platform: see `script.py` and `walk.py`."""
