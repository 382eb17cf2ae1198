"""Records that are many files: folders of Parquet, and tables in Delta or Iceberg."""
