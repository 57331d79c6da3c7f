"""x"""

import asyncio
import base64
import json
import re
import socket
import threading
import time
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit
import httpx
import numpy as np
import pytest
from PIL import Image
from lowerbound.foundation.errors import UsageError
from lowerbound.serving.http import hosting
from lowerbound.serving.http.access import Access, access_for
from lowerbound.serving.http.errors import RequestError
from lowerbound.serving.service.batching import compute_batch
from lowerbound.serving.service.limits import Body, Limits, MemoryBudget
from served_models import application, digits, images, running



def test_a_body_lies_where_numbers_can_be_read_without_a_detour():
    async def read(ahead):
        chunks = [b"h" * ahead + b"\0" * 3, b"\0" * 61]

        async def receive():
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        from starlette.requests import Request

        request = Request({"type": "http", "method": "POST", "headers": []}, receive)
        return await Body(request, MemoryBudget(1000)).read(Limits(), aligned_at=ahead)

    for ahead in (0, 1, 15, 16, 17, 123):
        body = asyncio.run(read(ahead))
        assert bytes(body) == b"h" * ahead + b"\0" * 64
        assert np.frombuffer(body[ahead:], np.float32).flags.aligned
