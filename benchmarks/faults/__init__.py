"""What the product does when something breaks: killed processes, full disks, damaged files, hostile input.

    make test-faults                               every kind at its full number, without figures; two hours on one core
    python -m benchmarks.faults kills disk --share 0.1 --seed 7 --json faults.json

Each command runs in a child that is forked from a process which has imported everything, so that a fault costs what
the command itself costs. The faults are real: a kill is SIGKILL, or the kernel's own end of a process whose write
passes a limit; a full disk is a file system without room, a limit on a file's size, or an error raised at the system
call; a damaged file lies on the disk. No part of the product knows that it is being tested.
"""
