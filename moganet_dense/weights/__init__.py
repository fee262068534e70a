"""Published weights: their list (releases), tensor names (conversion), download (download), and
strict loading without running code (loading)."""
