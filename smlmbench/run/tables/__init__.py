"""Files that are there: converted, compared, drawn, described."""
