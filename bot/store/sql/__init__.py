"""The store's ports over SQL: a file for each port, one schema, and what is specific to SQLite.

It never decides what is stored: the ports do. Only `app`, the command line and the migrations may
import it.
"""
