"""What the configuration file may say, how it is read, and where its secrets are."""
