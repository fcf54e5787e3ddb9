"""One cell or reference: trained, scored, logged."""
