"""What is done with data as a whole: kept for a time, archived, exported, deleted with its user."""
