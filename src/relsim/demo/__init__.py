"""What relsim does, on a small world whose relations are known: every step is real work, told with its command."""
