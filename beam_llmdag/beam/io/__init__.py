"""Rows in and out: files and frames to items, results to Parquet and JSON Lines."""
