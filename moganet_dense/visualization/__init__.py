"""Drawing of results, ground truth and training samples."""
