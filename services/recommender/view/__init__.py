"""The read cache: what answers need of the catalog, frozen at a revision, and never read from SQL."""
