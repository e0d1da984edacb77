"""Settings for all tests."""

from hypothesis import settings

settings.register_profile("fireside", deadline=None, max_examples=60)
settings.load_profile("fireside")
