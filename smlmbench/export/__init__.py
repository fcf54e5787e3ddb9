"""Networks as files that run without this package, one format each."""
