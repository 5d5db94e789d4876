"""What a user declares: dimensions, the graph of them, its rules, order, plan and pictures. No input, no output."""
