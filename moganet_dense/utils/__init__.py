"""What every part uses and what uses no part: files, text for the terminal."""
