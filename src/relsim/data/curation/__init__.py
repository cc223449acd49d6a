"""What can be asked of a collection and done with it: statistics, checks, differences, duplicates, splits, exports."""
