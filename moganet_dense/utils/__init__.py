"""What every layer uses: errors, atomic writing."""
