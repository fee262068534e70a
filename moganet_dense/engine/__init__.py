"""Training: what is added to mmengine's Runner, and the function that trains and tests."""
