"""What a run writes for people: charts, contact sheets, Markdown tables, intervals."""
