"""What stands around every answer: its headers, and a last word where the server is stopped before there is one."""

from asyncio import CancelledError

from lowerbound.serving.http.access import App, Receive, Scope, Send, refuse

ALWAYS = (
    # Files are asked for again each time, and sent again only where they have changed.
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Of these an answer may have its own, as a page has its policy."""

CLOSED = "the handler is closed"


def enveloped(app: App, stopped: str) -> App:
    """`app`, whose answers carry the headers, and which says `stopped` where it is cancelled in their midst."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_with_headers(message: Scope) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message = {**message, "headers": own + [header for header in ALWAYS if header[0] not in names]}
            try:
                await send(message)
            except RuntimeError as error:
                # uvloop's, of a connection that was closed a moment ago: nobody is there to be answered.
                if CLOSED not in str(error):
                    raise

        try:
            await app(scope, receive, send_with_headers if scope["type"] == "http" else send)
        except CancelledError:
            # Of a request, by Ctrl-C; of anything else, by those who know why.
            if scope["type"] != "http":
                raise
            if not has_begun:
                await refuse(send_with_headers, 503, stopped)

    return answer
