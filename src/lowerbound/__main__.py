"""`python -m lowerbound` is the command `lowerbound`."""

from lowerbound.cli import main

main()
