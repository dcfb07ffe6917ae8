"""The contract on disk: what a model is, where its versions live, which one an alias means."""
