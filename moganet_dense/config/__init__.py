"""Configs: found, read, changed by the command line, and listed in metafiles."""
