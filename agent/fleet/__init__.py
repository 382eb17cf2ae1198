"""Central as a service: workers on a broker's shared subscription, a database, and its faces."""
