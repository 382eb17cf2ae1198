"""Reports over what an agent stored: one document of facts, as a page, as JSON, by clause."""
