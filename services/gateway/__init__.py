"""The services over HTTP, as JSON, and the page that shows what they answer (R-7, D-1)."""
