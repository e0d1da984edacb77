"""Settings, the model catalogue and logging. Imports nothing else of ours."""
