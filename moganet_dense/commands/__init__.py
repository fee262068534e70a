"""The commands, one per module. A module imports what it needs only when its command runs."""
