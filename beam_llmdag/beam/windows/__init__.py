"""Windows and panes: what is kept of them, and how rows come through groupings with their own."""
