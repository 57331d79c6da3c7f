"""Data: readers of files and objects, schemas, examples, splits and minibatches."""
