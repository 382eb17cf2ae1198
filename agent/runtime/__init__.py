"""The running agent: the one loop, its parts, and what it tells about itself."""
