"""Web pages: documents, headers, and the files that they share."""
