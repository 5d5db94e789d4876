"""One module per wire format; facts about a vendor live nowhere else."""
