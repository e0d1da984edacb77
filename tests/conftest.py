"""Settings for all tests."""

import os

# Read when torch is first imported. The tests' models are so small that a second thread only waits,
# and on a busy machine it makes every step several times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("fireside", deadline=None, max_examples=60)
settings.load_profile("fireside")
