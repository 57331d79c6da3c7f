"""The documentation site: `make docs` assembles its pages in build/pages, runs what they contain, and builds site/."""
