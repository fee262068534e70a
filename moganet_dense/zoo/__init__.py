"""The published models as a table."""
