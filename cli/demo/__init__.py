"""`atelier demo`: small models, running services, questions and their answers."""
