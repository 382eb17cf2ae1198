"""What came over the wire, turned into columns: pure functions without I/O and without clock."""
