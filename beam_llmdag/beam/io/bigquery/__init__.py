"""Items from BigQuery, results to its tables."""
