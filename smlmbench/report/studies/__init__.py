"""A study beside others: chosen parts of a store, two studies compared, what a study is cited by."""
