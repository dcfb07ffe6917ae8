"""Which picture is better: pairwise ranking of artworks by tier."""
