"""Default headers of every response, and a 503 response to requests that are cancelled when the server stops."""

from asyncio import CancelledError

from lowerbound.serving.http.access import App, Receive, Scope, Send, refuse

DEFAULT_HEADERS = (
    # Browsers revalidate files on every load; unchanged ones get 304.
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""A response may override each of them, as pages do with their policy."""

CLOSED = "the handler is closed"


def with_default_headers(app: App, stopped: str) -> App:
    """`app` with default headers on its responses, and a 503 with the reason `stopped` for cancelled requests."""

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_with_headers(message: Scope) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                own = list(message.get("headers", ()))
                names = {name.lower() for name, _ in own}
                message = {**message, "headers": own + [header for header in DEFAULT_HEADERS if header[0] not in names]}
            try:
                await send(message)
            except RuntimeError as error:
                # Raised by uvloop if the connection was closed a moment ago: there is no one to respond to.
                if CLOSED not in str(error):
                    raise

        try:
            await app(scope, receive, send_with_headers if scope["type"] == "http" else send)
        except CancelledError:
            # Requests are cancelled by Ctrl-C; other scopes are handled by their own code.
            if scope["type"] != "http":
                raise
            if not has_begun:
                await refuse(send_with_headers, 503, stopped)

    return respond
