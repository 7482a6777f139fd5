"""Fair tuning: the same number of trials and the same budget of samples for every solver."""
