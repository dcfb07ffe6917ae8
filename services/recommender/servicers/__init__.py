"""One file a service: a message in, the domain's answer, a message out."""
