"""Configs of the toolboxes with MogaNet in place of their backbone."""
