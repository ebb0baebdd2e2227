"""Count the events of a stream while they arrive: exact windows, sessions, and files for the daily batch."""
