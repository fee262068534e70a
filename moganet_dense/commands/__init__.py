"""The commands, one a module; each imports what it runs when it runs."""
