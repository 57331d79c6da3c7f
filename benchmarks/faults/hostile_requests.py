"""Sends hostile requests to `serve` and `explore` over raw sockets.

None may be answered with status 500 or leave a traceback, and the server must survive each; every few requests it gets
one whose answer is known.
"""

import random
import re
import socket
import time

from benchmarks.faults.hostile_bytes import VALID, Hostile, malformed, of_bodies
from benchmarks.faults.mutator import mutated
from benchmarks.faults.runs import Workplace
from benchmarks.faults.servers import AT_ONCE, PATIENCE, Server, answer_of, body_of, first_answer_of, serving
from benchmarks.faults.tally import Tally

GOOD = frozenset({"2xx", "4xx", "closed", "busy"})
NUM_MUTATED = 600  # for each server
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
EVERY = 10  # requests between two questions whose answer is known
SERVERS = {"serve": ("serve", "run", "--port", "0"), "explore": ("explore", "run", "--no-browser", "--port", "0")}
PROBES = {
    "serve": ("/v2/models/run.encode", "/decode?z=0.5,-0.5", "/generate?num=2&seed=3"),
    "explore": ("/api/runs", "/api/runs/run", "/api/runs/run/points/3"),
}


def run(place: Workplace, bits: random.Random, share: float, names: frozenset[str] = frozenset()) -> Tally:
    """Send hostile requests to both servers; `names` are "serve" and "explore"."""
    tally = Tally("requests", GOOD)
    for name, words in SERVERS.items():
        if not names or name in names:
            with serving(place.begin("digits"), words) as server:
                attack(server, name, bits, share, tally)
    return tally


def attack(server: Server, name: str, bits: random.Random, share: float, tally: Tally) -> None:
    """All known hostile requests, then mutations of valid ones."""
    valid = VALID[name](server.authorization)
    expected = {probe: server.get(probe) for probe in PROBES[name]}
    handmade = [*malformed(server.authorization), *of_bodies(name, server.authorization)]
    chosen = bits.sample(handmade, max(1, round(share * len(handmade))))
    chosen += [mutation(valid, bits) for _ in range(round(share * NUM_MUTATED))]
    for raw in valid:
        verdict, why = outcome_of(server, Hostile("valid", (raw,)))
        tally.add(f"{name}: valid", verdict if verdict == "2xx" else f"valid, but {verdict}", f"{why} to {raw[:300]!r}")
    for number, hostile in enumerate(chosen):
        verdict, why = outcome_of(server, hostile)
        if not server.is_alive:
            tally.add(f"{name}: {hostile.name}", "server ended", server.said[-600:])
            return
        if number % EVERY == 0 or verdict not in GOOD:
            wrong = [probe for probe, body in expected.items() if server.get(probe) != body]
            verdict = "wrong answer afterwards" if wrong else verdict
        tally.add(f"{name}: {hostile.name}", verdict, f"{why} to {b''.join(hostile.pieces)[:300]!r}")
    if "Traceback" in server.said:
        tally.add(f"{name}: terminal", "traceback", server.said[-800:])


def mutation(valid: tuple[bytes, ...], bits: random.Random) -> Hostile:
    """A valid request with a mutated head or, more often, body; the stated length stays correct."""
    raw = bits.choice(valid)
    head, end, body = raw.partition(b"\r\n\r\n")
    if not body or bits.random() < 0.3:
        return Hostile("mutated head", (mutated("request", head + end, valid, bits) + body,))
    changed = mutated("body", body, valid, bits)
    stated = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(changed), head, count=1)
    return Hostile("mutated body", (stated + end + changed,))


def outcome_of(server: Server, hostile: Hostile) -> tuple[str, str]:
    """The status of the response, the worst one if there are several."""
    try:
        with server.connect() as connection:
            for piece in hostile.pieces:
                connection.sendall(piece)
                time.sleep(hostile.pause)
            if hostile.hangs_up:
                return "closed", ""
            answer = first_answer_of(connection, PATIENCE if hostile.name == "valid" else AT_ONCE)
            if not answer:
                # It may be no whole request, of which the rest is waited for: no more comes.
                connection.shutdown(socket.SHUT_WR)
                answer = answer_of(connection)
    except TimeoutError:
        return "no answer", f"nothing within {PATIENCE:.0f} s"
    except OSError:  # closed while it was sent
        return "closed", ""
    worst = max((int(status) for status in STATUS.findall(answer)), default=0)
    if worst >= 500 and worst != 503:
        return "5xx", f"{worst} {body_of(answer)[:200]!r}"
    return ("closed" if worst == 0 else "busy" if worst == 503 else f"{worst // 100}xx"), ""
