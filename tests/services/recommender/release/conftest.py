"""The next models of a collection, and whether it serves them."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc


def next_models(shelf, embedder, graph="tower 2", **changes):
    image = shelf.image(graph, **changes)
    return next_lead(shelf, embedder, image), image


def next_lead(shelf, embedder, image):
    lead = shelf.attributes(image, "encoder 2")
    embedder.fake.aligned[lead.space_id] = image.space_id
    return lead


def serves(recommender, version):
    return lambda: recommender.recommend(image=b"knit").models[0].digest == version.digest


def health(recommender, service="atelier.recommender.v1.RecommenderService"):
    with grpc.insecure_channel(recommender.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        return stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status
