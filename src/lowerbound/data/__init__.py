"""Data: names, files and folders to splits, and splits to minibatches."""
