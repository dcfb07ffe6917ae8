from prometheus_client import CollectorRegistry, generate_latest

from services.gateway.web.bodies import UploadMemory
from services.gateway.web.route_figures import UNMATCHED, RouteFigures, percentile


def test_percentiles_are_of_real_answers():
    """A percentile is one of the times, the least that so many do not exceed. (R-5)"""
    times = [float(number) for number in range(1, 101)]

    assert (percentile(times, 0.5), percentile(times, 0.95), percentile(times, 0.99)) == (50.0, 95.0, 99.0)
    assert percentile([3.0], 0.5) == 3.0


def test_routes_are_counted_by_template():
    """Metrics and latencies know templates alone; paths of no route share a series. (S-1)"""
    registry = CollectorRegistry()
    figures = RouteFigures(registry, UploadMemory(100))
    for status in (200, 200, 404):
        figures.handled("GET", "/api/items/{item_id}", status, 0.01)
    figures.handled("GET", UNMATCHED, 404, 0.01)

    text = generate_latest(registry).decode()

    assert 'http_server_requests_total{method="GET",route="/api/items/{item_id}",status="200"} 2.0' in text
    assert 'http_server_request_seconds_count{method="GET",route="/api/items/{item_id}"} 3.0' in text
    assert [row["route"] for row in figures.latencies()] == ["GET /api/items/{item_id}"]
    assert figures.latencies()[0]["count"] == 3
