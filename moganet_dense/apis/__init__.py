"""What the tools and the command line do: train, test, doctor."""
