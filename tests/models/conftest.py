"""No setting of this machine reaches these tests."""

from tests.isolation import logging_as_before, workplace

__all__ = ["logging_as_before", "workplace"]
