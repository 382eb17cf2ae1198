"""Where a configuration begins: what servers, maps and brokers offer, and what models mean."""
