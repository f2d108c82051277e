"""The files that a bag is made of, mcap and sqlite3, whole or damaged -> their messages."""
