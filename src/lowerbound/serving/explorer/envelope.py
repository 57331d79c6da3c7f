"""What stands around every answer: its headers, and a last word where the explorer is stopped before there is one."""

from asyncio import CancelledError

from lowerbound.serving.access import App, Receive, Scope, Send, refuse

ALWAYS = (
    # Files are asked for again each time, and sent again only where they have changed.
    (b"cache-control", b"no-cache"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        # Inline: the page's import map, and the report, which is all in one piece.
        b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        b"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'self'; "
        b"base-uri 'none'; form-action 'none'",
    ),
)


def enveloped(app: App) -> App:
    """`app`, whose answers carry the headers, and which says so when it is stopped in their midst."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_with_headers(message: Scope) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message.get("headers", ()), *ALWAYS]}
            await send(message)

        try:
            await app(scope, receive, send_with_headers if scope["type"] == "http" else send)
        except CancelledError:
            # Of a request, by Ctrl-C; of anything else, by those who know why.
            if scope["type"] != "http":
                raise
            if not has_begun:
                await refuse(send, 503, "the explorer was stopped.")

    return answer
