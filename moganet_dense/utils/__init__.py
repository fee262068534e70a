"""What every package uses: errors, atomic writing, regular files, text for the terminal."""
