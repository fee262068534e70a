"""Data: read from files, validated, and the bundled sample data set (mini)."""
