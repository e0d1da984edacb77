"""The command line's commands. Importing them imports nothing heavy."""
