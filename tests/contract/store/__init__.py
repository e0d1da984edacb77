"""What every store must do: written once, run over each implementation (conftest.py)."""
