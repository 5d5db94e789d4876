"""What goes in and what comes out: items, results, as plain data, as Arrow, from and to files."""
