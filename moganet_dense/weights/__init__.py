"""Published weights: which exist (releases), how their files name things (conversion), how they are
fetched (download), and read and loaded, strictly and without running code (loading)."""
