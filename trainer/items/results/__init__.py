"""What a run leaves behind: index, projector, report, log, files and the published version."""
