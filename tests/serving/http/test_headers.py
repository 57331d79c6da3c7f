"""Headers of every answer."""

import pytest

from lowerbound.serving.http.access import Access
from raw_http import HOST, answer, get
from served_models import TOKEN, digits, running
from served_models import application as service


@pytest.mark.parametrize("access", [Access(), Access(frozenset(), TOKEN)])
def test_every_answer_of_the_service_forbids_embedding_and_guessing(access):
    with running(service(digits(), access=access)) as url:
        port = int(url.rpartition(":")[2])
        for target in (b"/", b"/docs", b"/v2", b"/nowhere", b"/v2/health/live"):
            head = answer(port, get(HOST, target=target)).partition(b"\r\n\r\n")[0].lower()
            assert b"x-content-type-options: nosniff" in head
            assert b"frame-ancestors 'none'" in head
            assert b"referrer-policy: no-referrer" in head
            assert head.count(b"content-security-policy") == 1
