"""The numbers that the service reports of itself."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from served_models import GREY, application, as_file, digits, running


def test_the_numbers_count_what_was_asked():
    with running(application(digits())) as url, httpx.Client(base_url=url) as client:
        for _ in range(3):
            client.post("/encode", content=as_file(GREY))
        client.post("/encode", content=b"nothing")
        client.get("/secret-looking-path")
        response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples[("lowerbound_requests_total", *sorted(("/encode", "digits.encode", "200")))] == 3
    assert samples[("lowerbound_requests_total", *sorted(("/encode", "", "422")))] == 1
    assert samples[("lowerbound_requests_total", *sorted(("none", "", "404")))] == 1
    assert samples["lowerbound_examples_total", "digits.encode"] == 4  # one when it started
    assert samples["lowerbound_queued_examples",] == 0
    assert samples["lowerbound_run_info", "0123456789ab", "2", "digits"] == 1
    assert "secret" not in response.text
