"""What is added to mmengine's Runner: checkpoints that hold and need no code."""
