"""Published weights: which exist (zoo), how their files name things (families), and how
they are read and loaded, strictly and without running code (loading)."""
