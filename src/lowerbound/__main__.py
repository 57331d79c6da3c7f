"""`python -m lowerbound` is the command `lowerbound`."""

import signal

from lowerbound.foundation.interrupts import end_at_once, ending_at_once


def main() -> None:
    """Entry point: while it imports, and once there is nothing left to do but to end, Ctrl-C ends it at once."""
    with ending_at_once():
        from lowerbound import cli
    try:
        cli.main()
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, end_at_once)


if __name__ == "__main__":
    main()
