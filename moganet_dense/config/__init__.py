"""Configs: lookup, reading, command-line overrides, and the metafiles that list them."""
