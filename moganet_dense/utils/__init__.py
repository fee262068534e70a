"""Shared by all packages: errors, atomic writing, regular files, text for the terminal."""
