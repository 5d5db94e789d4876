"""What an answer must look like, and how one is read."""
